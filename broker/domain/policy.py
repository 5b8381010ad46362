"""Who may ask for what, who may approve it, and for how long. Pure: rules and facts in,
a decision with its reason out.

The first policy in file order that matches the requester and the resource, and that the rest of
the request fits, decides. A name in a policy is an exact name or an anchored glob (`orders_*`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase

from broker.domain.duration import format_duration
from broker.domain.errors import BrokerError, DurationTooLong, PolicyDenied, ReasonRequired
from broker.domain.person import Person


@dataclass(frozen=True, slots=True)
class People:
    """A set of people: anyone, some by e-mail address, or the members of groups."""

    anyone: bool = False
    emails: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()

    def includes(self, person: Person) -> bool:
        return self.anyone or person.email in self.emails or bool(self.groups & person.groups)

    def describe(self) -> tuple[str, ...]:
        """Name the set for a person who asks "who approves this?"."""
        if self.anyone:
            return ("anyone else",)
        return (*sorted(self.emails), *(f"group {group}" for group in sorted(self.groups)))


@dataclass(frozen=True, slots=True)
class Resource:
    """Catalog roles on targets, each named exactly or by an anchored glob."""

    target: str = "*"
    database: str = "*"
    role: str = "*"

    def matches(self, target: str, database: str, role: str) -> bool:
        return self.matches_somewhere(target, role) and fnmatchcase(database, self.database)

    def matches_somewhere(self, target: str, role: str) -> bool:
        """Say whether this is the role on the target, in whichever database."""
        return fnmatchcase(target, self.target) and fnmatchcase(role, self.role)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    name: str
    requesters: People
    resources: tuple[Resource, ...]
    approvers: People
    max_duration: timedelta
    reason_required: bool = False

    def covers(self, person: Person, *, target: str, database: str, role: str) -> bool:
        return self.requesters.includes(person) and any(
            resource.matches(target, database, role) for resource in self.resources
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request before it is one."""

    requester: Person
    target: str
    database: str
    role: str
    duration: timedelta
    reason: str


@dataclass(frozen=True, slots=True)
class Allow:
    policy: Policy


@dataclass(frozen=True, slots=True)
class Deny:
    """Why not, as the error that a caller may raise or show."""

    error: BrokerError

    @property
    def reason(self) -> str:
        return str(self.error)


def may_request(policies: Iterable[Policy], ask: Ask) -> Allow | Deny:
    """Decide whether `ask` may become a request, and under which policy."""
    refusal: BrokerError | None = None
    for policy in policies:
        if not policy.covers(
            ask.requester, target=ask.target, database=ask.database, role=ask.role
        ):
            continue
        if ask.duration > policy.max_duration:
            refusal = refusal or DurationTooLong(
                format_duration(ask.duration),
                format_duration(policy.max_duration),
                f"policy {policy.name!r}",
            )
        elif policy.reason_required and not ask.reason.strip():
            refusal = refusal or ReasonRequired(policy.name)
        else:
            return Allow(policy)
    return Deny(
        refusal
        or PolicyDenied(
            f"no policy lets you ask for {ask.role!r} in database {ask.database!r} "
            f"on target {ask.target!r}"
        )
    )


def may_decide(policies: Sequence[Policy], policy_name: str, person: Person) -> bool:
    """Say whether `person` is an approver under the policy that a request was made under.

    A policy that has been removed since has no approvers: the request then waits and lapses.
    """
    policy = find(policies, policy_name)
    return policy is not None and policy.approvers.includes(person)


def find(policies: Sequence[Policy], name: str) -> Policy | None:
    return next((policy for policy in policies if policy.name == name), None)
