"""Agreeing beforehand: what a person asks for in a window of time has an approver's consent."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.domain.allowance import Allowance
from broker.domain.errors import BrokerError, Invalid, NotApprover, NotFound
from broker.domain.events import AllowanceMade, AllowanceRevoked
from broker.domain.ids import IdKind
from broker.domain.person import Person
from broker.domain.policy.fit import too_long
from broker.domain.policy.quorum import Panel
from broker.domain.policy.rule import Policy
from broker.domain.policy.say import refusal_of
from broker.ledger import allowances, audit
from broker.ledger.connection import transaction
from broker.service.context import Context
from broker.service.people import People
from broker.service.visible import visible_to


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """What somebody may ask for, and when. Without a database: the target's own."""

    person: str
    target: str
    role: str
    database: str | None
    duration: timedelta
    starts_at: datetime | None
    ends_at: datetime
    reason: str


class Allowances:
    def __init__(self, context: Context, people: People) -> None:
        self._context = context
        self._people = people

    async def make(self, foresight: Foresight, approver: Person) -> Allowance:
        """Consent to what is asked for later, under the first policy that covers it and that the
        approver approves. Raises NotApprover, Invalid or what the policy has against it."""
        context, now = self._context, self._context.now()
        starts_at = foresight.starts_at or now
        if not now <= max(starts_at, now) < foresight.ends_at:
            raise Invalid("an allowance ends after it begins, and not in the past")
        async with transaction(context.ledger) as db:
            person = await self._people.require(db, foresight.person)
            target, role = context.catalog.find(
                person, context.policies, target=foresight.target, role=foresight.role
            )
            database = foresight.database or target.database
            policy = self._policy(person, approver, target.name, database, role.name)
            if foresight.duration > policy.max_duration:
                raise too_long(policy, foresight.duration)
            allowance = Allowance(
                id=context.new_id(IdKind.ALLOWANCE),
                person=person,
                approver=approver,
                target=target.name,
                database=database,
                role=role.name,
                policy=policy.name,
                duration=foresight.duration,
                starts_at=starts_at,
                ends_at=foresight.ends_at,
                reason=foresight.reason,
                made_at=now,
            )
            await allowances.insert(db, allowance)
            event = AllowanceMade(
                allowance_id=allowance.id,
                person=person.email,
                target=allowance.target,
                database=allowance.database,
                role=allowance.role,
                starts_at=allowance.starts_at,
                ends_at=allowance.ends_at,
                duration=allowance.duration,
                reason=allowance.reason,
            )
            await audit.append(db, event, actor=approver.email, now=now)
        return allowance

    async def list(
        self, person: Person, *, over_too: bool, before: str | None, limit: int
    ) -> list[Allowance]:
        """Return those by and for the person, and those under policies that they approve."""
        visible = await visible_to(self._context, person)
        async with transaction(self._context.ledger) as db:
            return await allowances.fetch_page(
                db,
                visible,
                over_too=over_too,
                now=self._context.now(),
                before=before,
                limit=limit,
            )

    async def revoke(self, allowance_id: str, person: Person) -> Allowance:
        """Take it back: who made it, or another approver. What was given goes on."""
        visible = await visible_to(self._context, person)
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            found = await allowances.fetch(db, allowance_id)
            approves = found is not None and found.policy in visible.policies
            mine = found is not None and person.id in (found.person.id, found.approver.id)
            if found is None or not (visible.everything or approves or mine):
                raise NotFound("allowance", allowance_id)
            if not approves and person.id != found.approver.id:
                raise NotApprover("only an approver takes an allowance back")
            if not await allowances.revoke(db, found.id, person.email, now):
                raise NotFound("living allowance", allowance_id)
            event = AllowanceRevoked(allowance_id=found.id)
            await audit.append(db, event, actor=person.email, now=now)
            again = await allowances.fetch(db, found.id)
        assert again is not None
        return again

    def _policy(
        self, person: Person, approver: Person, target: str, database: str, role: str
    ) -> Policy:
        """Return the first policy that gives the person this and that the approver approves."""
        refusal: BrokerError = NotApprover(
            f"you approve no policy that lets {person.email} ask for {role!r} on {target!r}"
        )
        for policy in self._context.policies.candidates(person, target, role):
            if policy.covers(person, target=target, database=database, role=role):
                panel = Panel(policy=policy, person=person, requester=person)
                why_not = refusal_of(panel, approver, break_glass=False)
                if why_not is None:
                    return policy
                refusal = why_not
        raise refusal
