"""Asking for access, and deciding about it."""

from dataclasses import dataclass
from datetime import timedelta

from broker.domain.duration import format_duration
from broker.domain.errors import DurationTooLong, NotApprover, NotFound, SelfApproval, TargetGone
from broker.domain.events import (
    RequestApproved,
    RequestCancelled,
    RequestDenied,
    RequestLapsed,
    RequestMade,
)
from broker.domain.grant import Grant, GrantState
from broker.domain.ids import IdKind
from broker.domain.login_plan import login_name
from broker.domain.person import SYSTEM, Person
from broker.domain.policy import Ask, Deny, find, may_decide, may_request
from broker.domain.request import AccessRequest, Decision, RequestEvent, RequestState, Verdict
from broker.ledger import audit, grants, logins, requests
from broker.ledger.connection import Db, transaction
from broker.ledger.logins import Login
from broker.ledger.requests import Visible
from broker.service.context import Context

_LAPSE_BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person asks for. Without a database they mean the target's own."""

    target: str
    role: str
    database: str | None
    duration: timedelta
    reason: str
    source: str | None


@dataclass(frozen=True, slots=True)
class RequestDetails:
    """A request with all that was said about it, and who may still say something."""

    request: AccessRequest
    decisions: tuple[Decision, ...]
    approvers: tuple[str, ...]


