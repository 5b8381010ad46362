"""One policy in words, whoever asks and whenever: for those who read what is in force."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from broker.domain.duration import format_duration
from broker.domain.policy.approvers import other_ways, who_approves
from broker.domain.policy.people import People
from broker.domain.policy.resources import Resource
from broker.domain.policy.rule import Policy, Start
from broker.domain.statement.conditions import describe


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`gives`, or denies, to any of `people`, but not what is in `except_for`. `longest` and
    `usual`, to who names no duration, are None if it denies. Each of the `approvers` must agree, or
    nobody has to. `terms` are what it wants besides, and what it holds sessions to."""

    name: str
    enabled: bool
    denies: bool
    people: tuple[str, ...]
    gives: tuple[str, ...]
    except_for: tuple[str, ...]
    longest: timedelta | None
    usual: timedelta | None
    approvers: tuple[str, ...]
    other_ways: tuple[str, ...]
    terms: tuple[str, ...]


def summary_of(policy: Policy) -> Summary:
    return Summary(
        name=policy.name,
        enabled=policy.enabled,
        denies=policy.denies,
        people=_who(policy.requesters),
        gives=tuple(_what(each) for each in policy.resources.keep),
        except_for=tuple(_what(each) for each in policy.resources.remove),
        longest=None if policy.denies else policy.max_duration,
        usual=None if policy.denies else policy.default_duration or policy.max_duration,
        approvers=who_approves(policy, None),
        other_ways=other_ways(policy),
        terms=tuple(_terms(policy)),
    )


def demands(policy: Policy) -> Iterator[str]:
    """Yield what who asks must say."""
    if policy.reason_required:
        yield "needs a reason"
    if policy.duration_required:
        yield "needs a duration"


def bounds(policy: Policy) -> Iterator[str]:
    """Yield from where and since when what it gives can be used, and what sessions are held to."""
    if policy.networks:
        yield f"only from {', '.join(map(str, policy.networks))}"
    if policy.starts is Start.FIRST_USE:
        within = policy.activate_within
        until = f", which must be within {format_duration(within)}" if within else ""
        yield f"the clock starts with the first use{until}"
    yield from describe(policy.conditions)


def _terms(policy: Policy) -> Iterator[str]:
    yield from demands(policy)
    if policy.pre_approval_required:
        yield "needs an approval in advance"
    if policy.hours is not None:
        yield f"only {policy.hours.describe()}"
    if policy.at_once is not None:
        yield f"machines have at most {policy.at_once} at once"
    if not policy.on_behalf.is_nobody:
        yield f"may be asked for by {' or '.join(_who(policy.on_behalf))}"
    if policy.approvable_for is not None:
        yield f"lapses unless it is decided within {format_duration(policy.approvable_for)}"
    yield from bounds(policy)
    for each in policy.parameters:
        yield f"sessions start with {each.name} = {each.words}"
    if policy.connection_limit is not None:
        yield f"at most {policy.connection_limit} sessions at a time"
    for what, kinds in (("is fine", policy.sweep.accept), ("is undone", policy.sweep.undo)):
        if kinds:
            yield f"what it leaves behind {what} if it is: {', '.join(sorted(kinds))}"


def _who(people: People) -> tuple[str, ...]:
    """Name people who ask. `People.describe` names those who approve, who are never the same."""
    if not people.anyone:
        return people.describe()
    others = People(groups=people.groups, machines=people.machines)
    return ("anyone but machines", *others.describe())


def _what(resource: Resource) -> str:
    role = "every role" if resource.role == "*" else resource.role
    target = "every target" if resource.target == "*" else resource.target
    database = "" if resource.database == "*" else f", database {resource.database}"
    return f"{role} on {target}{database}"
