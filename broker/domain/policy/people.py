"""Sets of people, as policies name them."""

from dataclasses import dataclass

from broker.domain.person import Person, PersonKind


@dataclass(frozen=True, slots=True)
class People:
    """Anyone, some by e-mail address, the members of groups, and machines by their address.

    `anyone` is any human: a machine is in only by its own address or by a group.
    """

    anyone: bool = False
    emails: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    machines: frozenset[str] = frozenset()

    def includes(self, person: Person) -> bool:
        if not self.groups.isdisjoint(person.groups):
            return True
        if person.kind is PersonKind.MACHINE:
            return person.email in self.machines
        return self.anyone or person.email in self.emails

    def __or__(self, others: "People") -> "People":
        return People(
            self.anyone or others.anyone,
            self.emails | others.emails,
            self.groups | others.groups,
            self.machines | others.machines,
        )

    @property
    def is_nobody(self) -> bool:
        return self == NOBODY

    def describe(self) -> tuple[str, ...]:
        """Name the set for a person who asks "who approves this?"."""
        if self.anyone:
            return ("anyone else",)
        return (
            *sorted(self.emails),
            *(f"group {group}" for group in sorted(self.groups)),
            *(f"machine {machine}" for machine in sorted(self.machines)),
        )


NOBODY = People()
