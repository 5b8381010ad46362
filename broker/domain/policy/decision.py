"""What is decided about an ask, and why."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from itertools import islice

from broker.domain.duration import format_duration
from broker.domain.errors import BrokerError, DurationTooLong, PolicyDenied
from broker.domain.network import Network
from broker.domain.policy.approval import Approval
from broker.domain.policy.ask import Ask, Facts
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.fit import ways_around, why_not
from broker.domain.policy.rule import Policy
from broker.domain.policy.terms import Misfits
from broker.domain.statement.conditions import describe

_MOST_POLICIES = 3  # that almost fit and say why not, to whoever asked; explanation has them all


class Outcome(StrEnum):
    GIVEN = "given"  # at once: nobody has to agree
    ASK = "ask"  # somebody has to agree
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Cut:
    """A duration became shorter; `by` says what did that."""

    to: timedelta
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`policy` is the one that gives or that denies; None if none fits.

    `duration`, as `cuts` have left it, and `networks` are what a grant gets that begins now. One
    that begins later, with the approval or the first use, is cut then: `recheck` what was asked.
    `why` is for people; `error` is what a refusal is raised as.
    """

    outcome: Outcome
    why: tuple[str, ...]
    policy: Policy | None = None
    duration: timedelta | None = None
    cuts: tuple[Cut, ...] = ()
    networks: tuple[Network, ...] = ()
    error: BrokerError | None = None


def decide(book: PolicyBook, ask: Ask, facts: Facts) -> Decision:
    """Decide by the first enabled policy that the ask fits, unless one denies it.

    Nobody waits for people unless the policy's agreements say so, and a machine no other way than
    a human; but a machine is never on call.
    """
    covering = _covering(book, ask)
    if (refusal := _denied(book, covering, ask, facts)) is not None:
        return refusal
    giving = covering & ~book.terms.denying
    misfits = book.terms.misfits(ask, facts)
    unmet = 0
    for policy in book.coverage.policies(giving & ~misfits.any):
        assert policy.approval is not None
        if next(why_not(policy, policy.approval, ask, facts), None) is None:
            return _given(book, policy, policy.approval, ask, facts)
        unmet |= book.coverage.bits[policy.name]
    return _refused(book, giving, replace(misfits, moment=misfits.moment | unmet), ask, facts)


def recheck(
    book: PolicyBook, policy_name: str, ask: Ask, facts: Facts, *, agreed: bool = False
) -> Decision:
    """Decide again as the book is now, but only by this policy and those that deny: at an approval,
    an activation, an extension. ASK says that the approvers' agreement is still what it takes.

    With `agreed` they have: it does not matter for how long it would be given without them.
    """
    if (refusal := _denied(book, _covering(book, ask), ask, facts)) is not None:
        return refusal
    policy = book.find(policy_name)
    what = f"policy {policy_name!r}, under which this was asked for,"
    if policy is None:
        return refused(PolicyDenied(f"{what} is gone"))
    if not policy.enabled:
        return refused(PolicyDenied(f"{what} is disabled now"))
    if policy.approval is None or not policy.covers(
        ask.person, target=ask.target, database=ask.database, role=ask.role
    ):
        return refused(PolicyDenied(f"{what} no longer gives {_wish(ask)} to {ask.person.email}"))
    errors = tuple(why_not(policy, policy.approval, ask, facts))
    if errors:
        return refused(*errors)
    return _given(book, policy, policy.approval, ask, facts, agreed=agreed)


def refused(*errors: BrokerError, policy: Policy | None = None) -> Decision:
    why = tuple(dict.fromkeys(map(str, errors)))
    return Decision(outcome=Outcome.DENIED, why=why, policy=policy, error=errors[0])


def _covering(book: PolicyBook, ask: Ask) -> int:
    return book.coverage.covering(ask.person, ask.target, ask.database, ask.role)


