"""Where in the record somebody is: what they have been told of, and from where to go on.

The record is two chains of blocks, which become visible in the order of their numbers. So a place
is a mark in each, and "after this place" misses nothing, whichever process is asked.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

_NUMBER = "(0|[1-9][0-9]{0,17})"  # PostgreSQL's bigint holds them all
_TEXT = re.compile(rf"{_NUMBER}\.{_NUMBER}-{_NUMBER}\.{_NUMBER}")


class Chain(StrEnum):
    """Named as a place has them."""

    EVENTS = "events"
    STATEMENTS = "statements"


class Mark(NamedTuple):
    """How many of a block have been told, and all of the blocks before it. Marks have an order."""

    block: int = 0
    place: int = 0


BEGINNING = Mark()


@dataclass(frozen=True, slots=True)
class Place:
    events: Mark = BEGINNING
    statements: Mark = BEGINNING

    def __str__(self) -> str:
        events, statements = self.events, self.statements
        return f"{events.block}.{events.place}-{statements.block}.{statements.place}"

    def moved(self, chain: Chain, mark: Mark) -> "Place":
        return replace(self, **{chain.value: mark})


def place_of(text: str) -> Place | None:
    """Return the place that `str` made this text of, or None if it made none like it."""
    found = _TEXT.fullmatch(text)
    if found is None:
        return None
    numbers = [int(each) for each in found.groups()]
    return Place(Mark(*numbers[:2]), Mark(*numbers[2:]))
