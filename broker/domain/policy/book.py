"""All policies that are in force, compiled so that a decision does not look at each of them."""

from dataclasses import dataclass, field

from broker.domain.person import Person, PersonKind
from broker.domain.policy.coverage import Coverage
from broker.domain.policy.people import NOBODY, People
from broker.domain.policy.rule import Policy
from broker.domain.policy.terms import Terms


@dataclass(frozen=True, slots=True)
class PolicyBook:
    """Policies in the order of the file, with names of their own.

    `reviewers` are those who approve wherever a policy names nobody else. A policy under which
    nobody has to agree has no approvers, so they are the ones who look after what it gave.
    """

    policies: tuple[Policy, ...] = ()
    reviewers: People = NOBODY
    coverage: Coverage = field(init=False, repr=False, compare=False)
    terms: Terms = field(init=False, repr=False, compare=False)
    _by_name: dict[str, Policy] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        coverage = Coverage.of(self.policies)
        by_name = {policy.name: policy for policy in self.policies}
        if len(by_name) < len(self.policies):
            raise ValueError("two policies have the same name")
        object.__setattr__(self, "coverage", coverage)
        object.__setattr__(self, "terms", Terms.of(coverage))
        object.__setattr__(self, "_by_name", by_name)

    def find(self, name: str) -> Policy | None:
        return self._by_name.get(name)

    def candidates(self, person: Person, target: str, role: str) -> tuple[Policy, ...]:
        """Return the enabled policies that give the person this role in some database."""
        found = self.coverage.covering_somewhere(person, target, role)
        return tuple(policy for policy in found if not policy.denies)

    def lets_ask_for_others(self, person: Person) -> bool:
        """Say whether some policy lets the person ask for others than themselves."""
        return any(each.on_behalf.includes(person) for each in self.policies)

    def approvable_by(self, person: Person) -> list[str]:
        """Return the names of the policies that `person` approves, or looks after, whoever asks.

        Whose manager somebody is depends on the request, so those are to be found by it
        (`oversees`).
        """
        return [policy.name for policy in self.policies if self._names(policy, person, None)]

    def decidable_by(self, person: Person) -> list[str]:
        """Return the names of the policies under which `person` is one of those who agree, whoever
        asks: not only by breaking the glass, nor as the manager of who asks."""
        return [
            policy.name
            for policy in self.policies
            if policy.approval is not None
            and any(each.includes(person, None) for each in policy.approval.agreements)
        ]

    def oversees(self, name: str, person: Person, of: Person) -> bool:
        """Say whether requests of `of` under the policy, and what came of them, concern `person`:
        as an approver, the manager among them, or a reviewer who looks after them.

        A policy that has been removed since has no approvers: a request then waits and lapses.
        """
        policy = self.find(name)
        return policy is not None and self._names(policy, person, of)

    def approvers(self, name: str, of: Person) -> tuple[str, ...]:
        """Name those who may agree to a request of `of` under the policy."""
        policy = self.find(name)
        approval = policy.approval if policy is not None else None
        return approval.describe(of) if approval is not None else ()

    def _names(self, policy: Policy, person: Person, of: Person | None) -> bool:
        if policy.approval is None or policy.approval.is_standing:
            return person.kind is PersonKind.HUMAN and self.reviewers.includes(person)
        return policy.approval.names(person, of)