class Requests:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def ask(self, wish: Wish, person: Person) -> RequestDetails:
        """Make a request. Raises Invalid or Forbidden with what is allowed instead."""
        context = self._context
        target, role = context.catalog.find(
            person, context.policies, target=wish.target, role=wish.role
        )
        ask = Ask(
            requester=person,
            target=target.name,
            database=wish.database or target.database,
            role=role.name,
            duration=wish.duration,
            reason=wish.reason,
        )
        decision = may_request(context.policies, ask)
        if isinstance(decision, Deny):
            raise decision.error
        now = context.now()
        request = AccessRequest(
            id=context.new_id(IdKind.REQUEST),
            requester=person,
            target=ask.target,
            database=ask.database,
            role=ask.role,
            duration=ask.duration,
            reason=ask.reason,
            source=wish.source,
            policy=decision.policy.name,
            state=RequestState.PENDING,
            created_at=now,
            lapses_at=now + context.request_lapses_after,
        )
        event = RequestMade(
            request_id=request.id,
            target=request.target,
            database=request.database,
            role=request.role,
            duration=request.duration,
            reason=request.reason,
            policy=request.policy,
            source=request.source,
        )
        async with transaction(context.ledger) as db:
            await requests.insert(db, request)
            await audit.append(db, event, actor=person.email, now=now)
        return RequestDetails(request, (), decision.policy.approvers.describe())

    async def get(self, request_id: str, person: Person) -> RequestDetails:
        """Raises NotFound for a request that is not there or not this person's to see."""
        async with transaction(self._context.ledger) as db:
            request = await requests.fetch(db, request_id)
            if request is None or not self._sees(person, request):
                raise NotFound("request", request_id)
            return await self._details(db, request)

    async def list(
        self, person: Person, *, state: RequestState | None, before: str | None, limit: int
    ) -> list[AccessRequest]:
        visible = Visible(
            person_id=person.id, policies=self._context.approvable_by(person), state=state
        )
        async with transaction(self._context.ledger) as db:
            return await requests.fetch_page(db, visible, before=before, limit=limit)

    async def approve(
        self, request_id: str, person: Person, *, duration: timedelta | None, comment: str
    ) -> Grant:
        """Turn the request into a grant whose login is still to be made.

        The approver may give another duration than was asked for, within the policy. Of two
        approvers at once the second gets IllegalTransition.
        """
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            request = await self._lock_to_decide(db, request_id, person)
            approved = request.after(RequestEvent.APPROVED, now)
            given = self._within_policy(request, duration or request.duration)
            grant = Grant(
                id=self._context.new_id(IdKind.GRANT),
                request_id=request.id,
                person=request.requester,
                target=request.target,
                database=request.database,
                role=request.role,
                state=GrantState.PROVISIONING,
                granted_at=now,
                expires_at=now + given,
                next_attempt_at=now,
            )
            await requests.save_state(db, approved)
            await self._record(db, request, person, Verdict.APPROVAL, given, comment)
            await grants.insert(db, grant)
            await logins.insert(db, self._login_of(grant))
            event = RequestApproved(
                request_id=request.id, grant_id=grant.id, duration=given, comment=comment
            )
            await audit.append(db, event, actor=person.email, now=now)
        return grant

    async def deny(self, request_id: str, person: Person, *, reason: str) -> RequestDetails:
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            request = await self._lock_to_decide(db, request_id, person)
            denied = request.after(RequestEvent.DENIED, now)
            await requests.save_state(db, denied)
            await self._record(db, request, person, Verdict.DENIAL, None, reason)
            event = RequestDenied(request_id=request.id, reason=reason)
            await audit.append(db, event, actor=person.email, now=now)
            return await self._details(db, denied)

    async def cancel(self, request_id: str, person: Person) -> RequestDetails:
        """Withdraw one's own pending request."""
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            request = await requests.lock(db, request_id)
            if request is None or request.requester.id != person.id:
                raise NotFound("request", request_id)
            cancelled = request.after(RequestEvent.CANCELLED, now)
            await requests.save_state(db, cancelled)
            event = RequestCancelled(request_id=request.id)
            await audit.append(db, event, actor=person.email, now=now)
            return await self._details(db, cancelled)

    async def lapse_unanswered(self) -> None:
        """Close requests that nobody answered in time."""
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            for request in await requests.lock_lapsed(db, now, _LAPSE_BATCH):
                await requests.save_state(db, request.after(RequestEvent.LAPSED, now))
                event = RequestLapsed(request_id=request.id)
                await audit.append(db, event, actor=SYSTEM, now=now)

    async def _lock_to_decide(self, db: Db, request_id: str, person: Person) -> AccessRequest:
        request = await requests.lock(db, request_id)
        if request is None or not self._sees(person, request):
            raise NotFound("request", request_id)
        if request.requester.id == person.id:
            raise SelfApproval
        if not may_decide(self._context.policies, request.policy, person):
            raise NotApprover(f"policy {request.policy!r} does not name you as an approver")
        return request

    async def _record(
        self,
        db: Db,
        request: AccessRequest,
        person: Person,
        verdict: Verdict,
        duration: timedelta | None,
        comment: str,
    ) -> None:
        decision = Decision(
            id=self._context.new_id(IdKind.DECISION),
            request_id=request.id,
            decider=person,
            verdict=verdict,
            duration=duration,
            comment=comment,
            decided_at=self._context.now(),
        )
        await requests.insert_decision(db, decision)

    def _within_policy(self, request: AccessRequest, given: timedelta) -> timedelta:
        policy = find(self._context.policies, request.policy)
        if policy is not None and given > policy.max_duration:
            raise DurationTooLong(
                format_duration(given),
                format_duration(policy.max_duration),
                f"policy {policy.name!r}",
            )
        return given

    def _login_of(self, grant: Grant) -> Login:
        target = self._context.catalog.targets.get(grant.target)
        role = target.roles.get(grant.role) if target else None
        if role is None:
            raise TargetGone(grant.target, grant.role)
        return Login(
            grant_id=grant.id,
            name=login_name(grant.person.email, grant.role, grant.id),
            oid=None,
            connection_limit=role.connection_limit,
        )

    def _sees(self, person: Person, request: AccessRequest) -> bool:
        return request.requester.id == person.id or may_decide(
            self._context.policies, request.policy, person
        )

    async def _details(self, db: Db, request: AccessRequest) -> RequestDetails:
        policy = find(self._context.policies, request.policy)
        decisions = await requests.fetch_decisions(db, request.id)
        return RequestDetails(
            request, tuple(decisions), policy.approvers.describe() if policy else ()
        )
