"""What all tickets of one worker share: its records, and the ledger as far as it answers."""

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from broker.domain.buckets import PerAddressBuckets
from broker.domain.errors import LedgerUnavailable
from broker.domain.grant import Grant
from broker.domain.network import Address
from broker.domain.ticket_record import TicketRecord, TicketRefused, TicketSessionClosed
from broker.ledger.bans import ThrottleRules
from proxy.gate import Gate
from proxy.throttle import Bans, address_key
from proxy.ticket_records import TicketRecords

# A ledger that hangs must not keep people out for long.
_LEDGER_S = 2.0
_RETRY_S = 1.0
# A client that knocks all day with a ticket that is used up fills no disk, and no audit trail.
_REFUSALS_AT_ONCE = 100
_REFUSALS_PER_S = 1 / 60
_REMEMBERED_ADDRESSES = 10_000

_log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Unknown:
    """The ledger answers, and knows of no such grant."""


class TicketOffice:
    """What all tickets that come to one worker share."""

    def __init__(self, gate: Gate, bans: Bans, records: TicketRecords, worker_id: str) -> None:
        self.gate = gate
        self.bans = bans
        self.records = records
        self.worker_id = worker_id
        self.news = asyncio.Event()
        """Set when there is something to report."""
        self._ends: asyncio.Queue[TicketSessionClosed] = asyncio.Queue()
        self._refusals = PerAddressBuckets(
            _REFUSALS_PER_S, _REFUSALS_AT_ONCE, _REMEMBERED_ADDRESSES
        )

    async def append(self, record: TicketRecord) -> None:
        """Raises OSError."""
        await asyncio.to_thread(self.records.append, record)
        self.news.set()

    async def append_refusal(self, refused: TicketRefused) -> None:
        """Write it down, unless there are too many from that address. Raises OSError."""
        if self._refusals.take(refused.address, asyncio.get_running_loop().time()):
            await self.append(refused)

    def end(self, closed: TicketSessionClosed) -> None:
        self._ends.put_nowait(closed)

    async def write_ends(self) -> None:
        """Write down the ends of sessions, each until it is done. Runs until cancelled."""
        while True:
            closed = await self._ends.get()
            while True:
                try:
                    await self.append(closed)
                    break
                except OSError as error:
                    _log.error("the end of a session cannot be written down: %s", error)
                    await asyncio.sleep(_RETRY_S)
            self._ends.task_done()

    async def wait_until_written(self) -> None:
        await self._ends.join()

    async def ask_ledger(self, grant_id: str) -> "Grant | Unknown | None":
        """Return the grant as the ledger has it; None if the ledger does not say."""

        async def ask() -> Grant | Unknown:
            return await self.gate.find_grant(grant_id) or Unknown()

        return await _unless_away(ask(), "what it knows of a ticket's grant")

    async def report_rejected(self, grant_id: str) -> None:
        await _unless_away(self.gate.report_sealed_rejected(grant_id), "to end a ticket's grant")

    async def count_failure(self, address: Address, rules: ThrottleRules) -> None:
        """Count a wrong secret against the address: in the ledger, or else here. Not against the
        ticket: its secret cannot be guessed, and a ban would keep out who holds it."""
        key = address_key(address)

        async def count() -> bool:
            await self.gate.count_failures([key], rules)
            return True

        if await _unless_away(count(), "to count a wrong secret"):
            return
        until = self.bans.count_failure(key, rules, _now())
        if until is not None:
            _log.warning("%r is banned on this worker until %s", key, until)


async def _unless_away(asking: Awaitable[Answer], asked: str) -> Answer | None:
    """Return None if the ledger does not answer, or whatever else is wrong with it: that is what
    tickets are for."""
    try:
        async with asyncio.timeout(_LEDGER_S):
            return await asking
    except (LedgerUnavailable, TimeoutError):
        _log.info("the ledger is out of reach; it was asked %s", asked)
    except Exception:
        _log.exception("the ledger failed; it was asked %s", asked)
    return None


def _now() -> datetime:
    return datetime.now(UTC)
