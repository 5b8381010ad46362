"""Following the record as it grows.

Nothing is pushed: whoever follows reads on from where they are, a page at a time and no faster than
they take it, and may come back later to go on from there. So nobody's slowness takes memory, and
none misses anything. Whether there is something new the ledger is asked once a second, however many
follow.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import itemgetter

from broker.domain.errors import NotApprover, Unavailable
from broker.domain.events import RecordRead
from broker.domain.person import Person
from broker.domain.statement.statement import Statement
from broker.ledger import audit, record
from broker.ledger.connection import reading, transaction
from broker.ledger.record import (
    AuditBlock,
    Heads,
    SealedEvent,
    SealedRow,
    Span,
    StatementBlock,
)
from broker.ledger.statements import StatementFilter
from broker.service.context import Context
from broker.service.exports import EVERYTHING, What, described, matches_event, matches_row

_LOOK_EVERY_S = 1.0
_BLOCKS_AT_ONCE = 20
_MOST_FOLLOWERS = 50
_BEGINNING = datetime.min.replace(tzinfo=UTC)


class TooManyFollow(Unavailable):
    code = "too-many-follow"

    def __init__(self) -> None:
        super().__init__(f"{_MOST_FOLLOWERS} already follow the record; try again later")


class Stopping(Unavailable):
    code = "stopping"

    def __init__(self) -> None:
        super().__init__("this pgcurfew is being stopped; go on elsewhere, or later")


@dataclass(frozen=True, slots=True)
class News:
    """What came since, in the order of its time, and where that leads. Nothing came if there is
    neither; then this is a sign of life."""

    items: tuple[SealedRow | SealedEvent, ...]
    place: Heads


class Following:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._looking = asyncio.Lock()
        self._looked_at = float("-inf")
        self._newest = Heads()
        self._followers = 0
        self._stopping = asyncio.Event()

    async def begin(
        self, person: Person, what: What, wanted: StatementFilter, after: Heads | None
    ) -> AsyncGenerator[News, None]:
        """Return what comes after a place, or from now on, once it is on record who follows.

        Raises TooManyFollow.
        """
        if self._followers >= _MOST_FOLLOWERS:
            raise TooManyFollow
        event = RecordRead(how="tail", what=what, only=described(wanted))
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            await audit.append(db, event, actor=person.email, now=now)
            self._newest = await record.fetch_heads(db)
        return self._follow(person, what, wanted, self._newest if after is None else after)

    def stop(self) -> None:
        """Let nobody follow any longer: whoever stops the service would wait for them."""
        self._stopping.set()

    async def _follow(
        self, person: Person, what: What, wanted: StatementFilter, place: Heads
    ) -> AsyncGenerator[News, None]:
        """Raises Stopping, and NotApprover once the person does not see everything any more."""
        with self._counted():
            while True:
                if self._stopping.is_set():
                    raise Stopping
                if not self._context.authority.sees_everything(person):
                    raise NotApprover("who follows the record has to see everything, still")
                newest = await self._fetch_newest()
                if newest.statements <= place.statements and newest.events <= place.events:
                    yield News((), place)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._stopping.wait(), _LOOK_EVERY_S)
                    continue
                found = await self._read_on(place, newest)
                place = found.place
                fitting = [each for each in found.items if _fits(each, what, wanted)]
                yield News(tuple(fitting), place)

    async def _read_on(self, place: Heads, newest: Heads) -> News:
        async with reading(self._context.ledger) as db:
            span = Span(place.statements, newest.statements, _BLOCKS_AT_ONCE)
            blocks: Sequence[StatementBlock] = await record.fetch_statement_blocks(
                db, span, EVERYTHING
            )
            rows = await record.fetch_rows(db, blocks)
            span = Span(place.events, newest.events, _BLOCKS_AT_ONCE)
            sealed: Sequence[AuditBlock] = await record.fetch_audit_blocks(db, span, EVERYTHING)
            events = await record.fetch_sealed_events(db, sealed)
        if blocks:
            place = replace(place, statements=blocks[-1].block.number)
        if sealed:
            place = replace(place, events=sealed[-1].block.number)
        return News(_by_time(rows, events), place)

    async def _fetch_newest(self) -> Heads:
        """Return how far the record has come, as of a second ago at most."""
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if now - self._looked_at >= _LOOK_EVERY_S:
                async with reading(self._context.ledger) as db:
                    self._newest = await record.fetch_heads(db)
                self._looked_at = now
            return self._newest

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._followers += 1
        try:
            yield
        finally:
            self._followers -= 1


def _by_time(
    rows: Sequence[SealedRow], events: Sequence[SealedEvent]
) -> tuple[SealedRow | SealedEvent, ...]:
    """Outcomes have no time of their own: each takes that of the row before it."""
    timed: list[tuple[datetime, SealedRow | SealedEvent]] = []
    at = _BEGINNING
    for each in rows:
        at = each.row.started_at if isinstance(each.row, Statement) else at
        timed.append((at, each))
    timed += [(each.event.at, each) for each in events]
    return tuple(each for _, each in sorted(timed, key=itemgetter(0)))


def _fits(item: SealedRow | SealedEvent, what: What, wanted: StatementFilter) -> bool:
    if isinstance(item, SealedEvent):
        return what in (What.EVENTS, What.ALL) and matches_event(wanted, item)
    return what in (What.STATEMENTS, What.ALL) and matches_row(wanted, item)
