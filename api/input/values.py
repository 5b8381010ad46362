"""What parameters and fields are made of: values that a person may get wrong, and what they are
told then. Each is checked by the same rule that the OpenAPI description shows."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from broker.domain.duration import iso_duration, parse_duration
from broker.domain.errors import InvalidDuration, InvalidNetwork
from broker.domain.ids import IdKind
from broker.domain.network import Network, parse_network

MOMENT_EXAMPLE = "2026-08-01T00:00:00Z"
ID_EXAMPLE = "06gzgmx2b2v3s0ps"

_MOST_NETWORKS = 100
_MOST = 10**15  # rows, or bytes
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DIGITS = re.compile("[0-9]{1,18}")  # PostgreSQL's bigint holds them all


@dataclass(frozen=True, slots=True)
class Like:
    """Text that is `pattern` from end to end; `must` says so to people, after the field's name."""

    pattern: str
    must: str
    example: str | None = None

    def check(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise PydanticCustomError("like", "{must}", {"must": self.must})
        return text

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        told = {**handler(schema), "pattern": f"^(?:{self.pattern})$"}
        return told if self.example is None else {**told, "examples": [self.example]}


def id_pattern(kind: IdKind) -> str:
    return f"{kind}_[0-9a-z]{{1,32}}"


def id_of(kind: IdKind, what: str) -> Like:
    """Return the rule of what has to look like an id of this kind."""
    example = f"{kind}_{ID_EXAMPLE}"
    return Like(id_pattern(kind), f"must be the id of {what}, for example {example}", example)


def _moment(value: Any) -> datetime:
    """Not pydantic's own reading, which takes a bare number for seconds since 1970."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    try:
        if not isinstance(value, str) or not _MOMENT.fullmatch(value):
            raise ValueError("no time with its zone")
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        must = f"must be a time with its zone, for example {MOMENT_EXAMPLE}"
        raise PydanticCustomError("moment", "{must}", {"must": must}) from None


def whole(value: Any) -> int:
    """Not pydantic's own reading either: it takes 1.0 and 1_000, too."""
    if not isinstance(value, str) or not _DIGITS.fullmatch(value):
        raise PydanticCustomError("whole", "must be a whole number, for example 12")
    return int(value)


def _flag(value: Any) -> bool:
    if value not in {"true", "false"}:
        raise PydanticCustomError("flag", "must be true or false", {"allowed": ("true", "false")})
    return bool(value == "true")


Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": [MOMENT_EXAMPLE]}),
]
"""A time with its zone; in UTC, once it is read."""
Whole = Annotated[int, Field(ge=0, lt=10**18), BeforeValidator(whole)]
"""A number of a query string."""
Email = Annotated[
    str,
    Like(
        r"[^@\s\x00-\x1f\x7f-\x9f]{1,254}@[^@\s\x00-\x1f\x7f-\x9f]{1,254}",
        "must be an e-mail address, for example alice@example.com",
        "alice@example.com",
    ),
    AfterValidator(str.lower),
]
# Others read these at their terminals, so no control characters but line ends and tabs.
Text = Annotated[
    str,
    Field(max_length=2000),
    Like(
        r"[^\x00-\x08\x0b-\x1f\x7f-\x9f]*",
        "must have no control characters but line ends and tabs",
    ),
]
Conversation = Annotated[
    str,
    Field(max_length=2000),
    Like(
        r"https://[A-Za-z0-9\[][!-~]*",
        "must be an address that begins with https://, without spaces",
        "https://chat.example.com/archives/C01/p1767225600",
    ),
]
"""Where something is talked over: a link that others follow."""
Identifier = Annotated[
    str,
    Field(min_length=1, max_length=63),
    Like(r"[^\x00-\x1f\x7f-\x9f]*", "must have no control characters"),
]
"""A name in PostgreSQL, or ours of what is there."""
Flag = Annotated[bool, BeforeValidator(_flag)]
"""Yes or no, of a query string."""


def _duration(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("a duration is text, for example PT1H or 1h")  # noqa: TRY004
    try:
        return parse_duration(value)
    except InvalidDuration as fault:
        raise ValueError(str(fault)) from None


def _duration_or_none(value: Any) -> Any:
    return timedelta() if value == iso_duration(timedelta()) else _duration(value)


def _network(value: Any) -> Any:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    if not isinstance(value, str):
        raise ValueError("a network is text, for example 10.0.0.0/8")  # noqa: TRY004
    try:
        return parse_network(value)
    except InvalidNetwork as fault:
        raise ValueError(str(fault)) from None


def _each_once(networks: tuple[Network, ...]) -> tuple[Network, ...]:
    return tuple(dict.fromkeys(networks))


_ISO_DURATION = {"type": "string", "format": "duration", "examples": ["PT1H"]}
_ANY_DURATION = {
    "type": "string",
    "description": "ISO 8601, or a number of seconds, minutes, hours or days: 90s, 30m, 8h, 2d.",
    "pattern": (
        "^(?=.*[1-9])(?:[0-9]{1,9}[smhd]|P(?:[0-9]{1,6}W)?(?:[0-9]{1,6}D)?"
        "(?:T(?=[0-9])(?:[0-9]{1,6}H)?(?:[0-9]{1,7}M)?(?:[0-9]{1,9}S)?)?)$"
    ),
    "examples": ["PT1H", "30m"],
}
Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(iso_duration, return_type=str),
    WithJsonSchema(_ANY_DURATION, mode="validation"),
    WithJsonSchema(_ISO_DURATION, mode="serialization"),
]
# The same, or none at all.
Stretch = Annotated[
    timedelta,
    BeforeValidator(_duration_or_none),
    PlainSerializer(iso_duration, return_type=str),
    WithJsonSchema(_ISO_DURATION, mode="serialization"),
]
# Written like "10.0.0.0/8" both ways.
Networks = Annotated[
    tuple[
        Annotated[
            Network,
            PlainValidator(_network),
            PlainSerializer(str, return_type=str),
            WithJsonSchema(
                {
                    "type": "string",
                    "description": "A network, or a single address.",
                    "pattern": "^[0-9A-Fa-f:.]{2,45}(?:/[0-9]{1,3})?$",
                    "examples": ["10.0.0.0/8", "2001:db8::/32"],
                }
            ),
        ],
        ...,
    ],
    Field(max_length=_MOST_NETWORKS),
    AfterValidator(_each_once),
]
Amount = Annotated[int, Field(ge=0, le=_MOST, strict=True)]
