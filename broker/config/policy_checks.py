"""What a policy file says, looked at as a whole: keys that contradict each other, and names that
the settings do not know. What would never match anything is a mistake, and is refused as one."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from broker.config.faults import Fault
from broker.config.policy_models import (
    AgreementRule,
    ApprovalRule,
    PeopleRule,
    Policies,
    PolicyRule,
    RequestersRule,
    ResourceRule,
)
from broker.config.settings import Settings
from broker.domain.policy.resources import Resource, Resources, is_glob
from broker.domain.policy.rule import Start
from broker.domain.statement.conditions import StatementKind

_Path = tuple[str, ...]
# What is named where the settings have none.
_EXAMPLES = {
    "group": "dba",
    "machine": "nightly-report@service.machine",
    "schedule": "primary",
    "target": "orders",
    "role": "orders_reader",
}
# What a policy that denies may say besides whom and what.
_OF_A_DENIAL = frozenset(
    ("name", "enabled", "requesters", "resources", "removed", "approval", "hours")
)


@dataclass(frozen=True, slots=True)
class Known:
    """The names that policies may use. Of the schedules, `pagerless` ought to have a pager."""

    groups: frozenset[str]
    roles: Mapping[str, Collection[str]]  # by target
    machines: frozenset[str]
    schedules: frozenset[str]
    pagerless: frozenset[str]

    @classmethod
    def by(cls, settings: Settings) -> "Known":
        identity = settings.identity
        return cls(
            groups=identity.known_groups,
            roles={name: target.roles for name, target in settings.targets.items()},
            machines=identity.machine_emails,
            schedules=frozenset(settings.oncall.schedules),
            pagerless=frozenset(
                name
                for name, each in settings.oncall.schedules.items()
                if each.pagerduty is not None and each.routing_key is None
            ),
        )


def check(policies: Policies, known: Known) -> Iterator[Fault]:
    yield from _check_groups(policies.approvers, ("approvers",), known)
    names: dict[str, int] = {}
    for number, policy in enumerate(policies.policies):
        path = ("policies", str(number))
        first = names.setdefault(policy.name, number)
        if first != number:
            yield Fault((*path, "name"), f"policy {first} has this name, too; for example: readers")
        yield from _check_policy(policy, path, known)


def _check_policy(policy: PolicyRule, path: _Path, known: Known) -> Iterator[Fault]:
    yield from _check_groups(policy.requesters, (*path, "requesters"), known)
    yield from _check_machines(policy.requesters, (*path, "requesters"), known)
    for key, resources in (("resources", policy.resources), ("except", policy.removed)):
        for number, resource in enumerate(resources):
            yield from _check_resource(resource, (*path, key, str(number)), known)
    yield from _check_rest(policy, path, known)
    if policy.approval == "deny":
        yield from _check_denial(policy, path)
        return
    if isinstance(policy.approval, ApprovalRule):
        yield from _check_approval(policy.approval, (*path, "approval"), known)
    if policy.on_behalf is not None:
        yield from _check_groups(policy.on_behalf, (*path, "on_behalf"), known)
        yield from _check_machines(policy.on_behalf, (*path, "on_behalf"), known)
    yield from _check_durations(policy, path)
    yield from _check_commit_gate(policy, (*path, "statements", "commit_gate"))
    named = policy.requesters
    if policy.at_once is not None and not (named.machines or named.groups):
        why = "counts the grants of machines, and requesters names none"
        yield Fault((*path, "at_once"), f"{why}; for example: requesters: {{groups: [deployers]}}")


def _check_rest(policy: PolicyRule, path: _Path, known: Known) -> Iterator[Fault]:
    """Nothing may be left of what is kept; that nothing was there to keep is another fault."""
    kept = Resources(resources_of(policy.resources))
    left = Resources(kept.keep, resources_of(policy.removed))
    every = [(target, role) for target, roles in known.roles.items() for role in roles]
    if any(kept.matches_somewhere(*each) for each in every) and not any(
        left.matches_somewhere(*each) for each in every
    ):
        why = "takes out all that resources has"
        yield Fault((*path, "except"), f"{why}; for example: [{{role: orders_owner}}]")


def resources_of(rules: Iterable[ResourceRule]) -> tuple[Resource, ...]:
    return tuple(Resource(each.target, each.database, each.role) for each in rules)


def _check_denial(policy: PolicyRule, path: _Path) -> Iterator[Fault]:
    for name in sorted(policy.model_fields_set - _OF_A_DENIAL):
        yield Fault(
            (*path, name),
            "means nothing in a policy that denies; for example: approval: standing",
        )


def _check_durations(policy: PolicyRule, path: _Path) -> Iterator[Fault]:
    longest, default = policy.max_duration, policy.default_duration
    if longest is None:
        yield Fault((*path, "max_duration"), "is missing; for example: 8h")
    elif default is not None and default > longest:
        yield Fault((*path, "default_duration"), "is longer than max_duration; for example: 1h")
    if default is not None and "duration" in policy.require:
        why = "is never used, since require has duration: drop one"
        yield Fault((*path, "default_duration"), f"{why}; for example: require: [reason]")
    if policy.activate_within is not None and policy.starts is Start.APPROVAL:
        why = "means nothing unless the clock starts with the first use"
        yield Fault((*path, "activate_within"), f"{why}; for example: starts: first_use")


def _check_commit_gate(policy: PolicyRule, path: _Path) -> Iterator[Fault]:
    gate, session = policy.statements.commit_gate, policy.session
    if gate is None:
        return
    if StatementKind.WRITE in policy.statements.refuse:
        why = "never has anything to hold beside refuse: [write]: drop one"
        yield Fault(path, f"{why}; for example: refuse: [ddl]")
    for name, timeout in (
        ("idle_in_transaction_timeout", session.idle_in_transaction_timeout),
        ("transaction_timeout", session.transaction_timeout),
    ):
        if timeout is not None and timeout <= gate.within:
            why = f"is not shorter than session.{name}, which would end what is held"
            yield Fault((*path, "within"), f"{why}; for example: {name}: 30m")


def _check_approval(approval: ApprovalRule, path: _Path, known: Known) -> Iterator[Fault]:
    for number, agreement in enumerate(approval.agreements):
        place = (*path, "from", str(number))
        yield from _check_groups(agreement, place, known)
        most = _most(agreement)
        if most is not None and agreement.count > most:
            why = f"only {most} may agree here, so {agreement.count} never will"
            yield Fault((*place, "count"), f"{why}; for example: {most}")
    if approval.break_glass is not None:
        yield from _check_groups(approval.break_glass, (*path, "break_glass"), known)
    for key, rule in (("on_call", approval.on_call), ("escalation", approval.escalation)):
        if rule is not None:
            for name in sorted(rule.schedules - known.schedules):
                place = (*path, key, "schedules", name)
                why = _unknown("schedule", "oncall.schedules", name, known.schedules)
                yield Fault(place, why)
    if approval.escalation is not None:
        for name in sorted(approval.escalation.schedules & known.pagerless):
            why = f"pages nobody: oncall.schedules.{name} has no routing_key"
            place = (*path, "escalation", "schedules", name)
            yield Fault(place, f"{why}; for example: routing_key: env:NAME")


def _most(agreement: AgreementRule) -> int | None:
    """Return how many may agree, if that is known."""
    if agreement.anyone or agreement.groups or agreement.reviewers:
        return None
    return len(agreement.people) + agreement.manager


def _check_groups(rule: PeopleRule, path: _Path, known: Known) -> Iterator[Fault]:
    for name in sorted(rule.groups - known.groups):
        why = _unknown("group", "identity.people or identity.groups", name, known.groups)
        yield Fault((*path, "groups", name), why)


def _check_machines(rule: RequestersRule, path: _Path, known: Known) -> Iterator[Fault]:
    for name in sorted(rule.machines - known.machines):
        why = _unknown("machine", "identity.machines or identity.workloads", name, known.machines)
        yield Fault((*path, "machines", name), why)


def _check_resource(rule: ResourceRule, path: _Path, known: Known) -> Iterator[Fault]:
    targets = [name for name in known.roles if fnmatchcase(name, rule.target)]
    if not targets:
        why = _unmatched("target", "targets", rule.target, tuple(known.roles))
        yield Fault((*path, "target"), why)
        return
    roles = sorted({role for target in targets for role in known.roles[target]})
    if not any(fnmatchcase(role, rule.role) for role in roles):
        where = " or ".join(f"targets.{target}.roles" for target in sorted(targets)[:3])
        yield Fault((*path, "role"), _unmatched("role", where, rule.role, roles))


def _unmatched(what: str, where: str, pattern: str, known: Sequence[str]) -> str:
    if not is_glob(pattern):
        return _unknown(what, where, pattern, known)
    return f"{pattern!r} fits no {what} in {where}; for example: {min(known)}"


def _unknown(what: str, where: str, name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, known, n=1)
    example = min(known, default=_EXAMPLES[what])
    hint = f"did you mean {close[0]}?" if close else f"for example: {example}"
    return f"no {what} {name!r} in {where}; {hint}"
