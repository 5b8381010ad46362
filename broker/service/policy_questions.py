"""What policies say to somebody, and all that somebody may ask for. Asking changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from broker.domain.catalog import CatalogRole, CatalogTarget
from broker.domain.errors import (
    KindNotOffered,
    NotFound,
    NotInCatalog,
    ReasonRequired,
    UnknownPerson,
)
from broker.domain.grant import GrantKind
from broker.domain.network import Network
from broker.domain.on_call import NOBODY_ON_CALL, OnCallNow
from broker.domain.person import Person
from broker.domain.policy.access import Access, access_of
from broker.domain.policy.approvers import other_ways, who_approves
from broker.domain.policy.ask import Ask, Facts
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.explanation import Explanation, Part, explain
from broker.domain.policy.rule import Policy
from broker.domain.statement.conditions import describe
from broker.ledger.connection import Db, reading
from broker.service.circumstances import Circumstances
from broker.service.context import Context
from broker.service.insight import sees_policies
from broker.service.people import People

_SOME_REASON = "…"
_OWN_PARTS = (Part.DECIDES, Part.DENIES, Part.FITS, Part.MISFIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What if `email` asked for this, or `requester` did for them? What is None is as it is now.

    `on_call` names schedules. With `groups` it is somebody who is in those, whoever they are. At
    another time than now, nobody is on call unless it says so.
    """

    email: str
    target: str
    role: str
    requester: str | None = None
    database: str | None = None
    duration: timedelta | None = None
    reason: str = ""
    kind: GrantKind = GrantKind.LOGIN
    networks: tuple[Network, ...] = ()
    at: datetime | None = None
    groups: frozenset[str] | None = None
    manager: str | None = None
    on_call: frozenset[str] | None = None
    pre_approved: bool | None = None
    living: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """`policy` is the one that decides, if one does. `silent` has the schedules of which nobody
    knows who is on call, and why."""

    ask: Ask
    facts: Facts
    explanation: Explanation
    silent: Mapping[str, str] = field(default_factory=dict)

    @property
    def policy(self) -> Policy | None:
        return self.explanation.decision.policy

    @property
    def conditions(self) -> tuple[str, ...]:
        return describe(self.policy.conditions) if self.policy is not None else ()

    @property
    def approvers(self) -> tuple[str, ...]:
        return who_approves(self.policy, self.ask.person) if self.policy is not None else ()

    @property
    def other_ways(self) -> tuple[str, ...]:
        return other_ways(self.policy) if self.policy is not None else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """An answer; with `wants_reason` it is one that a request gets only if it has a reason."""

    answered: Answered
    wants_reason: bool


