"""Who could let somebody have it, in words: for those who ask what a policy means."""

from collections.abc import Iterator

from broker.domain.duration import format_duration
from broker.domain.person import Person
from broker.domain.policy.rule import Policy


def who_approves(policy: Policy, person: Person | None) -> tuple[str, ...]:
    """Name those who must agree that `person`, or anybody, gets access: each of these, but any of
    those that one of them names. Nobody has to, or could if the policy denies, if there are none.
    """
    agreements = policy.approval.agreements if policy.approval is not None else ()
    return tuple(" or ".join(each.describe(person)) for each in agreements)


def other_ways(policy: Policy) -> tuple[str, ...]:
    """Name the ways in which it goes without all of them."""
    return tuple(_other_ways(policy))


def _other_ways(policy: Policy) -> Iterator[str]:
    approval = policy.approval
    if approval is None:
        return
    if approval.on_call is not None:
        schedules = " or ".join(sorted(approval.on_call.schedules))
        longest = format_duration(approval.on_call.at_most)
        yield f"at once, for at most {longest}, for who is on call ({schedules})"
    if approval.escalation:
        yield f"who is on call ({' or '.join(sorted(approval.escalation))}), once escalated to"
    if not approval.break_glass.is_nobody:
        yield f"{' or '.join(approval.break_glass.describe())} alone, breaking the glass"
    if approval.one_party:
        yield "who asks may be one of those who agree"
