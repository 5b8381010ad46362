"""Commits that wait for somebody: seeing them, letting them through, rolling them back."""

from contextlib import suppress

from broker.domain.authorization import EVERY_REACH, Reach
from broker.domain.errors import CommitSettled, NotApprover, NotFound
from broker.domain.events import CommitDecided
from broker.domain.grant import Grant
from broker.domain.person import Person
from broker.domain.request import AccessRequest
from broker.domain.statement.held_commit import CommitDecision, HeldCommit, why_not_settled
from broker.ledger import audit, held_commits
from broker.ledger.channel import notify_commit
from broker.ledger.connection import Db, transaction
from broker.ledger.held_commits import HeldCommitRow
from broker.ledger.sight import Visible
from broker.service.context import Context
from broker.service.visible import is_own, require_visible, ties, visible_to


class HeldCommits:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def list(
        self, person: Person, *, is_open: bool | None, before: str | None, limit: int
    ) -> list[HeldCommitRow]:
        """Return the held commits that the person may see, newest first."""
        visible = await visible_to(self._context, person)
        async with transaction(self._context.ledger) as db:
            return await held_commits.fetch_page(
                db, visible, is_open=is_open, before=before, limit=limit
            )

    async def confirm(
        self, held_id: str, person: Person, *, reach: frozenset[Reach] = EVERY_REACH
    ) -> HeldCommitRow:
        """Let the commit through, as its gate wants it: as the grant's holder, or as one of its
        approvers who neither holds nor asked for it.

        Raises NotFound, NotYoursToConfirm, or CommitSettled if it waits no longer.
        """
        return await self._settle(held_id, person, CommitDecision.CONFIRMED, reach)

    async def roll_back(
        self, held_id: str, person: Person, *, reach: frozenset[Reach] = EVERY_REACH
    ) -> HeldCommitRow:
        """Have the transaction rolled back, as anybody who may end its session. Raises NotFound,
        NotApprover or CommitSettled."""
        return await self._settle(held_id, person, CommitDecision.ROLLED_BACK, reach)

    async def _settle(
        self, held_id: str, person: Person, decision: CommitDecision, reach: frozenset[Reach]
    ) -> HeldCommitRow:
        visible = await visible_to(self._context, person)
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            held, grant, request = await _require_visible(db, held_id, visible)
            near = reach & ties(visible, request, own=person.id == grant.person.id)
            if not near:
                raise NotApprover("only who holds a grant, or approves it, decides on its commits")
            refusal = why_not_settled(
                held,
                decision,
                now,
                holds=Reach.OWN in near,
                oversees=Reach.APPROVED in near and not is_own(visible, request),
            )
            if refusal is not None:
                raise refusal
            if not await held_commits.settle(db, held.id, decision, person.email, now):
                settled = await held_commits.fetch_decision(db, held.id)
                assert settled is not None
                raise CommitSettled(held.id, settled.decision)
            await notify_commit(db, held.id)
            event = CommitDecided(
                session_id=held.session_id,
                grant_id=held.grant_id,
                held_id=held.id,
                decision=decision.value,
            )
            await audit.append(db, event, actor=person.email, now=now)
            row = await held_commits.fetch(db, held.id)
        assert row is not None
        return row


async def _require_visible(
    db: Db, held_id: str, visible: Visible
) -> tuple[HeldCommit, Grant, AccessRequest]:
    """Raises NotFound for one that is not there or not this person's to see."""
    row = await held_commits.fetch(db, held_id)
    if row is not None:
        with suppress(NotFound):
            return row.held, *await require_visible(db, visible, row.held.grant_id)
    raise NotFound("held commit", held_id)
