"""What we know as JSON knows it, for people who are not served by us: evidence outlives us."""

from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from broker.domain.duration import iso_duration
from broker.domain.statement.statement import timestamp


def plain(value: Any) -> Any:  # noqa: C901  (flat)
    """Return JSON values. Raises TypeError for what has none: nothing is made into text that was
    not meant to be, a secret least of all."""
    match value:
        case None | bool() | int() | float():
            return value
        case Enum():
            return value.value
        case str():
            return value
        case datetime():
            return timestamp(value)
        case date():
            return value.isoformat()
        case timedelta():
            return iso_duration(value)
        case IPv4Network() | IPv6Network() | IPv4Address() | IPv6Address():
            return str(value)
        case tuple() | list():
            return [plain(each) for each in value]
        case frozenset():
            return sorted(plain(each) for each in value)
        case dict():
            return {str(name): plain(each) for name, each in value.items()}
        case _ if is_dataclass(value):
            return {
                each.name: plain(getattr(value, each.name)) for each in fields(value) if each.repr
            }
        case _:
            raise TypeError(f"{type(value).__name__} has no place in JSON")
