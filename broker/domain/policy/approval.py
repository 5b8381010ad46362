"""Who must agree before a policy gives anything, and when nobody has to."""

from dataclasses import dataclass
from datetime import timedelta

from broker.domain.person import Person, PersonKind
from broker.domain.policy.matching import Need, fill
from broker.domain.policy.people import NOBODY, People


@dataclass(frozen=True, slots=True)
class Agreement:
    """One of those that must each agree: `count` of `people`, among whom is the manager of the
    person who gets access if `manager` is true. No machine agrees to anything."""

    people: People
    manager: bool = False
    count: int = 1
    label: str = ""

    def includes(self, approver: Person, of: Person | None) -> bool:
        if approver.kind is PersonKind.MACHINE:
            return False
        if self.manager and of is not None and approver.email == of.manager:
            return True
        return self.people.includes(approver)

    def describe(self, person: Person | None) -> tuple[str, ...]:
        """Name those who may agree that `person`, or anybody, gets access."""
        names = self.people.describe()
        if self.manager:
            names += (_manager_of(person),)
        if self.count == 1:
            return names
        return (f"{self.count} of {' or '.join(names)}",)

    @property
    def is_open(self) -> bool:
        """Whether who may agree is only known when they do."""
        return self.people.anyone or bool(self.people.groups)

    def named(self, person: Person) -> frozenset[str]:
        """Return those who are named one by one."""
        manager = {person.manager} if self.manager and person.manager is not None else set()
        return self.people.emails | manager


@dataclass(frozen=True, slots=True)
class OnCall:
    """Whoever is on call by one of the schedules gets it at once, for `at_most` that long."""

    schedules: frozenset[str]
    at_most: timedelta


@dataclass(frozen=True, slots=True)
class Approval:
    """All `agreements` are needed; without any the policy is standing, and nobody has to agree.

    Those who are on call by a schedule of `escalation` may agree alone, once a request has been
    escalated to them; `break_glass` people may agree alone at any time, which is an alarm.
    With `one_party` the person who asks, or gets it, may be one of those who agree.
    """

    agreements: tuple[Agreement, ...]
    on_call: OnCall | None = None
    escalation: frozenset[str] = frozenset()
    break_glass: People = NOBODY
    one_party: bool = False

    @property
    def is_standing(self) -> bool:
        return not self.agreements

    def names(self, approver: Person, of: Person | None) -> bool:
        """Say whether the approver is somebody whom a request for `of` concerns."""
        if any(each.includes(approver, of) for each in self.agreements):
            return True
        return approver.kind is PersonKind.HUMAN and self.break_glass.includes(approver)

    def describe(self, person: Person) -> tuple[str, ...]:
        return tuple(name for each in self.agreements for name in each.describe(person))

    def unmet(self, person: Person, requester: Person) -> tuple[Agreement, ...]:
        """Return the agreements that nobody could bring about, as far as people are named one by
        one."""
        if self.escalation or not self.break_glass.is_nobody:
            return ()
        excluded = frozenset() if self.one_party else frozenset({person.email, requester.email})
        closed = [each for each in self.agreements if not each.is_open]
        needs = [Need(each.count, each.named(person) - excluded) for each in closed]
        filled = zip(closed, fill(needs), strict=True)
        return tuple(each for each, count in filled if count < each.count)


STANDING = Approval(())


def _manager_of(person: Person | None) -> str:
    if person is None:
        return "their manager"
    known = f"{person.manager} (manager)"
    return known if person.manager else f"the manager of {person.email} (not known)"
