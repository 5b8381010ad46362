"""Deciding about requests: consent, as many as the policy wants, or a denial."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from broker.domain.duration import format_duration
from broker.domain.errors import (
    AlreadyDecided,
    DurationTooLong,
    Invalid,
    NotFound,
    NothingInCommon,
    ReviewOverdue,
)
from broker.domain.events import BrokenGlass, RequestConsented, RequestDenied
from broker.domain.grant import Grant
from broker.domain.ids import IdKind
from broker.domain.network import Network
from broker.domain.on_call import OnCallNow
from broker.domain.person import Person, PersonKind
from broker.domain.policy.quorum import Panel, Vote, may_approve, tally
from broker.domain.policy.rule import Policy
from broker.domain.policy.say import refusal_of
from broker.domain.request import (
    AccessRequest,
    Cause,
    Decision,
    RequestEvent,
    Verdict,
    agreed_terms,
)
from broker.domain.verdict import Deny
from broker.ledger import audit, grants, people, requests, reviews
from broker.ledger.connection import Db, reading, transaction
from broker.ledger.sight import Visible
from broker.service.alarms import Alarms
from broker.service.circumstances import Circumstances
from broker.service.context import Context
from broker.service.giving import Agreement, Case, Giving, ask_of, policy_gone
from broker.service.people import People
from broker.service.visible import panel_of, shows, visible_to


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What an approver gives: at most `duration`, from `networks` (None: as asked for, empty:
    anywhere), with `pin_address` from one address. `break_glass`: alone, in an emergency."""

    duration: timedelta | None = None
    comment: str = ""
    networks: tuple[Network, ...] | None = None
    pin_address: bool = False
    break_glass: bool = False


