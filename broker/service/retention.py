"""Keeps days of statements: makes them beforehand, and drops those whose time is over.

What is dropped is written down in the audit trail, which is chained itself: so nobody can take
rows out and call it retention without that being on record.
"""

import logging
from datetime import UTC, date

import asyncpg

from broker.domain.events import StatementsDayDropped
from broker.domain.person import SYSTEM
from broker.domain.statement.dropped_days import DroppedDay
from broker.ledger import audit, statement_days
from broker.ledger.connection import reading, transaction
from broker.service.context import Context

_AHEAD = 7  # days: so long may readers keep us from making new ones

# A deadlock with readers cannot be ruled out, only with whoever writes; PostgreSQL ends it.
_IN_USE = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)

_log = logging.getLogger(__name__)


class Retention:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def make_days(self) -> None:
        """See to it that the coming days have their place. Does nothing where there is too much
        reading going on: what comes for a day without a place is kept all the same."""
        today = self._context.now().astimezone(UTC).date()
        try:
            async with transaction(self._context.ledger) as db:
                await statement_days.ensure(db, today, _AHEAD)
        except _IN_USE:
            _log.info("no new days of statements yet: somebody reads them; trying again")

    async def drop_old(self) -> list[DroppedDay]:
        """Drop the days that are to be kept no longer, as the settings say."""
        keep = self._context.record.keep_statements
        if keep is None:
            return []
        first_kept = (self._context.now() - keep).astimezone(UTC).date()
        async with reading(self._context.ledger) as db:
            days = await statement_days.fetch_days(db)
        dropped = [await self._drop(day) for day in days if day < first_kept]
        return [each for each in dropped if each is not None]

    async def _drop(self, day: date) -> DroppedDay | None:
        now = self._context.now()
        try:
            async with transaction(self._context.ledger) as db:
                dropped = await statement_days.drop(db, day, now)
                if dropped is None:
                    return None
                event = StatementsDayDropped(
                    day=day.isoformat(), rows=dropped.rows, through=dropped.through
                )
                await audit.append(db, event, actor=SYSTEM, now=now)
        except _IN_USE:
            _log.info("statements of %s are not dropped yet: somebody reads them", day)
            return None
        _log.info("dropped the statements of %s: %d rows", day, dropped.rows)
        return dropped
