"""The receipt of a grant: what was read from the target after the fact, line by line.

A line claims one thing, says how it was checked, and whether that proved it. It never says more
than was read: what could not be asked is a line that is not proved. Receipts form a chain, in which
each hash covers the body and the hash before it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

GENESIS = bytes(32)  # what the first receipt follows


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One claim. `count` is how many the question found, None if it could not be asked."""

    claim: str
    count: int | None
    question: str
    read_at: datetime | None
    note: str = ""

    @property
    def proved(self) -> bool:
        return self.count == 0

    def to_json(self) -> dict[str, Any]:
        return {
            "claim": self.claim,
            "proved": self.proved,
            "count": self.count,
            "question": " ".join(self.question.split()),
            "read_at": self.read_at.isoformat() if self.read_at else None,
            **({"note": self.note} if self.note else {}),
        }


@dataclass(frozen=True, slots=True)
class Step:
    """One statement that was run to remove something, and when it was done."""

    at: datetime
    database: str
    statement: str

    def to_json(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(),
            "database": self.database,
            "statement": self.statement,
        }


@dataclass(frozen=True, slots=True)
class Link:
    """A receipt's place in the chain. `body` is canonical JSON; the hashes are SHA-256."""

    number: int
    body: str
    previous: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class BrokenLink:
    number: int
    why: str


def unproved(lines: Iterable[Line]) -> list[str]:
    """Return the claims that no reading proves."""
    return [line.claim for line in lines if not line.proved]


def canonical(facts: dict[str, Any]) -> str:
    """Return the one text that these facts have: sorted keys, no spaces (RFC 8785 in spirit)."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def seal(number: int, body: str, previous: bytes) -> Link:
    """Return the link that follows `previous`, a hash of 32 bytes."""
    return Link(number, body, previous, _hash(number, body, previous))


def check_link(link: Link, number: int, previous: bytes) -> BrokenLink | None:
    """Say what is wrong, if anything, with what should be link `number` and follow `previous`."""
    if link.number != number:
        return BrokenLink(number, f"receipt {number} is missing")
    if link.previous != previous:
        return BrokenLink(number, f"receipt {number} does not follow the one before it")
    if link.hash != _hash(number, link.body, previous):
        return BrokenLink(number, f"receipt {number} was changed")
    return None


def _hash(number: int, body: str, previous: bytes) -> bytes:
    return sha256(previous + number.to_bytes(8) + body.encode()).digest()