class Approvals:
    def __init__(
        self, context: Context, people: People, circumstances: Circumstances, alarms: Alarms
    ) -> None:
        self._context = context
        self._people = people
        self._circumstances = circumstances
        self._alarms = alarms
        self.giving = Giving(context)

    async def approve(self, request_id: str, person: Person, consent: Consent) -> Grant | None:
        """Consent to a request. Returns the grant once nobody else has to agree, else None.

        What it gives is still to be made on its target. Of two approvers at once one waits for the
        other. Raises NotApprover, SelfApproval, AlreadyDecided, or what the policy has against it.
        """
        visible, on_call = await self._look(request_id, person)
        async with transaction(self._context.ledger) as db:
            case = await self._open(db, request_id, visible, on_call)
            return await self.consent(db, case, person, consent)

    async def consent(self, db: Db, case: Case, person: Person, consent: Consent) -> Grant | None:
        request = case.request
        _require(case.panel, person, break_glass=consent.break_glass)
        if consent.duration is not None and consent.duration > request.duration:
            longest = format_duration(request.duration)
            given = format_duration(consent.duration)
            raise DurationTooLong(given, longest, f"request {request.id}")
        if request.extends is not None and (consent.networks is not None or consent.pin_address):
            raise Invalid("an extension moves the curfew and nothing else: agree without networks")
        # Not yet stored: only to know that it still can be.
        request.after(RequestEvent.APPROVED, self._context.now(), by=Cause.APPROVERS)
        if consent.break_glass:
            await self._require_reviewed(db, request.person)
        decision = self._decision(request, person, consent)
        if not await requests.insert_decision(db, decision):
            raise AlreadyDecided(request.id)
        event = RequestConsented(
            request_id=request.id,
            duration=consent.duration,
            comment=consent.comment,
            break_glass=consent.break_glass,
            allowance_id=None,
        )
        await audit.append(db, event, actor=person.email, now=self._context.now())
        return await self.conclude(
            db,
            case,
            Cause.APPROVERS,
            actor=person.email,
            comment=consent.comment,
        )

    async def conclude(
        self, db: Db, case: Case, cause: Cause, *, actor: str, comment: str
    ) -> Grant | None:
        """Give what is asked for if enough people have consented."""
        request = case.request
        approvals = await self.still_counting(db, await requests.fetch_decisions(db, request.id))
        votes = [Vote(each.decider, each.break_glass) for each in approvals]
        counted = tally(case.panel, votes)
        terms = agreed_terms(request, approvals)
        if terms is None:
            raise NothingInCommon
        alone = counted.agreed and any(each.break_glass for each in votes)
        agreement = Agreement(
            terms=terms, cause=cause, actor=actor, comment=comment, break_glass=alone
        )
        if not counted.agreed:
            self.giving.require_possible(case, agreement)
            return None
        grant = await self.giving.give(db, case, agreement)
        if alone:
            await self._sound(db, grant, actor)
        return grant

    async def deny(self, request_id: str, person: Person, *, reason: str) -> None:
        """End a pending request. One approver is enough."""
        visible, on_call = await self._look(request_id, person)
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            case = await self._open(db, request_id, visible, on_call)
            answer = may_approve(case.panel, person)
            if isinstance(answer, Deny):
                raise answer.error
            request = case.request
            decision = Decision(
                id=self._context.new_id(IdKind.DECISION),
                request_id=request.id,
                decider=person,
                verdict=Verdict.DENIAL,
                duration=None,
                comment=reason,
                decided_at=now,
            )
            await requests.save_state(
                db, request.after(RequestEvent.DENIED, now, by=Cause.APPROVERS)
            )
            await requests.insert_decision(db, decision)
            event = RequestDenied(request_id=request.id, reason=reason)
            await audit.append(db, event, actor=person.email, now=now)

    async def still_counting(self, db: Db, decisions: Iterable[Decision]) -> tuple[Decision, ...]:
        """Return the consents among them, by people with the groups of today.

        Those for whom nobody vouches any more do not count.
        """
        found = []
        for each in decisions:
            if each.verdict is Verdict.APPROVAL:
                decider = await self._people.vouched_for(db, each.decider)
                if decider is not None:
                    found.append(replace(each, decider=decider))
        return tuple(found)

    async def case(
        self, db: Db, request: AccessRequest, on_call: OnCallNow, *, within: str | None = None
    ) -> Case:
        """Return what decides about a request, or about the start of grant `within`, which it gave.
        Raises PolicyDenied if its policy is gone."""
        within = within or request.extends
        if request.person.kind is PersonKind.MACHINE and within is None:
            # Of two that it asks for at once, the second is counted after the first.
            await people.lock(db, request.person.id)
        policies = self._context.policies
        policy = policies.find(request.policy)
        if policy is None:
            raise policy_gone(request.policy)
        today = replace(
            request,
            person=await self._people.current(db, request.person),
            requester=await self._people.current(db, request.requester),
        )
        ask = ask_of(today, today.duration, today.networks)
        facts, covering = await self._circumstances.gather(
            db, policies, ask, on_call, within=within
        )
        panel = await self.panel(db, policy, today, on_call)
        return Case(today, policies, panel, facts, tuple(covering))

    async def panel(
        self, db: Db, policy: Policy, request: AccessRequest, on_call: OnCallNow
    ) -> Panel:
        """Return who decides about the request. An approver may extend a grant without being asked:
        that is their consent, unless it was they who asked for the grant."""
        requester = request.requester
        if request.extends is not None:
            grant = await grants.fetch(db, request.extends)
            assert grant is not None
            original = await requests.fetch(db, grant.request_id)
            assert original is not None
            requester = original.requester
        return panel_of(policy, request, requester, on_call)

    async def _look(self, request_id: str, person: Person) -> tuple[Visible, OnCallNow]:
        """Ask others what has to be known, before anything is locked."""
        visible = await visible_to(self._context, person)
        async with reading(self._context.ledger) as db:
            request = await requests.fetch(db, request_id)
        if request is None or not shows(visible, request):
            raise NotFound("request", request_id)
        policy = self._context.policies.find(request.policy)
        return visible, await self._circumstances.on_call([policy] if policy else [])

    async def _open(
        self,
        db: Db,
        request_id: str,
        visible: Visible,
        on_call: OnCallNow,
    ) -> Case:
        request = await requests.lock(db, request_id)
        if request is None or not shows(visible, request):
            raise NotFound("request", request_id)
        return await self.case(db, request, on_call)

    def _decision(self, request: AccessRequest, person: Person, consent: Consent) -> Decision:
        return Decision(
            id=self._context.new_id(IdKind.DECISION),
            request_id=request.id,
            decider=person,
            verdict=Verdict.APPROVAL,
            duration=consent.duration,
            comment=consent.comment,
            decided_at=self._context.now(),
            networks=consent.networks,
            pin_address=consent.pin_address,
            break_glass=consent.break_glass,
        )

    async def _require_reviewed(self, db: Db, person: Person) -> None:
        overdue = await reviews.fetch_overdue(db, person, self._context.now())
        if overdue is not None:
            raise ReviewOverdue(overdue)

    async def _sound(self, db: Db, grant: Grant, breaker: str) -> None:
        """Tell everybody who looks that one person alone let somebody in."""
        now = self._context.now()
        due_at = now + self._context.review_within
        await reviews.insert(db, grant.id, due_at)
        event = BrokenGlass(
            request_id=grant.request_id,
            grant_id=grant.id,
            person=grant.person.email,
            review_due_at=due_at,
        )
        await audit.append(db, event, actor=breaker, now=now)
        await self._alarms.raise_(
            db,
            glass_key(grant.id),
            f"break-glass: {breaker} alone gave {grant.person.email} {grant.role} on "
            f"{grant.target} for {format_duration(grant.duration)}; write the review within "
            f"{format_duration(self._context.review_within)}: pgcurfew review {grant.id}",
            target=grant.target,
            grant_id=grant.id,
        )


def glass_key(grant_id: str) -> str:
    """Return the key of the alarm that is open until the review is written."""
    return f"break-glass:{grant_id}"


def _require(panel: Panel, person: Person, *, break_glass: bool) -> None:
    refusal = refusal_of(panel, person, break_glass=break_glass)
    if refusal is not None:
        raise refusal
