"""Asking for a grant to end later, or to be good for more, through the policy that gave it."""

from dataclasses import dataclass
from datetime import timedelta

from broker.domain.authorization import EVERY_REACH, Reach
from broker.domain.errors import HeldByTicket, IllegalTransition, Invalid, NotApprover
from broker.domain.grant import GrantState
from broker.domain.ids import IdKind
from broker.domain.person import SYSTEM, Person
from broker.domain.policy.decision import Outcome
from broker.domain.request import AccessRequest, Cause, RequestState, Terms
from broker.domain.statement.budget import NOTHING, Used
from broker.ledger import requests
from broker.ledger.connection import Db, transaction
from broker.ledger.sight import Visible
from broker.service.approvals import Approvals, Consent
from broker.service.asking import Asking
from broker.service.circumstances import Circumstances
from broker.service.context import Context
from broker.service.giving import Agreement, Case, policy_gone
from broker.service.visible import require_visible, ties, visible_to


@dataclass(frozen=True, slots=True, kw_only=True)
class More:
    """How much later a grant is to end, how much more its sessions may be sent, and why."""

    duration: timedelta
    reason: str
    source: str | None
    budget: Used = NOTHING


class Extensions:
    def __init__(
        self,
        context: Context,
        circumstances: Circumstances,
        asking: Asking,
        approvals: Approvals,
    ) -> None:
        self._context = context
        self._circumstances = circumstances
        self._asking = asking
        self._approvals = approvals

    async def extend(
        self,
        grant_id: str,
        person: Person,
        more: More,
        *,
        reach: frozenset[Reach] = EVERY_REACH,
    ) -> AccessRequest:
        """Ask for it, and move the curfew if nobody else has to agree: the grant's sessions go on,
        held to what the policy says by now.

        The holder asks; an approver who asks consents with it. Raises what the policy has against
        it: never may more be left than it gives at once.
        """
        if not more.duration and more.budget == NOTHING:
            raise Invalid("say how much longer, or how many rows or bytes more")
        visible = await visible_to(self._context, person)
        async with transaction(self._context.ledger) as db:
            grant, original = await require_visible(db, visible, grant_id)
        near = ties(visible, original, own=person.id == grant.person.id)
        if not reach & near & {Reach.OWN, Reach.APPROVED}:
            raise NotApprover("only an approver extends what others have")
        policy = self._context.policies.find(original.policy)
        if policy is None:
            raise policy_gone(original.policy)
        on_call = await self._circumstances.on_call([policy])
        async with transaction(self._context.ledger) as db:
            request = await self._insert(db, grant_id, person, more, visible)
            case = await self._approvals.case(db, request, on_call)
            await self._decide(db, case, person, more)
            stored = await requests.fetch(db, request.id)
        assert stored is not None
        return stored

    async def _insert(
        self, db: Db, grant_id: str, person: Person, more: More, visible: Visible
    ) -> AccessRequest:
        grant, original = await require_visible(db, visible, grant_id)
        if grant.sealed:
            raise HeldByTicket(grant.id)
        if grant.state is not GrantState.ACTIVE:
            raise IllegalTransition(f"grant {grant.id}", grant.state, "extended")
        now = self._context.now()
        request = AccessRequest(
            id=self._context.new_id(IdKind.REQUEST),
            person=original.person,
            requester=person,
            target=grant.target,
            database=grant.database,
            role=grant.role,
            duration=more.duration,
            reason=more.reason,
            source=more.source,
            policy=original.policy,
            why=(f"extends grant {grant.id}",),
            state=RequestState.PENDING,
            created_at=now,
            lapses_at=grant.expires_at,
            kind=grant.kind,
            networks=grant.networks,
            pin_address=grant.pin_address,
            extends=grant.id,
            more=more.budget,
        )
        version = self._context.policy_version
        await self._asking.write_down(db, request, policy_version=version)
        return request

    async def _decide(self, db: Db, case: Case, person: Person, more: More) -> None:
        request = case.request
        terms = Terms(more.duration, request.networks, request.pin_address)
        agreement = Agreement(
            terms=terms, cause=Cause.POLICY, actor=SYSTEM, comment=more.reason, at_once=True
        )
        if person.id == request.person.id:
            giving = self._approvals.giving
            outcome = await giving.decide_extension(db, case, agreement)
            if outcome is Outcome.GIVEN:
                await giving.give(db, case, agreement)
            return
        await self._approvals.consent(db, case, person, Consent(comment=more.reason))
