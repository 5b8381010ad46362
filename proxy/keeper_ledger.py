"""The ledger's side of what sessions are held to: budgets of grants, and commits that are held."""

import asyncio
from contextlib import suppress
from functools import partial

from broker.domain.grant import Grant
from broker.domain.statement.budget import Used
from broker.domain.statement.conditions import CommitGate
from broker.domain.statement.held_commit import CommitDecision, HeldCommit, Settled
from broker.ledger import usage
from broker.ledger.connection import Pool, autocommit
from proxy.held_commits import HeldCommits
from proxy.ledger_writes import until_ledger_answers
from proxy.registry import Registry


class Ledger:
    """A KeeperLedger."""

    def __init__(self, pool: Pool, registry: Registry) -> None:
        self._pool = pool
        self._registry = registry
        self._commits = HeldCommits(pool)
        self._late: asyncio.Queue[tuple[str, Used]] = asyncio.Queue()

    async def use(self, grant_id: str, used: Used) -> Used:
        async with autocommit(self._pool) as db:
            return await usage.add(db, grant_id, used.rows, used.bytes)

    def use_late(self, grant_id: str, used: Used) -> None:
        if used != Used():
            self._late.put_nowait((grant_id, used))

    async def write_late_uses(self) -> None:
        """Count what sessions were sent before they ended. Runs until cancelled."""
        while True:
            grant_id, used = await self._late.get()
            try:
                await until_ledger_answers(partial(self.use, grant_id, used))
            finally:
                self._late.task_done()

    async def wait_until_counted(self) -> None:
        await self._late.join()

    async def hold_commit(
        self, session_id: str, grant: Grant, gate: CommitGate, rows: int
    ) -> HeldCommit | None:
        return await self._commits.hold(session_id, grant, gate, rows)

    async def wait_for_decision(self, held: HeldCommit, timeout_s: float) -> Settled | None:
        told = self._registry.hold_commit(held.id)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await told.wait()
            return (await self._commits.fetch_decisions([held.id])).get(held.id)
        finally:
            self._registry.forget_commit(held.id)

    async def settle_commit(self, held: HeldCommit, decision: CommitDecision) -> Settled:
        return await self._commits.settle(held, decision)
