"""Somebody who stays: by what they came with, and until when that is good if nothing happens."""

from dataclasses import dataclass
from datetime import datetime

from broker.domain.person import Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """`ids` are of the sign-in and the token that they came with; when one of them ends, so does
    this. Without `good_until` nobody can say how long it is good."""

    person: Person
    ids: frozenset[str]
    good_until: datetime | None
