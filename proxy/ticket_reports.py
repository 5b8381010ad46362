"""Tells the ledger what tickets were used for, as soon as it listens.

Safe to repeat and to die in at any point: a use is known by its ticket, worker and time, and how
much of a journal was taken is committed together with what it says.
"""

import asyncio
import logging
from contextlib import ExitStack, suppress
from datetime import UTC, datetime

from broker.domain.errors import LedgerUnavailable
from broker.domain.ticket_record import TicketRecord, TicketSessionClosed
from broker.ledger import sessions, tickets
from broker.ledger.connection import Pool, transaction
from proxy.ticket_records import Journal, TicketRecords, without_ends

_LOOK_EVERY_S = 5.0
_RETRY_S = 1.0

_log = logging.getLogger(__name__)


class TicketReports:
    def __init__(
        self, pool: Pool, records: TicketRecords, news: asyncio.Event, worker_id: str
    ) -> None:
        """`news` is set when there is something to report."""
        self._pool = pool
        self._records = records
        self._news = news
        self._worker_id = worker_id
        self._told: dict[str, int] = {}

    async def keep_reporting(self) -> None:
        """Report what there is, again and again. Runs until cancelled."""
        while True:
            self._news.clear()
            try:
                await self.report()
            except LedgerUnavailable:
                await asyncio.sleep(_RETRY_S)
                continue
            except Exception:
                _log.exception("reporting the use of tickets failed; trying again")
                await asyncio.sleep(_RETRY_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._news.wait()

    async def report(self) -> None:
        """Report what all workers of this machine have written down, those that died included.

        Together, so that a grant which is over has all its sessions in the ledger when a broker
        writes the receipt. Raises LedgerUnavailable or OSError.
        """
        uses = await asyncio.to_thread(self._records.untold_uses)
        with ExitStack() as stack:
            # Journals of months may take their time, in which sessions go on.
            found = await asyncio.to_thread(stack.enter_context, self._records.journals())
            lines = {journal.worker_id: len(journal.records) for journal in found.living}
            if not uses and not found.abandoned and lines == self._told:
                return
            now = datetime.now(UTC)
            async with transaction(self._pool) as db:
                for worker_id in sorted({self._worker_id, *lines}):
                    # Else their sessions would be taken for those of workers that are gone.
                    await sessions.save_worker_seen(db, worker_id, "proxy", now)
                for use in uses:
                    await tickets.report_use(db, use)
                gone = [_ended(journal, now) for journal in found.abandoned]
                # In one order, so that two workers never wait for each other.
                for journal in sorted((*found.living, *gone), key=lambda each: each.worker_id):
                    await tickets.report_journal(db, journal.worker_id, journal.records)
        for use in uses:
            self._records.mark_told(use)
        self._told = lines


def _ended(journal: Journal, now: datetime) -> Journal:
    """Return the journal of a worker that is gone with the ends that it could not write."""
    lost: list[TicketRecord] = [
        TicketSessionClosed(
            session_id=session_id,
            reason="worker lost",
            bytes_from_client=0,
            bytes_to_client=0,
            at=now,
        )
        for session_id in without_ends(journal)
    ]
    return Journal(journal.worker_id, (*journal.records, *lost))
