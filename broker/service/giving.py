"""Turns a request that all agree on into what was asked for: a grant, or a later curfew of one.

Whatever was decided when it was asked is decided again, as the policies and the clock are now.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from broker.domain.allowance import Allowance
from broker.domain.duration import format_duration
from broker.domain.errors import (
    ApprovalNeeded,
    Conflict,
    NoPersonalRole,
    NotThroughProxy,
    PolicyDenied,
)
from broker.domain.events import GrantActivated, GrantExtended, RequestApproved
from broker.domain.grant import Grant, GrantKind, GrantState
from broker.domain.ids import IdKind
from broker.domain.login_plan import login_name
from broker.domain.network import Network
from broker.domain.person import Person
from broker.domain.policy.ask import Ask, Facts
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.decision import Decision, Outcome, recheck
from broker.domain.policy.quorum import Panel
from broker.domain.policy.rule import Policy, Start
from broker.domain.request import AccessRequest, Cause, RequestEvent, Terms
from broker.domain.statement.budget import Used, why_not_more
from broker.domain.statement.budget import extended as more_of
from broker.domain.statement.conditions import describe
from broker.ledger import audit, grants, logins, memberships, requests, usage
from broker.ledger.channel import notify_grant
from broker.ledger.connection import Db
from broker.ledger.memberships import Membership
from broker.ledger.serial import turn
from broker.service.context import Context
from broker.target.login import move_curfew


@dataclass(frozen=True, slots=True)
class Case:
    """A request that is being decided: locked, its person with the groups of today, by the policies
    of one moment. `covering` is what was agreed to beforehand."""

    request: AccessRequest
    policies: PolicyBook
    panel: Panel
    facts: Facts
    covering: tuple[Allowance, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """That a request is to be given, and on what terms: by whom, and what they said. With `at_once`
    nobody agreed, as nobody has to."""

    terms: Terms
    cause: Cause
    actor: str
    comment: str = ""
    break_glass: bool = False
    at_once: bool = False


class Giving:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def give(self, db: Db, case: Case, agreement: Agreement) -> Grant:
        """Approve a locked request. What it gives is still to be made on its target, except for a
        curfew, which has moved. Raises what a policy, or the target, has against it."""
        request, now = case.request, self._context.now()
        approved = request.after(RequestEvent.APPROVED, now, by=agreement.cause)
        give = self._make if request.extends is None else self._extend
        grant, decision = await give(db, case, agreement)
        await requests.save_state(db, approved)
        event = RequestApproved(
            request_id=request.id,
            grant_id=grant.id,
            cause=agreement.cause,
            duration=grant.duration,
            comment=agreement.comment,
            cuts=cuts_of(decision),
            networks=grant.networks,
            pin_address=grant.pin_address,
        )
        await audit.append(db, event, actor=agreement.actor, now=now)
        return grant

    def require_possible(self, case: Case, agreement: Agreement) -> None:
        """Raise what a policy has against these terms, while others still have to consent."""
        if case.request.extends is None:
            self._decide(case, agreement.terms, agreed=True)

    async def decide_extension(self, db: Db, case: Case, agreement: Agreement) -> Outcome:
        """Return whether somebody has to agree that a grant ends later. Raises what its policy has
        against it."""
        grant = await grants.fetch(db, case.request.extends or "")
        assert grant is not None
        more = agreement.terms.duration
        decision, policy = self._decide(case, _remaining(case, agreement, grant), agreed=False)
        assert decision.duration is not None
        assert policy.approval is not None
        used = await usage.fetch(db, grant.id)
        require_budget(policy, grant, used, case.request)
        gained = case.facts.now + decision.duration - grant.expires_at
        # What they would get at once is less than they have: others may agree to more.
        falls_short = gained <= timedelta() if more else gained < timedelta()
        if falls_short and not policy.approval.is_standing:
            return Outcome.ASK
        return decision.outcome

    async def activate(self, db: Db, grant: Grant, case: Case, *, agreed: bool) -> Grant:
        """Start the clock of a locked, waiting grant. Its login is still to be made.

        `agreed`: somebody did. Raises what the policy has against it by now, or ApprovalNeeded if
        nobody had to agree then and somebody has to now; it then goes on waiting.
        """
        request, now = case.request, self._context.now()
        terms = Terms(grant.duration, grant.networks, grant.pin_address)
        decision, policy = self._decide(case, terms, agreed=agreed)
        if not agreed:
            self._require_given(case, decision)
        assert decision.duration is not None
        active = grant.activated(decision.duration, now).attended(now)
        active = replace(active, networks=decision.networks, conditions=policy.conditions)
        await grants.save_activated(db, active)
        await self._intend(db, active, policy)
        event = GrantActivated(
            request_id=request.id,
            grant_id=grant.id,
            until=active.expires_at,
            cuts=cuts_of(decision),
        )
        await audit.append(db, event, actor=grant.person.email, now=now)
        return active

    async def _make(self, db: Db, case: Case, agreement: Agreement) -> tuple[Grant, Decision]:
        decision, policy = self._decide(case, agreement.terms, agreed=not agreement.at_once)
        if agreement.at_once:
            self._require_given(case, decision)
        grant = self._grant(case.request, policy, decision, agreement)
        await grants.insert(db, grant.attended(self._context.now()))
        if grant.state is not GrantState.WAITING:
            await self._intend(db, grant, policy)
        return grant, decision

    def _decide(self, case: Case, terms: Terms, *, agreed: bool) -> tuple[Decision, Policy]:
        """Raises the error of the decision if the policy no longer gives this."""
        request = case.request
        ask = ask_of(request, terms.duration, terms.networks)
        decision = recheck(case.policies, request.policy, ask, case.facts, agreed=agreed)
        if decision.error is not None:
            raise decision.error
        if decision.policy is None:
            raise policy_gone(request.policy)
        return decision, decision.policy

    def _require_given(self, case: Case, decision: Decision) -> None:
        """Raises ApprovalNeeded if by now somebody has to agree."""
        if decision.outcome is Outcome.ASK:
            name = case.request.policy
            raise ApprovalNeeded(name, case.policies.approvers(name, of=case.request.person))

    def _grant(
        self, request: AccessRequest, policy: Policy, decision: Decision, agreement: Agreement
    ) -> Grant:
        now = self._context.now()
        assert decision.duration is not None
        role = self._context.require_role(request.target, request.role)
        # A membership is used without us, so that its first use cannot start anything.
        waits = policy.starts is Start.FIRST_USE and request.kind is GrantKind.LOGIN
        window = policy.activate_within or self._context.request_lapses_after
        lasting = window if waits else decision.duration
        grant = Grant(
            id=self._context.new_id(IdKind.GRANT),
            request_id=request.id,
            person=request.person,
            target=request.target,
            database=request.database,
            role=request.role,
            state=GrantState.WAITING if waits else GrantState.PROVISIONING,
            granted_at=now,
            expires_at=now + lasting,
            duration=decision.duration,
            next_attempt_at=now,
            kind=request.kind,
            member=self._member_of(request),
            networks=decision.networks,
            pin_address=agreement.terms.pin_address or role.pin_address,
            parameters=policy.parameters,
            break_glass=agreement.break_glass,
            conditions=policy.conditions,
        )
        require_enforceable(grant.kind, grant.role, grant.networks, pin_address=grant.pin_address)
        return grant

    async def _extend(self, db: Db, case: Case, agreement: Agreement) -> tuple[Grant, Decision]:
        """Move a grant's curfew, the target's own first: if we die in between, the ledger's earlier
        one still holds.

        Nobody else extends it meanwhile, but it can be ended: then that stands.
        """
        request = case.request
        assert request.extends is not None
        login = await logins.lock(db, request.extends)
        fetch = grants.lock if login is None else grants.fetch
        grant = await fetch(db, request.extends)
        assert grant is not None
        decision, policy = self._decide_more(case, agreement, grant)
        assert decision.duration is not None
        used = await usage.fetch(db, grant.id)
        require_budget(policy, grant, used, request)
        held_to = more_of(policy.conditions, grant.conditions, used, request.more)
        moves = agreement.terms.duration > timedelta()
        until = case.facts.now + decision.duration if moves else grant.expires_at
        extended = grant.extended(until, held_to)
        if login is not None and moves:
            assert login.oid is not None
            target = self._context.target(grant.target, grant.role)
            async with turn(db, target.name):
                await move_curfew(target, login.oid, until)
            latest = await grants.lock(db, grant.id)
            assert latest is not None
            extended = latest.extended(until, held_to)
        await grants.save_extended(db, extended)
        await notify_grant(db, grant.id)
        event = GrantExtended(
            request_id=request.id,
            grant_id=grant.id,
            was_until=grant.expires_at,
            until=extended.expires_at,
            reason=request.reason,
            conditions=describe(extended.conditions),
        )
        await audit.append(db, event, actor=agreement.actor, now=self._context.now())
        return extended, decision

    def _decide_more(
        self, case: Case, agreement: Agreement, grant: Grant
    ) -> tuple[Decision, Policy]:
        """Return what the policy says to a later curfew. Raises PolicyDenied unless it is later, if
        it is to be, or if sessions may come from where the policy no longer lets them."""
        now = case.facts.now
        terms = _remaining(case, agreement, grant)
        decision, policy = self._decide(case, terms, agreed=not agreement.at_once)
        if agreement.at_once:
            self._require_given(case, decision)
        assert decision.duration is not None
        if agreement.terms.duration and now + decision.duration <= grant.expires_at:
            why = "; ".join(cuts_of(decision))
            raise PolicyDenied(f"grant {grant.id} cannot end later than it does: {why}")
        if decision.networks != grant.networks:
            raise PolicyDenied(
                f"policy {policy.name!r} has come to bound networks, and grant {grant.id} may be "
                "used from anywhere: make a new request"
            )
        return decision, policy

    async def _intend(self, db: Db, grant: Grant, policy: Policy) -> None:
        """Write down what the grant is to give on its target."""
        role = self._context.require_role(grant.target, grant.role)
        if grant.member is not None:
            membership = Membership(grant.id, grant.target, grant.role, grant.member)
            if not await memberships.insert(db, membership):
                raise Conflict(
                    f"another grant makes {grant.member} a member of {grant.role} already; "
                    "extend that one, or wait for its end"
                )
            return
        name = login_name(grant.person.email, grant.role, grant.id)
        limits = (role.connection_limit, policy.connection_limit)
        limit = min(each for each in limits if each is not None)
        await logins.insert(db, grant.id, name=name, connection_limit=limit)

    def _member_of(self, request: AccessRequest) -> str | None:
        if request.kind is GrantKind.LOGIN:
            return None
        return require_personal_role(self._context, request.person, request.target)


def ask_of(
    request: AccessRequest, duration: timedelta | None, networks: tuple[Network, ...]
) -> Ask:
    """Return what a policy is to decide about a request."""
    return Ask(
        person=request.person,
        # An approver may extend a grant that they could not have asked for.
        requester=request.requester if request.extends is None else request.person,
        target=request.target,
        database=request.database,
        role=request.role,
        kind=request.kind,
        duration=duration,
        reason=request.reason,
        networks=networks,
    )


def require_budget(policy: Policy, grant: Grant, used: Used, request: AccessRequest) -> None:
    """Raises BudgetTooLarge or NoSuchBudget."""
    refusal = why_not_more(policy.name, policy.conditions, grant.conditions, used, request.more)
    if refusal is not None:
        raise refusal


def _remaining(case: Case, agreement: Agreement, grant: Grant) -> Terms:
    """Return the terms of an extension as those of a grant that would begin now."""
    left = grant.expires_at + agreement.terms.duration - case.facts.now
    return agreement.terms._replace(duration=left)


def policy_gone(name: str) -> PolicyDenied:
    return PolicyDenied(f"policy {name!r} is no longer in force: ask again, under today's policies")


def cuts_of(decision: Decision) -> tuple[str, ...]:
    """Name the rules that made the time shorter."""
    return tuple(f"{format_duration(each.to)}: {each.by}" for each in decision.cuts)


def require_personal_role(context: Context, person: Person, target: str) -> str:
    own = context.directory.personal_role(person, target)
    if own is None:
        raise NoPersonalRole(person.email, target)
    return own


def require_enforceable(
    kind: GrantKind, role: str, networks: tuple[Network, ...], *, pin_address: bool
) -> None:
    """Raises NotThroughProxy for what nothing would keep a membership to."""
    if kind is GrantKind.MEMBERSHIP and (networks or pin_address):
        raise NotThroughProxy(role)
