"""Looking at what sessions did, statement by statement.

Statements say as much as the data that they ask for, so they are shown to whom the session is, and
every look at somebody else's is on record itself, in the transaction that reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from broker.domain.events import RecordRead, StatementsRead
from broker.domain.person import Person
from broker.domain.statement.statement import Statement
from broker.ledger import audit, statements
from broker.ledger.connection import Db, transaction
from broker.ledger.sessions import SessionRow
from broker.ledger.statements import (
    Lifetime,
    Place,
    Running,
    StatementFilter,
    Sums,
    Told,
)
from broker.service.context import Context
from broker.service.exports import described
from broker.service.visible import find_session, visible_to

# Adding up half a million takes some tenths of a second. A list that would take more goes without
# the sums of its older sessions, each of which still says its own.
_AFFORDABLE = 500_000
_RECENTLY = timedelta(days=1)
_LONGEST_CURRENT = 500  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A session with what it did so far. `sums` is None where it would take too long to add up."""

    row: SessionRow
    statements: int
    sums: Sums | None
    running: Running | None


class Statements:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def watch(self, rows: Sequence[SessionRow], person: Person) -> list[Watched]:
        """Add to sessions, which the person may see, what they did."""
        async with transaction(self._context.ledger) as db:
            return await self._watch(db, rows, person)

    async def watch_one(self, row: SessionRow, person: Person) -> Watched:
        """The same, however long it takes to add it up."""
        async with transaction(self._context.ledger) as db:
            (found,) = await self._watch(db, [row], person, affordable=None)
            return found

    async def page(
        self, session_id: str, person: Person, *, after: int, limit: int
    ) -> tuple[Sequence[Statement], bool]:
        """Return the session's statements, oldest first, that come after number `after`, and
        whether there are more.

        Raises NotFound for a session that is not there or not this person's to see.
        """
        visible = await visible_to(self._context, person)
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            row, grant = await find_session(db, visible, session_id)
            page = await statements.fetch_page(
                db, lifetime_of(row), after=after, limit=limit, now=now
            )
            if grant.person.id != person.id:
                event = StatementsRead(session_id=row.id, grant_id=row.grant_id)
                await audit.append(db, event, actor=person.email, now=now)
            return page

    async def search(
        self, person: Person, wanted: StatementFilter, *, before: Place | None, limit: int
    ) -> Sequence[Told]:
        """Return statements that the person may see, newest first. Without a time, a session or a
        grant, those of the last day."""
        visible = await visible_to(self._context, person)
        now = self._context.now()
        asked = wanted
        if (wanted.since, wanted.session_id, wanted.grant_id) == (None, None, None):
            wanted = replace(wanted, since=now - _RECENTLY)
        if before is not None:
            # No day after it has any of those before it.
            latest = before.started_at + timedelta(microseconds=1)
            wanted = replace(wanted, until=min(wanted.until or latest, latest))
        found: list[Told] = []
        async with transaction(self._context.ledger) as db:
            for day in reversed(await statements.fetch_days(db, wanted, now=now)):
                found += await statements.search_day(
                    db, visible, day, wanted, before=before, limit=limit - len(found)
                )
                if len(found) >= limit:
                    break
            if any(each.person != person.email for each in found):
                event = RecordRead(how="search", what="statements", only=described(asked))
                await audit.append(db, event, actor=person.email, now=now)
        return found

    async def _watch(
        self,
        db: Db,
        rows: Sequence[SessionRow],
        person: Person,
        affordable: int | None = _AFFORDABLE,
    ) -> list[Watched]:
        now = self._context.now()
        lives = {row.id: lifetime_of(row) for row in rows}
        counts = await statements.fetch_counts(db, list(lives.values()), now=now)
        cheap = [lives[each] for each in quickly_summed(rows, counts, affordable)]
        sums = await statements.fetch_sums(db, cheap, now=now)
        open_ones = [lives[row.id] for row in rows if row.ended_at is None]
        running = await statements.fetch_running(db, open_ones, longest=_LONGEST_CURRENT, now=now)
        others = tuple(row.id for row in rows if row.id in running and row.person != person.email)
        if others:
            event = StatementsRead(sessions=others)
            await audit.append(db, event, actor=person.email, now=now)
        return [
            Watched(
                row=row,
                statements=counts.get(row.id, 0),
                sums=sums.get(row.id),
                running=running.get(row.id),
            )
            for row in rows
        ]


def lifetime_of(row: SessionRow) -> Lifetime:
    return Lifetime(row.id, row.started_at, row.ended_at)


def quickly_summed(
    rows: Sequence[SessionRow], counts: dict[str, int], affordable: int | None = _AFFORDABLE
) -> list[str]:
    """Return those, from the first on, whose statements together are not too many to add up."""
    if affordable is None:
        return [row.id for row in rows]
    chosen, total = [], 0
    for row in rows:
        count = counts.get(row.id, 0)
        if total + count <= affordable:
            total += count
            chosen.append(row.id)
    return chosen
