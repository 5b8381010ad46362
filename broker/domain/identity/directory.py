"""Who there is: the operator's list, and those whom a configured provider vouched for lately."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from broker.domain.person import Person, PersonKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Somebody as the ledger knows them: what `provider` said of them when it last did."""

    person: Person
    provider: str | None = None
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Directory:
    """Nobody else is let in.

    `personal_roles` are the roles that people have of their own, by e-mail address and target.
    `machines` are those that a workload or a service token may be. What one of the `providers` said
    of somebody counts for `known_for`.
    """

    people: Mapping[str, Person]
    personal_roles: Mapping[tuple[str, str], str] = field(default_factory=dict)
    machines: Mapping[str, Person] = field(default_factory=dict)
    providers: frozenset[str] = frozenset()
    known_for: timedelta = timedelta(0)

    def personal_role(self, person: Person, target: str) -> str | None:
        return self.personal_roles.get((person.email, target))

    def find(self, email: str) -> Person | None:
        """Return a human of the operator's list. Their `id` is empty: that is the ledger's."""
        return self.people.get(email.lower())

    def find_machine(self, email: str) -> Person | None:
        return self.machines.get(email.lower())

    def today(self, recorded: Recorded, now: datetime) -> Person | None:
        """Return somebody with the groups of today, or None if nobody vouches for them any more.

        A machine is what the settings say. A human is in the groups that the list gives them and in
        those that a provider gave them lately.
        """
        person = recorded.person
        if person.kind is PersonKind.MACHINE:
            listed = self.machines.get(person.email)
            return replace(listed, id=person.id) if listed else None
        listed = self.people.get(person.email)
        if not self._vouched_for(recorded, now):
            return replace(listed, id=person.id) if listed else None
        if listed is None:
            return person
        return replace(
            person,
            name=self.name_of(listed, person.name),
            groups=listed.groups | person.groups,
            manager=listed.manager or person.manager,
        )

    @staticmethod
    def name_of(listed: Person | None, name: str) -> str:
        """Return the name that the operator chose, else `name`."""
        return name if listed is None or listed.name == listed.email else listed.name

    def _vouched_for(self, recorded: Recorded, now: datetime) -> bool:
        return (
            recorded.provider in self.providers
            and recorded.seen_at is not None
            and now < recorded.seen_at + self.known_for
        )
