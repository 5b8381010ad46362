"""The policy file → the policies that it means, or a SettingsError that names the line, what is
wrong and what would be right. A file with one fault is refused whole."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, assert_never

from pydantic import ValidationError

from broker.config.faults import Fault, SettingsError, find_faults
from broker.config.policy_checks import Known, check, resources_of
from broker.config.policy_models import (
    AgreementRule,
    ApprovalRule,
    HoursRule,
    PeopleRule,
    Policies,
    PolicyRule,
    RequestersRule,
)
from broker.config.session_parameters import parameters_of
from broker.config.settings import Settings, beside
from broker.config.yaml_file import Document, parse_yaml
from broker.domain.policy.approval import STANDING, Agreement, Approval, OnCall
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.hours import WeeklyHours
from broker.domain.policy.people import NOBODY, People
from broker.domain.policy.resources import Resources
from broker.domain.policy.rule import Policy, Start

_EXAMPLE = "policies: [{name: readers, …}]"
# From the approval until the first use, where the clock starts with that.
_ACTIVATE_WITHIN = timedelta(hours=8)


@dataclass(frozen=True, slots=True)
class PolicyFileContent:
    book: PolicyBook
    text: str
    path: Path


def load_policies(settings: Settings, config: Path) -> PolicyFileContent:
    """Read the policy file that the settings name. Raises SettingsError."""
    path = beside(config, settings.policies.file)
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        said = f"policies.file: {path} cannot be read ({why})"
        raise SettingsError(str(config), [f"  {said}; for example: policies.yaml"]) from None
    return PolicyFileContent(parse_policies(text, str(path), settings), text, path)


def parse_policies(text: str, name: str, settings: Settings) -> PolicyBook:
    """Return the policies of a file named `name`, under these settings. Raises SettingsError."""
    document = parse_yaml(text, name, _EXAMPLE)
    try:
        policies = Policies.model_validate(document.values)
    except ValidationError as error:
        raise _refusal(name, document, find_faults(error, Policies)) from None
    if faults := tuple(check(policies, Known.by(settings))):
        raise _refusal(name, document, faults)
    reviewers = _people(policies.approvers)
    return PolicyBook(tuple(_policy(each, reviewers) for each in policies.policies), reviewers)


def _refusal(name: str, document: Document, faults: Iterable[Fault]) -> SettingsError:
    placed = [Fault(_place(document.values, fault.path), fault.why) for fault in faults]
    placed.sort(key=lambda fault: document.line(fault.path))
    return SettingsError(name, [f"  {name}:{document.line(each.path)}: {each}" for each in placed])


def _place(values: Any, path: tuple[str, ...]) -> tuple[str, ...]:
    """Return a path to a place in `values` in which items are named by their number: what was
    checked had lost their order."""
    found: list[str] = []
    for key in path:
        if isinstance(values, list):
            number = values.index(key) if key in values else int(key)
            found.append(str(number))
            values = values[number]
        else:
            found.append(key)
            values = values.get(key) if isinstance(values, dict) else None
    return tuple(found)


def _policy(rule: PolicyRule, reviewers: People) -> Policy:
    first_use = rule.starts is Start.FIRST_USE
    return Policy(
        name=rule.name,
        requesters=_people(rule.requesters),
        resources=Resources(resources_of(rule.resources), resources_of(rule.removed)),
        approval=_approval(rule, reviewers),
        enabled=rule.enabled,
        max_duration=rule.max_duration or timedelta(),
        default_duration=rule.default_duration,
        reason_required="reason" in rule.require,
        duration_required="duration" in rule.require,
        pre_approval_required="pre_approval" in rule.require,
        approvable_for=rule.approvable_for,
        starts=rule.starts,
        activate_within=(rule.activate_within or _ACTIVATE_WITHIN) if first_use else None,
        networks=rule.networks,
        hours=_hours(rule.hours) if rule.hours is not None else None,
        parameters=parameters_of(rule.session),
        connection_limit=rule.session.connection_limit,
        on_behalf=_people(rule.on_behalf) if rule.on_behalf is not None else NOBODY,
        at_once=rule.at_once,
        sweep=rule.sweep.rule(),
        conditions=rule.statements.conditions(),
    )


def _approval(rule: PolicyRule, reviewers: People) -> Approval | None:
    match rule.approval:
        case "deny":
            return None
        case "standing":
            return STANDING
        case ApprovalRule() as approval:
            return _agreed(approval, reviewers)
        case _:
            assert_never(rule.approval)


def _agreed(rule: ApprovalRule, reviewers: People) -> Approval:
    on_call = rule.on_call
    return Approval(
        tuple(_agreement(each, reviewers) for each in rule.agreements),
        OnCall(on_call.schedules, on_call.at_most) if on_call is not None else None,
        rule.escalation.schedules if rule.escalation is not None else frozenset(),
        _people(rule.break_glass) if rule.break_glass is not None else NOBODY,
        rule.one_party,
    )


def _agreement(rule: AgreementRule, reviewers: People) -> Agreement:
    named = _people(rule)
    words = ["reviewers"] * rule.reviewers + ["manager"] * rule.manager + [*named.describe()]
    everybody = named | reviewers if rule.reviewers else named
    return Agreement(everybody, rule.manager, rule.count, " or ".join(words))


def _people(rule: PeopleRule) -> People:
    machines = rule.machines if isinstance(rule, RequestersRule) else frozenset()
    return People(rule.anyone, rule.people, rule.groups, machines)


def _hours(rule: HoursRule) -> WeeklyHours:
    return WeeklyHours(tuple(span for spans in rule.open for span in spans), rule.zone)
