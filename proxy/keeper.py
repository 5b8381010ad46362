"""Holds one session to what its grant's policy says: what its statements may be, how much it may
read, and what happens to a COMMIT that changed much.

What a session has been sent is counted here at once, and added up with the grant's other sessions
in the ledger: every second, and before a small part of the budget has passed uncounted. So all
sessions together may be sent at most that part more each than the budget has.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from broker.domain.errors import LedgerUnavailable
from broker.domain.grant import Grant
from broker.domain.statement.budget import NOTHING, Used, exceeded, share
from broker.domain.statement.conditions import CommitGate
from broker.domain.statement.held_commit import CommitDecision, HeldCommit, Settled
from broker.ledger.logins import ProxyLogin
from broker.sql.kinds import statements_of
from proxy.goodbye import Goodbye
from proxy.refusals import (
    Guide,
    budget_nearly_spent,
    budget_reached,
    commit_is_held,
    commit_refused,
)
from proxy.relay import Relay, Watching
from proxy.transcript import Transcript
from proxy.watch import Watch

_SETTLE_EVERY_S = 1.0
_RETRY_S = 0.5
_UNCOUNTED = 0.02  # of a budget that may pass before it is added up
_NEARLY = 0.8
_LOOK_EVERY_S = 5.0  # at a held commit, in case that a notification was lost

_log = logging.getLogger(__name__)


class KeeperLedger(Protocol):
    """What is asked of the ledger about sessions that are held to conditions. What is async raises
    LedgerUnavailable."""

    async def use(self, grant_id: str, used: Used) -> Used:
        """Count what a session was sent; return what all sessions of the grant were."""

    def use_late(self, grant_id: str, used: Used) -> None:
        """Count it as soon as possible."""

    async def hold_commit(
        self, session_id: str, grant: Grant, gate: CommitGate, rows: int
    ) -> HeldCommit | None:
        """Write down that a COMMIT waits; None if the ledger does not know its session."""

    async def wait_for_decision(self, held: HeldCommit, timeout_s: float) -> Settled | None:
        """Return what was decided within this time, if anything."""

    async def settle_commit(self, held: HeldCommit, decision: CommitDecision) -> Settled:
        """Say what became of it if nobody decided; return what holds."""


@dataclass(slots=True)
class _Meter:
    """Rows and bytes: those of this session so far, and of them those that the ledger knows."""

    seen: Used = NOTHING
    counted: Used = NOTHING

    @property
    def uncounted(self) -> Used:
        return Used(self.seen.rows - self.counted.rows, self.seen.bytes - self.counted.bytes)


class Keeper:
    """The conditions of one session. Await `keep` while it is relayed."""

    def __init__(
        self,
        session_id: str,
        login: ProxyLogin,
        ledger: KeeperLedger,
        guide: Guide,
        end: Callable[[Goodbye], None],
    ) -> None:
        """`end` ends the session."""
        self._session_id = session_id
        self._grant = login.grant
        self._known = login.used  # of all sessions, as the ledger said
        self._ledger = ledger
        self._guide = guide
        self._end = end
        self._meter = _Meter()
        self._relay: Relay | None = None
        self._watch: Watch | None = None
        self._warned = False
        self._holding = False
        self._settle = asyncio.Event()
        self._held_rows: int | None = None
        self._commit = asyncio.Event()

    def watching(self, transcript: Transcript) -> Watching:
        conditions = self._grant.conditions
        if conditions.watches_statements:
            self._watch = Watch(conditions, transcript, statements_of)
        return Watching(
            watch=self._watch,
            commit_held=self._hold_commit,
            is_bounded=conditions.max_rows is not None or conditions.max_bytes is not None,
            admits=self._admit,
            received=self._receive,
        )

    def follow(self, grant: Grant) -> None:
        """Take up what the grant is held to now. What statements may be stays as it was when the
        session began."""
        self._grant = grant
        self._warned = self._warned and share(grant.conditions, self._used) >= _NEARLY

    async def keep(self, relay: Relay) -> None:
        """Runs until cancelled."""
        self._relay = relay
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_count())
                tasks.create_task(self._attend_to_commits())
        finally:
            self._ledger.use_late(self._grant.id, self._meter.uncounted)

    @property
    def _used(self) -> Used:
        here = self._meter.uncounted
        return Used(self._known.rows + here.rows, self._known.bytes + here.bytes)

    def _admit(self, rows: int, bytes_: int) -> bool:
        """Say whether so much may have been sent by this session, and end it if not."""
        counted = self._meter.counted
        wanted = Used(
            self._known.rows + rows - counted.rows, self._known.bytes + bytes_ - counted.bytes
        )
        limit = exceeded(self._grant.conditions, wanted)
        if limit is not None:
            self._end(budget_reached(self._grant, limit, self._guide))
        return limit is None

    def _receive(self, rows: int, bytes_: int) -> None:
        """Take note of what the target has sent so far."""
        self._meter.seen = Used(rows, bytes_)
        self._look()

    def _look(self) -> None:
        conditions = self._grant.conditions
        part = share(conditions, self._used)
        if part >= _NEARLY and not self._warned and self._relay is not None:
            self._warned = True
            self._relay.notify(budget_nearly_spent(self._grant, part, self._guide))
        if share(conditions, self._meter.uncounted) >= _UNCOUNTED:
            self._settle.set()
            if not self._holding and not self._grant.sealed and self._relay is not None:
                self._holding = True
                self._relay.hold_upstream()

    async def _keep_count(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_SETTLE_EVERY_S):
                    await self._settle.wait()
            self._settle.clear()
            try:
                await self._count()
            except LedgerUnavailable:
                await asyncio.sleep(_RETRY_S)
                self._settle.set()

    async def _count(self) -> None:
        seen, uncounted = self._meter.seen, self._meter.uncounted
        if uncounted == NOTHING:
            return
        self._known = await self._ledger.use(self._grant.id, uncounted)
        self._meter.counted = seen
        if self._holding and self._relay is not None:
            self._holding = False
            self._relay.release_upstream()
        self._look()

    def _hold_commit(self, rows: int) -> None:
        self._held_rows = rows
        self._commit.set()

    async def _attend_to_commits(self) -> None:
        while True:
            await self._commit.wait()
            self._commit.clear()
            settled = await self._decide()
            assert self._relay is not None
            if settled is not None and settled.decision is CommitDecision.CONFIRMED:
                self._relay.confirm_commit()
            else:
                self._end(commit_refused(settled))

    async def _decide(self) -> Settled | None:
        """Have somebody decide about the COMMIT that is held; None if nobody can be asked."""
        assert self._watch is not None
        assert self._held_rows is not None
        gate = self._watch.gate
        try:
            async with asyncio.timeout(gate.within.total_seconds()):
                held = await self._write_down(gate, self._held_rows)
        except TimeoutError:
            return None
        if held is None:
            return None
        assert self._relay is not None
        self._relay.tell(commit_is_held(held, gate.rows))
        while (left_s := (held.ends_at - datetime.now(UTC)).total_seconds()) > 0:
            try:
                settled = await self._ledger.wait_for_decision(held, min(left_s, _LOOK_EVERY_S))
            except LedgerUnavailable:
                await asyncio.sleep(_RETRY_S)
                continue
            if settled is not None:
                return settled
        return await self._time_out(held)

    async def _write_down(self, gate: CommitGate, rows: int) -> HeldCommit | None:
        while True:
            try:
                return await self._ledger.hold_commit(self._session_id, self._grant, gate, rows)
            except LedgerUnavailable:
                await asyncio.sleep(_RETRY_S)

    async def _time_out(self, held: HeldCommit) -> Settled | None:
        try:
            return await self._ledger.settle_commit(held, CommitDecision.TIMED_OUT)
        except LedgerUnavailable:
            return None  # rolled back all the same; brokers write it down when the session is over
