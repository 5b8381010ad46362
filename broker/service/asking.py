"""Asking for access: what becomes a request, and what is given at once."""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta

from broker.domain.allowance import Allowance
from broker.domain.catalog import CatalogRole
from broker.domain.errors import (
    ApprovalNeeded,
    BrokerError,
    KindNotOffered,
    PolicyDenied,
    RoleUnusable,
    TargetRefused,
    TargetUnreachable,
)
from broker.domain.events import (
    RequestConsented,
    RequestMade,
    RequestRefused,
)
from broker.domain.grant import Grant, GrantKind
from broker.domain.ids import IdKind
from broker.domain.network import Network
from broker.domain.on_call import OnCallNow
from broker.domain.person import SYSTEM, Person
from broker.domain.policy.ask import Ask
from broker.domain.policy.decision import Decision as PolicyDecision
from broker.domain.policy.decision import Outcome, decide
from broker.domain.request import (
    AccessRequest,
    Cause,
    Decision,
    RequestState,
    Terms,
    Verdict,
)
from broker.ledger import audit, requests
from broker.ledger.connection import Db, transaction
from broker.service.approvals import Approvals
from broker.service.circumstances import Circumstances
from broker.service.context import Context
from broker.service.giving import Agreement, require_enforceable, require_personal_role
from broker.service.people import People
from broker.target.roles import fetch_role_faults