def _denied(book: PolicyBook, covering: int, ask: Ask, facts: Facts) -> Decision | None:
    denying = covering & book.terms.denying
    denying = denying and denying & ~book.terms.hours.closed(facts.now)
    if not denying:
        return None
    policy = book.coverage.first(denying)
    until = policy.hours.closes(facts.now) if policy.hours is not None else None
    when = f" until {policy.hours.local(until)}" if policy.hours and until is not None else ""
    error = PolicyDenied(f"policy {policy.name!r} denies {_wish(ask)}{when}")
    return refused(error, policy=policy)


def _refused(book: PolicyBook, giving: int, misfits: Misfits, ask: Ask, facts: Facts) -> Decision:
    """Refuse with the first policy that the requester could make fit, if there is one."""
    if not giving:
        return refused(PolicyDenied(f"no policy lets you ask for {_wish(ask)}"))
    nearest = book.coverage.first(giving & ~misfits.moment or giving)
    errors = tuple(_errors(nearest, ask, facts))
    if isinstance(errors[0], DurationTooLong):
        # A later policy may give longer: that is what there is to know.
        only_too_long = giving & misfits.length & ~misfits.manner & ~misfits.moment
        if only_too_long:
            nearest = book.coverage.first(book.terms.longest.greatest(only_too_long))
            errors = tuple(_errors(nearest, ask, facts))
    others = (each for each in book.coverage.policies(giving) if each is not nearest)
    more = (next(_errors(each, ask, facts)) for each in islice(others, _MOST_POLICIES - 1))
    return refused(*errors, *more)


def _errors(policy: Policy, ask: Ask, facts: Facts) -> Iterator[BrokerError]:
    assert policy.approval is not None
    return why_not(policy, policy.approval, ask, facts)


def _given(
    book: PolicyBook,
    policy: Policy,
    approval: Approval,
    ask: Ask,
    facts: Facts,
    *,
    agreed: bool = False,
) -> Decision:
    ways = () if agreed else ways_around(policy, approval, ask, facts)
    at_once = max(ways, default=None) if not approval.is_standing else None
    outcome = Outcome.GIVEN if approval.is_standing or at_once else Outcome.ASK
    limits = [*([at_once] if at_once else []), *_limits(book, policy, ask, facts)]
    duration, cuts = _asked(policy, ask), []
    for longest, by in limits:
        if longest < duration:
            duration = longest
            cuts.append(Cut(longest, by))
    return Decision(
        outcome=outcome,
        policy=policy,
        duration=duration,
        cuts=tuple(cuts),
        networks=ask.networks or policy.networks,
        why=(
            f"policy {policy.name!r} gives {_wish(ask)}",
            _who_agrees(approval, at_once[1] if at_once else None, ask),
            *(f"cut to {format_duration(cut.to)}: {cut.by}" for cut in cuts),
            *describe(policy.conditions),
        ),
    )


def _asked(policy: Policy, ask: Ask) -> timedelta:
    if ask.duration is not None:
        return ask.duration
    return min(policy.default_duration or policy.max_duration, policy.max_duration)


def _limits(
    book: PolicyBook, policy: Policy, ask: Ask, facts: Facts
) -> Iterator[tuple[timedelta, str]]:
    """Yield how long it may last from now on, for what the clock on the wall says."""
    if policy.hours is not None and (closes := policy.hours.closes(facts.now)) is not None:
        closing = policy.hours.local(closes)
        yield closes - facts.now, f"policy {policy.name!r} is open until {closing}"
    if not book.terms.denying_hours:
        return
    denying = _covering(book, ask) & book.terms.denying
    for hours, bits in book.terms.denying_hours.items():
        if denying & bits and (begins := hours.opens(facts.now)) is not None:
            by = book.coverage.first(denying & bits).name
            yield begins - facts.now, f"policy {by!r} denies it from {hours.local(begins)}"


def _who_agrees(approval: Approval, at_once: str | None, ask: Ask) -> str:
    if approval.is_standing:
        return "nobody has to agree"
    if at_once is not None:
        return f"nobody has to agree: {at_once}"
    needed = (" or ".join(each.describe(ask.person)) for each in approval.agreements)
    return f"must agree: {'; and '.join(needed)}"


def _wish(ask: Ask) -> str:
    return f"{ask.role!r} in database {ask.database!r} on target {ask.target!r}"
