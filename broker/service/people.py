"""Who people are today: what the settings say of them, and what a provider said lately."""

from contextlib import nullcontext
from dataclasses import replace

from broker.domain.errors import NotIdentified, UnknownPerson
from broker.domain.events import PersonVouchedFor
from broker.domain.identity.directory import Recorded
from broker.domain.identity.identified import Identified
from broker.domain.ids import IdKind
from broker.domain.person import Person
from broker.ledger import audit, people
from broker.ledger.connection import Db, reading, transaction
from broker.service.context import Context


class People:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def current(self, db: "Db | None", who: Person | str) -> Person:
        """Return somebody, by id or e-mail address, with the groups of today.

        They have none, and no manager, once nobody vouches for them any more. Raises UnknownPerson
        for somebody of whom nobody has ever heard.
        """
        id_or_email = who if isinstance(who, str) else who.id or who.email
        async with nullcontext(db) if db else reading(self._context.ledger) as connection:
            found = await people.fetch(connection, id_or_email.lower())
        if found is None:
            return self._listed(id_or_email)
        return self.today(found) or replace(found.person, groups=frozenset(), manager=None)

    async def vouched_for(self, db: Db, who: Person) -> Person | None:
        """Return somebody with the groups of today, or None if nobody vouches for them any more."""
        found = await people.fetch(db, who.id)
        return self.today(found) if found is not None else None

    async def require(self, db: Db, email: str) -> Person:
        """Return somebody who is known today, and make them known to the ledger.

        Raises UnknownPerson for all others.
        """
        found = await people.fetch(db, email.lower())
        today = self.today(found) if found else None
        if today is not None:
            return today
        listed = self._listed(email)
        newcomer = replace(listed, id=self._context.new_id(IdKind.PERSON))
        known = await people.upsert(db, newcomer, self._context.now())
        return replace(listed, id=known.id)

    async def vouch(self, identified: Identified) -> Person:
        """Return whom a provider or a workload vouches for, with the groups of today.

        What is new is written down; what was said lately is not said again.
        """
        said = self._said(identified)
        now = self._context.now()
        async with reading(self._context.ledger) as db:
            found = await people.fetch(db, identified.email)
        if found is None or not people.is_said_already(found, said, identified.provider, now):
            found = await self._write(said, identified.provider)
        today = self.today(found)
        if today is None:
            raise NotIdentified(f"{identified.email} is not in the settings")
        return today

    def today(self, found: Recorded) -> Person | None:
        """Return somebody with the groups of today, or None if nobody vouches for them any more."""
        return self._context.directory.today(found, self._context.now())

    async def _write(self, said: Person, provider: str) -> Recorded:
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            newcomer = replace(said, id=self._context.new_id(IdKind.PERSON))
            known = await people.upsert(db, newcomer, now)
            before = await people.fetch(db, known.id)
            after = await people.vouch(db, replace(said, id=known.id), provider, now)
            if before is None or not people.says_the_same(before, said, provider):
                event = PersonVouchedFor(
                    person=said.email,
                    provider=provider,
                    groups=tuple(sorted(said.groups)),
                    manager=said.manager,
                )
                await audit.append(db, event, actor=said.email, now=now)
        return after

    def _said(self, identified: Identified) -> Person:
        directory = self._context.directory
        listed = directory.find(identified.email)
        return Person(
            id="",
            email=identified.email,
            name=directory.name_of(listed, identified.name),
            groups=identified.groups,
            manager=identified.manager,
            kind=identified.kind,
        )

    def _listed(self, email: str) -> Person:
        directory = self._context.directory
        listed = directory.find(email) or directory.find_machine(email)
        if listed is None:
            raise UnknownPerson(email)
        return listed