# How long somebody who asks waits for the target to say whether the role may be given.
_ROLE_CHECK_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person asks for, for themselves or for `person` (an e-mail address).

    Without a database they mean the target's own, without a duration the policy's, without networks
    they may come from anywhere; with `pin_address` it is always the same address. With `at_once`
    they want it now or not at all. `conversation` is where it is talked over, an https address.
    """

    target: str
    role: str
    database: str | None
    duration: timedelta | None
    reason: str
    source: str | None
    kind: GrantKind = GrantKind.LOGIN
    networks: tuple[Network, ...] = ()
    pin_address: bool = False
    person: str | None = None
    at_once: bool = False
    conversation: str | None = None


class Asking:
    def __init__(
        self,
        context: Context,
        people: People,
        circumstances: Circumstances,
        approvals: Approvals,
    ) -> None:
        self._context = context
        self._people = people
        self._circumstances = circumstances
        self._approvals = approvals

    async def ask(self, wish: Wish, requester: Person) -> tuple[AccessRequest, Grant | None]:
        """Make a request, and give what nobody has to agree to any more.

        What is given is still to be made on its target. Raises Invalid or Forbidden with what is
        allowed instead, which the audit trail then has too.
        """
        try:
            person = await self._beneficiary(wish, requester)
            return await self._ask(wish, person, requester)
        except BrokerError as refusal:
            await self._record_refusal(wish, requester, refusal)
            raise

    async def _ask(
        self, wish: Wish, person: Person, requester: Person
    ) -> tuple[AccessRequest, Grant | None]:
        context = self._context
        target, role = context.catalog.find(
            person, context.policies, target=wish.target, role=wish.role
        )
        ask = Ask(
            person=person,
            requester=requester,
            target=target.name,
            database=wish.database or target.database,
            role=role.name,
            kind=wish.kind,
            duration=wish.duration,
            reason=wish.reason,
            networks=wish.networks,
        )
        on_call = await self._circumstances.on_call(
            context.policies.candidates(person, ask.target, ask.role)
        )
        async with transaction(context.ledger) as db:
            version, policies = context.policy_version, context.policies
            facts, _covering = await self._circumstances.gather(db, policies, ask, on_call)
        decision = decide(policies, ask, facts)
        if decision.error is not None:
            raise decision.error
        if wish.at_once and decision.outcome is Outcome.ASK:
            assert decision.policy is not None
            name = decision.policy.name
            raise ApprovalNeeded(name, policies.approvers(name, of=person))
        self._require_kind(ask, role)
        pin_address = wish.pin_address or role.pin_address
        require_enforceable(ask.kind, role.name, decision.networks, pin_address=pin_address)
        await self._require_usable(ask, role)
        # Why somebody has to wait who counts on being on call.
        unknown = tuple(on_call.silent.values()) if decision.outcome is Outcome.ASK else ()
        decision = replace(decision, why=(*decision.why, *unknown))
        request = self._request(wish, ask, decision, pin_address=pin_address)
        async with transaction(context.ledger) as db:
            await self.write_down(db, request, policy_version=version)
            return request, await self._give_if_agreed(db, request, decision, on_call)

    async def _give_if_agreed(
        self,
        db: Db,
        request: AccessRequest,
        decision: PolicyDecision,
        on_call: OnCallNow,
    ) -> Grant | None:
        case = await self._approvals.case(db, request, on_call)
        beforehand = [each for each in case.covering if each.policy == request.policy]
        for allowance in beforehand:
            await self._consent_beforehand(db, request, allowance)
        if decision.outcome is Outcome.GIVEN:
            terms = Terms(request.duration, request.networks, request.pin_address)
            why = "; ".join(decision.why)
            agreement = Agreement(
                terms=terms, cause=Cause.POLICY, actor=SYSTEM, comment=why, at_once=True
            )
            return await self._approvals.giving.give(db, case, agreement)
        if not beforehand:
            return None
        said = "; ".join(each.reason for each in beforehand if each.reason)
        return await self._approvals.conclude(db, case, Cause.POLICY, actor=SYSTEM, comment=said)

    async def _consent_beforehand(
        self, db: Db, request: AccessRequest, allowance: Allowance
    ) -> None:
        now = self._context.now()
        consent = Decision(
            id=self._context.new_id(IdKind.DECISION),
            request_id=request.id,
            decider=allowance.approver,
            verdict=Verdict.APPROVAL,
            duration=allowance.duration,
            comment=allowance.reason,
            decided_at=now,
            allowance_id=allowance.id,
        )
        if await requests.insert_decision(db, consent):
            event = RequestConsented(
                request_id=request.id,
                duration=allowance.duration,
                comment=allowance.reason,
                break_glass=False,
                allowance_id=allowance.id,
            )
            await audit.append(db, event, actor=allowance.approver.email, now=now)

    def _request(
        self, wish: Wish, ask: Ask, decision: PolicyDecision, *, pin_address: bool
    ) -> AccessRequest:
        policy, duration = decision.policy, ask.duration or decision.duration
        assert policy is not None
        assert duration is not None
        now = self._context.now()
        return AccessRequest(
            id=self._context.new_id(IdKind.REQUEST),
            person=ask.person,
            requester=ask.requester,
            target=ask.target,
            database=ask.database,
            role=ask.role,
            duration=duration,
            reason=ask.reason,
            source=wish.source,
            policy=policy.name,
            why=decision.why,
            state=RequestState.PENDING,
            created_at=now,
            lapses_at=now + (policy.approvable_for or self._context.request_lapses_after),
            kind=ask.kind,
            networks=decision.networks,
            pin_address=pin_address,
            conversation=wish.conversation,
        )

    async def write_down(
        self, db: Db, request: AccessRequest, *, policy_version: int | None
    ) -> None:
        """Store a new request and its audit event."""
        await requests.insert(db, request, policy_version=policy_version)
        event = RequestMade(
            request_id=request.id,
            person=request.person.email,
            target=request.target,
            database=request.database,
            role=request.role,
            duration=request.duration,
            reason=request.reason,
            policy=request.policy,
            why=request.why,
            source=request.source,
            networks=request.networks,
            pin_address=request.pin_address,
            extends=request.extends,
            more_rows=request.more.rows,
            more_bytes=request.more.bytes,
            conversation=request.conversation,
        )
        await audit.append(db, event, actor=request.requester.email, now=self._context.now())

    async def _beneficiary(self, wish: Wish, requester: Person) -> Person:
        if wish.person is None or wish.person.lower() == requester.email:
            return requester
        # Who may ask for nobody else does not hear who there is, nor what others may have.
        if not self._context.policies.lets_ask_for_others(requester):
            raise PolicyDenied(f"no policy lets you ask for {wish.person.lower()}")
        async with transaction(self._context.ledger) as db:
            return await self._people.require(db, wish.person)

    async def _record_refusal(self, wish: Wish, requester: Person, refusal: BrokerError) -> None:
        event = RequestRefused(
            person=(wish.person or requester.email).lower(),
            target=wish.target,
            role=wish.role,
            duration=wish.duration,
            code=refusal.code,
            why=str(refusal),
            source=wish.source,
        )
        async with transaction(self._context.ledger) as db:
            await audit.append(db, event, actor=requester.email, now=self._context.now())

    def _require_kind(self, ask: Ask, role: CatalogRole) -> None:
        if ask.kind not in role.kinds:
            raise KindNotOffered(role.name, ask.kind, sorted(role.kinds))
        if ask.kind is GrantKind.MEMBERSHIP:
            require_personal_role(self._context, ask.person, ask.target)

    async def _require_usable(self, ask: Ask, role: CatalogRole) -> None:
        """Raise RoleUnusable if the target says so. One that is down is asked again when the login
        is made."""
        try:
            async with (
                asyncio.timeout(_ROLE_CHECK_S),
                self._context.target(ask.target, ask.role).admin() as db,
            ):
                faults = await fetch_role_faults(db, role, ask.database)
        except (TargetUnreachable, TargetRefused, TimeoutError):
            return
        if faults:
            raise RoleUnusable(role.name, ask.target, faults)
