"""One policy that covers an ask: does the rest of the ask fit it, and if not, why?"""

from collections.abc import Iterator
from datetime import timedelta

from broker.domain.duration import format_duration
from broker.domain.errors import (
    BrokerError,
    DurationRequired,
    DurationTooLong,
    NetworkOutside,
    NobodyCouldApprove,
    NotThroughProxy,
    OutsideHours,
    PolicyDenied,
    PreApprovalRequired,
    ReasonRequired,
    TooManyAtOnce,
)
from broker.domain.grant import GrantKind
from broker.domain.network import lies_in
from broker.domain.person import PersonKind
from broker.domain.policy.approval import Approval
from broker.domain.policy.ask import Ask, Facts
from broker.domain.policy.rule import Policy


def why_not(policy: Policy, approval: Approval, ask: Ask, facts: Facts) -> Iterator[BrokerError]:
    """Yield why the policy does not fit: first what only others or time can change, then what the
    requester can."""
    yield from _not_now(policy, ask, facts)
    unmet = approval.unmet(ask.person, ask.requester)
    if unmet and not ways_around(policy, approval, ask, facts):
        yield NobodyCouldApprove(policy.name, [" or ".join(e.describe(ask.person)) for e in unmet])
    yield from _not_so(policy, ask)


def _not_now(policy: Policy, ask: Ask, facts: Facts) -> Iterator[BrokerError]:
    name = policy.name
    if ask.requester.email != ask.person.email and not policy.on_behalf.includes(ask.requester):
        yield PolicyDenied(f"policy {name!r} does not let you ask for {ask.person.email}")
    if policy.hours is not None and (opens := policy.hours.opens(facts.now)) is not None:
        yield OutsideHours(name, policy.hours.describe(), policy.hours.local(opens))
    if policy.pre_approval_required and name not in facts.pre_approved:
        yield PreApprovalRequired(name)
    if (
        policy.at_once is not None
        and ask.person.kind is PersonKind.MACHINE
        and facts.living >= policy.at_once
    ):
        yield TooManyAtOnce(name, facts.living, policy.at_once)


def _not_so(policy: Policy, ask: Ask) -> Iterator[BrokerError]:
    if ask.duration is None and policy.duration_required:
        yield DurationRequired(policy.name, format_duration(policy.max_duration))
    if ask.duration is not None and ask.duration > policy.max_duration:
        yield too_long(policy, ask.duration)
    if policy.reason_required and not ask.reason.strip():
        yield ReasonRequired(policy.name)
    bound = policy.networks or ask.networks or policy.conditions.bind
    if ask.kind is GrantKind.MEMBERSHIP and bound:
        yield NotThroughProxy(ask.role)
    for network in ask.networks:
        if policy.networks and not lies_in(network, policy.networks):
            yield NetworkOutside(str(network), policy.name, [str(each) for each in policy.networks])


def too_long(policy: Policy, duration: timedelta) -> DurationTooLong:
    longest = format_duration(policy.max_duration)
    return DurationTooLong(format_duration(duration), longest, f"policy {policy.name!r}")


def ways_around(
    policy: Policy, approval: Approval, ask: Ask, facts: Facts
) -> tuple[tuple[timedelta, str], ...]:
    """Return what makes that nobody has to agree now, and the longest that each of them gives."""
    ways = []
    if policy.name in facts.pre_approved:
        ways.append((facts.pre_approved[policy.name], "it was approved in advance"))
    on_call = approval.on_call
    if on_call is not None and ask.person.kind is PersonKind.HUMAN:
        ways += [
            (on_call.at_most, f"{ask.person.email} is on call ({schedule})")
            for schedule in sorted(on_call.schedules)
            if ask.person.email in facts.on_call.get(schedule, ())
        ]
    return tuple(ways)
