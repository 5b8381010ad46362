"""Lists of requests: what they are looked for by, in which order they come, and where a page ends.

A list goes by something, such as the target, and among the same by age, the newest first;
backwards, with a minus, it is all the other way round. So every request has one place in every
order, and a page begins after a place, whatever has been asked for meanwhile.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias

from broker.domain.errors import InvalidPlace, InvalidSearch
from broker.domain.request import AccessRequest, RequestState

# What a request is sorted by besides its id; None is when one that is open will be closed.
SortKey: TypeAlias = "str | timedelta | datetime | None"

MOST_WORDS = 10
_MICROSECOND = timedelta(microseconds=1)
_ID = re.compile("req_[0-9a-z]{1,32}")
_START_OF_ID = re.compile("req_[0-9a-z]{1,16}")
_GRANT_ID = re.compile("grt_[0-9a-z]{16}")


class SortBy(StrEnum):
    """What a list goes by."""

    AGE = "age"
    TARGET = "target"
    ROLE = "role"
    PERSON = "person"
    STATE = "state"
    DURATION = "duration"
    CLOSED = "closed"


class Sort(StrEnum):
    NEWEST = "newest"
    OLDEST = "oldest"
    TARGET = "target"
    TARGET_BACKWARDS = "-target"
    ROLE = "role"
    ROLE_BACKWARDS = "-role"
    PERSON = "person"
    PERSON_BACKWARDS = "-person"
    STATE = "state"
    STATE_BACKWARDS = "-state"
    DURATION = "duration"
    DURATION_BACKWARDS = "-duration"
    CLOSED = "closed"
    CLOSED_BACKWARDS = "-closed"

    @property
    def by(self) -> SortBy:
        if self in {Sort.NEWEST, Sort.OLDEST}:
            return SortBy.AGE
        return SortBy(self.removeprefix("-"))

    @property
    def newest_first(self) -> bool:
        """Whether of two that are otherwise the same the newer one comes first."""
        return self is not Sort.OLDEST and not self.startswith("-")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request stands in a list."""

    sort: Sort
    key: SortKey
    id: str


@dataclass(frozen=True, slots=True)
class Search:
    """What somebody looks for: requests that have words beginning like each of `words`, ids that
    begin with each of `ids`, and gave, or extend, each of `grant_ids`."""

    words: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    grant_ids: tuple[str, ...] = ()


NO_SEARCH = Search()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which requests somebody wants to see, of those that they may.

    `requester` is an e-mail address: who asked, or whom it is for. With `open_to_them` only those
    that wait for their own decision.
    """

    state: RequestState | None = None
    requester: str | None = None
    target: str | None = None
    role: str | None = None
    policy: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    search: Search = NO_SEARCH
    open_to_them: bool = False


ALL = Wanted()


def search_for(text: str) -> Search:
    """Return what `text` asks for. Raises InvalidSearch."""
    words = text.split()
    if len(words) > MOST_WORDS:
        raise InvalidSearch(f"may have at most {MOST_WORDS} words, not {len(words)}")
    words = [each for each in words if any(map(str.isalnum, each))]
    if not words:
        raise InvalidSearch("needs a word to look for, such as a target or part of a reason")
    ids = tuple(each for each in words if _START_OF_ID.fullmatch(each))
    grant_ids = tuple(each for each in words if _GRANT_ID.fullmatch(each))
    return Search(tuple(each for each in words if each not in {*ids, *grant_ids}), ids, grant_ids)


def described(wanted: Wanted) -> tuple[str, ...]:
    """Say for the audit trail which requests are wanted; nothing means all."""
    return tuple(_described(wanted))


def _described(wanted: Wanted) -> Iterator[str]:
    search = wanted.search
    for name, value in (
        ("status", wanted.state),
        ("requester", wanted.requester),
        ("target", wanted.target),
        ("role", wanted.role),
        ("policy", wanted.policy),
        ("since", wanted.since.isoformat() if wanted.since else None),
        ("until", wanted.until.isoformat() if wanted.until else None),
        ("q", " ".join((*search.words, *search.ids, *search.grant_ids)) or None),
        ("needs", "me" if wanted.open_to_them else None),
    ):
        if value is not None:
            yield f"{name}={value}"


def place_of(request: AccessRequest, sort: Sort) -> Place:
    return Place(sort, _key(request, sort.by), request.id)


def encode_place(place: Place) -> str:
    """Return a place for those who ask for the next page. What is in it is nobody's business but
    ours."""
    match place.key:
        case timedelta() as key:
            written: Any = key // _MICROSECOND
        case datetime() as key:
            written = key.astimezone(UTC).isoformat()
        case key:
            written = key
    text = json.dumps([place.sort, written, place.id], separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_place(text: str, sort: Sort) -> Place:
    """Return where to go on in a list that is sorted like this. Raises InvalidPlace."""
    try:
        padded = text + "=" * (-len(text) % 4)
        of, written, request_id = json.loads(urlsafe_b64decode(padded.encode("ascii")))
        if of != sort or not isinstance(request_id, str) or not _ID.fullmatch(request_id):
            raise InvalidPlace(sort)
        return Place(sort, _read_key(written, sort), request_id)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise InvalidPlace(sort) from None


def _read_key(written: Any, sort: Sort) -> SortKey:
    match sort.by, written:
        case ((SortBy.AGE | SortBy.CLOSED), None):
            return None
        case SortBy.CLOSED, str():
            moment = datetime.fromisoformat(written)
            if moment.tzinfo is None:
                raise InvalidPlace(sort)
            return moment.astimezone(UTC)
        case SortBy.DURATION, int() if not isinstance(written, bool):
            return written * _MICROSECOND
        case ((SortBy.TARGET | SortBy.ROLE | SortBy.PERSON | SortBy.STATE), str()):
            if "\0" in written:  # PostgreSQL's text has everything but this
                raise InvalidPlace(sort)
            written.encode()  # half a character raises UnicodeEncodeError, a ValueError
            return written
        case _:
            raise InvalidPlace(sort)


def _key(request: AccessRequest, by: SortBy) -> SortKey:
    keys: dict[SortBy, SortKey] = {
        SortBy.TARGET: request.target,
        SortBy.ROLE: request.role,
        SortBy.PERSON: request.person.email,
        SortBy.STATE: request.state,
        SortBy.DURATION: request.duration,
        SortBy.CLOSED: request.closed_at,
    }
    return keys.get(by)
