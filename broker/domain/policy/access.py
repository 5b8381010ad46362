"""All that one person may ask for, under which policy, and who would approve it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from broker.domain.catalog import Catalog
from broker.domain.person import Person, PersonKind
from broker.domain.policy.approvers import who_approves
from broker.domain.policy.ask import Facts
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.resources import Resource, is_glob
from broker.domain.policy.rule import Policy
from broker.domain.policy.summary import bounds, demands


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """`database` is as the policy names it, perhaps a glob. Each of the `approvers` must agree, or
    nobody has to. `notes` are for people: what the policy wants, or what is in the way now."""

    target: str
    database: str
    role: str
    policy: str
    longest: timedelta
    approvers: tuple[str, ...]
    notes: tuple[str, ...]


def access_of(
    book: PolicyBook, catalog: Catalog, person: Person, facts: Facts
) -> tuple[Access, ...]:
    """Return what policies give the person, by target and role, in the order in which they decide.

    What is denied at all times is left out.
    """
    return tuple(
        access
        for target in sorted(catalog.targets)
        for role in sorted(catalog.targets[target].roles)
        for access in _access(book, person, facts, target, role)
    )


def _access(
    book: PolicyBook, person: Person, facts: Facts, target: str, role: str
) -> Iterator[Access]:
    denials = [
        policy for policy in book.coverage.covering_somewhere(person, target, role) if policy.denies
    ]
    for policy in book.candidates(person, target, role):
        for database in policy.resources.databases(target, role):
            here = [each for each in denials if _denies(each, target, database, role)]
            if any(each.hours is None for each in here):
                continue
            yield Access(
                target=target,
                database=database,
                role=role,
                policy=policy.name,
                longest=policy.max_duration,
                approvers=who_approves(policy, person),
                notes=(
                    *_notes(policy, person, facts),
                    *_removals(policy, target, database, role),
                    *_denials(denials, here, target, database, role),
                ),
            )


def _denies(policy: Policy, target: str, database: str, role: str) -> bool:
    """Say whether the policy denies all of the databases, which may be a glob."""
    resources = policy.resources
    if not is_glob(database):
        return resources.matches(target, database, role)
    removed = any(each.matches_somewhere(target, role) for each in resources.remove)
    wanted = Resource(target, database, role)
    return not removed and any(
        each.matches_somewhere(target, role) and each.holds_databases_of(wanted)
        for each in resources.keep
    )


def _notes(policy: Policy, person: Person, facts: Facts) -> Iterator[str]:
    assert policy.approval is not None
    yield from demands(policy)
    if policy.pre_approval_required and policy.name not in facts.pre_approved:
        yield "needs an approval in advance, and there is none now"
    if policy.approval.on_call is not None:
        schedules = " or ".join(sorted(policy.approval.on_call.schedules))
        yield f"at once for who is on call ({schedules})"
    for agreement in policy.approval.unmet(person, person):
        yield f"needs {' or '.join(agreement.describe(person))}, which nobody could give"
    if policy.hours is not None:
        opens = policy.hours.opens(facts.now)
        closed = f", opens {policy.hours.local(opens)}" if opens is not None else ""
        yield f"only {policy.hours.describe()}{closed}"
    if policy.at_once is not None and person.kind is PersonKind.MACHINE:
        yield f"at most {policy.at_once} at once"
    yield from bounds(policy)


def _removals(policy: Policy, target: str, database: str, role: str) -> Iterator[str]:
    for each in policy.resources.remove:
        if is_glob(database) and each.matches_somewhere(target, role):
            yield f"not in database {each.database}"


def _denials(
    denials: list[Policy], here: list[Policy], target: str, database: str, role: str
) -> Iterator[str]:
    for each in denials:
        when = f" {each.hours.describe()}" if each.hours is not None else ""
        if each in here:
            yield f"policy {each.name!r} denies it{when}"
        elif is_glob(database):
            where = ", ".join(each.resources.databases(target, role))
            yield f"policy {each.name!r} denies it in database {where}{when}"
