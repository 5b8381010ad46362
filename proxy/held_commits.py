"""Commits that a worker holds: written down before anybody waits, settled by whoever is first."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from broker.domain.events import CommitDecided, CommitHeld
from broker.domain.grant import Grant
from broker.domain.ids import RANDOM_BYTES, IdKind, new_id
from broker.domain.person import SYSTEM
from broker.domain.statement.conditions import CommitGate
from broker.domain.statement.held_commit import CommitDecision, HeldCommit, Settled
from broker.ledger import audit, held_commits
from broker.ledger.channel import notify_commit
from broker.ledger.connection import Pool, reading, transaction


class HeldCommits:
    """The ledger's side of the commit gate. Every method raises LedgerUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def hold(
        self, session_id: str, grant: Grant, gate: CommitGate, rows: int
    ) -> HeldCommit | None:
        """Write down that a session's COMMIT waits for somebody. Returns None if the ledger does
        not have the session: nobody could decide then."""
        now = _now()
        held = HeldCommit(
            id=new_id(IdKind.HELD_COMMIT, now, os.urandom(RANDOM_BYTES)),
            session_id=session_id,
            grant_id=grant.id,
            rows=rows,
            by_approver=gate.by_approver,
            held_at=now,
            ends_at=now + gate.within,
        )
        event = CommitHeld(
            session_id=session_id,
            grant_id=grant.id,
            held_id=held.id,
            rows=rows,
            by_approver=held.by_approver,
            until=held.ends_at,
        )
        async with transaction(self._pool) as db:
            if not await held_commits.hold(db, held):
                return None
            await notify_commit(db, held.id)
            await audit.append(db, event, actor=grant.person.email, now=now)
        return held

    async def fetch_decisions(self, held_ids: Sequence[str]) -> dict[str, Settled]:
        """Return what was decided, of those that are decided: after a notification, and after the
        loss of some."""
        async with reading(self._pool) as db:
            return await held_commits.fetch_decisions(db, held_ids)

    async def settle(self, held: HeldCommit, decision: CommitDecision) -> Settled:
        """Say what became of a commit that nobody decided about. Returns what holds: somebody may
        have confirmed it, or not, at the same moment."""
        now = _now()
        async with transaction(self._pool) as db:
            if await held_commits.settle(db, held.id, decision, None, now):
                await notify_commit(db, held.id)
                event = CommitDecided(
                    session_id=held.session_id,
                    grant_id=held.grant_id,
                    held_id=held.id,
                    decision=decision.value,
                )
                await audit.append(db, event, actor=SYSTEM, now=now)
                return Settled(decision, None, now)
            settled = await held_commits.fetch_decision(db, held.id)
        # Nobody deletes them, so one that is gone was never written down: nothing is confirmed.
        return settled or Settled(CommitDecision.LOST, None, now)


def _now() -> datetime:
    return datetime.now(UTC)