class PolicyQuestions:
    def __init__(self, context: Context, people: People, circumstances: Circumstances) -> None:
        self._context = context
        self._people = people
        self._circumstances = circumstances

    async def test(self, question: Question, asker: Person) -> Answered:
        """Say what would be decided, and why. Raises NotFound, Invalid or Forbidden.

        Who may not look into policies hears of themselves only, or of those for whom they may ask,
        and of policies that cover these.
        """
        sighted = sees_policies(self._context, asker)
        if not sighted and not _is_about(question, asker) and not self._asks_for(question, asker):
            raise NotFound("person", question.email)
        person = await self._person(question)
        requester = person
        if question.requester not in (None, person.email):
            requester = await self._known(question.requester)
        target, role = self._role(question, person, sighted=sighted)
        ask = Ask(
            person=person,
            requester=requester,
            target=target.name,
            database=question.database or target.database,
            role=role.name,
            kind=question.kind,
            duration=question.duration,
            reason=question.reason,
            networks=question.networks,
        )
        on_call = await self._on_call(question, ask)
        book = self._context.policies
        facts = await self._facts(book, question, ask, on_call)
        found = explain(book, ask, facts)
        if not sighted:
            own = tuple(each for each in found.considered if each.part in _OWN_PARTS)
            found = replace(found, considered=own)
        return Answered(ask=ask, facts=facts, explanation=found, silent=on_call.silent)

    async def foresee(self, question: Question, asker: Person) -> Foreseen:
        """Say what would be decided, to who has not yet come to give a reason. Raises as `test`."""
        answered = await self.test(question, asker)
        if isinstance(answered.explanation.decision.error, ReasonRequired):
            with_reason = await self.test(replace(question, reason=_SOME_REASON), asker)
            return Foreseen(answered=with_reason, wants_reason=True)
        policy = answered.policy
        wants_reason = policy is not None and policy.reason_required
        return Foreseen(answered=answered, wants_reason=wants_reason)

    async def show(self, email: str, asker: Person) -> list[Access]:
        """Return all that the person may ask for. Raises NotFound for who is nobody, or is not the
        asker's to look into."""
        if email != asker.email and not sees_policies(self._context, asker):
            raise NotFound("person", email)
        person = asker if email == asker.email else await self._known(email)
        catalog, book = self._context.catalog, self._context.policies
        found: list[Access] = []
        async with reading(self._context.ledger) as db:
            for target, role in catalog.roles():
                facts = await self._facts_about(db, book, person, target, role)
                found += access_of(book, catalog.only(target, role), person, facts)
        return found

    def _asks_for(self, question: Question, asker: Person) -> bool:
        """Say whether it is what the asker would ask for another, and may find out by asking."""
        as_they_are = question.groups is None and question.manager is None
        asks = question.requester == asker.email and as_they_are
        return asks and self._context.policies.lets_ask_for_others(asker)

    async def _person(self, question: Question) -> Person:
        try:
            person = await self._known(question.email)
        except NotFound:
            if question.groups is None:
                raise
            person = Person("", question.email, question.email)
        return replace(
            person,
            groups=person.groups if question.groups is None else question.groups,
            manager=question.manager or person.manager,
        )

    async def _known(self, email: str) -> Person:
        try:
            return await self._people.current(None, email)
        except UnknownPerson:
            raise NotFound("person", email) from None

    def _role(
        self, question: Question, person: Person, *, sighted: bool
    ) -> tuple[CatalogTarget, CatalogRole]:
        catalog = self._context.catalog
        if not sighted:  # who asks hears of nothing that they may not ask for
            target, role = catalog.find(
                person, self._context.policies, target=question.target, role=question.role
            )
        elif question.target not in catalog.targets:
            raise NotInCatalog("target", question.target, sorted(catalog.targets))
        else:
            target = catalog.targets[question.target]
            if question.role not in target.roles:
                raise NotInCatalog(f"role on {target.name}", question.role, sorted(target.roles))
            role = target.roles[question.role]
        if question.kind not in role.kinds:
            raise KindNotOffered(role.name, question.kind, sorted(role.kinds))
        return target, role

    async def _on_call(self, question: Question, ask: Ask) -> OnCallNow:
        if question.on_call is not None:
            return OnCallNow(dict.fromkeys(question.on_call, frozenset({ask.person.email})))
        if question.at is not None:
            return NOBODY_ON_CALL
        about = self._context.policies.candidates(ask.person, ask.target, ask.role)
        return await self._circumstances.on_call(about)

    async def _facts(
        self, book: PolicyBook, question: Question, ask: Ask, on_call: OnCallNow
    ) -> Facts:
        async with reading(self._context.ledger) as db:
            facts, _ = await self._circumstances.gather(db, book, ask, on_call)
        pre_approved = dict(facts.pre_approved)
        if question.pre_approved is not None:
            longest = {each.name: each.max_duration for each in book.policies}
            pre_approved = longest if question.pre_approved else {}
        return replace(
            facts,
            now=question.at or facts.now,
            pre_approved=pre_approved,
            living=facts.living if question.living is None else question.living,
        )

    async def _facts_about(
        self, db: Db, book: PolicyBook, person: Person, target: str, role: str
    ) -> Facts:
        """Return the facts of now, as far as what may be asked for depends on them."""
        if any(each.pre_approval_required for each in book.candidates(person, target, role)):
            database = self._context.catalog.targets[target].database
            ask = Ask(person=person, requester=person, target=target, database=database, role=role)
            facts, _ = await self._circumstances.gather(db, book, ask, NOBODY_ON_CALL)
            return facts
        return Facts(now=self._context.now())


def _is_about(question: Question, asker: Person) -> bool:
    """Say whether the question is about the asker as they are."""
    return (
        question.email == asker.email
        and question.requester in (None, asker.email)
        and question.groups is None
        and question.manager is None
    )
