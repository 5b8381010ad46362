"""What evidence says of what we know."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import Enum, StrEnum
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from broker.domain.plain import plain


class Word(StrEnum):
    YES = "yes"


class Number(Enum):
    ONE = 1


@dataclass(frozen=True, slots=True)
class Thing:
    words: frozenset[Word]
    secret: str = field(repr=False, default="hidden")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (0.5, 0.5),
        ("text", "text"),
        (Word.YES, "yes"),
        (Number.ONE, 1),
        (datetime(2026, 3, 1, 12, tzinfo=UTC), "2026-03-01T12:00:00.000000Z"),
        (date(2026, 3, 1), "2026-03-01"),
        (timedelta(hours=1), "PT1H"),
        (ip_network("10.0.0.0/8"), "10.0.0.0/8"),
        (ip_address("2001:db8::1"), "2001:db8::1"),
        ((1, [2]), [1, [2]]),
        ({"a": Word.YES}, {"a": "yes"}),
        (Thing(frozenset({Word.YES})), {"words": ["yes"]}),
    ],
)
def test_everything_we_know_has_one_form_in_json(value: Any, said: Any) -> None:
    assert plain(value) == said


def test_what_has_no_form_is_not_made_up() -> None:
    with pytest.raises(TypeError, match="bytes has no place in JSON"):
        plain({"key": b"secret"})
