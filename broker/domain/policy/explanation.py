"""A decision, and every policy that had something to do with it or came close.

It tells of policies that do not concern the person: for those who may see the policies.
"""

from dataclasses import dataclass
from enum import StrEnum

from broker.domain.policy.ask import Ask, Facts
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.decision import Decision, decide
from broker.domain.policy.fit import why_not
from broker.domain.policy.rule import Policy


class Part(StrEnum):
    """What a policy has to do with a decision."""

    DECIDES = "decides"
    DENIES = "denies"
    FITS = "fits"  # but one before it decides, or one denies
    MISFIT = "misfit"  # covers person and resource, and not the rest
    OTHERS = "others"  # covers the resource, and not the person
    ELSEWHERE = "elsewhere"  # covers the person and the role, and not in this database
    DISABLED = "disabled"  # covers person and resource


@dataclass(frozen=True, slots=True)
class Considered:
    policy: Policy
    part: Part
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """`considered` are in the order of the file."""

    decision: Decision
    considered: tuple[Considered, ...]


def explain(book: PolicyBook, ask: Ask, facts: Facts) -> Explanation:
    decision = decide(book, ask, facts)
    considered = (_consider(policy, decision, ask, facts) for policy in book.policies)
    return Explanation(decision, tuple(each for each in considered if each is not None))


def _consider(policy: Policy, decision: Decision, ask: Ask, facts: Facts) -> Considered | None:
    resources = policy.resources
    if not resources.matches_somewhere(ask.target, ask.role):
        return None
    here = resources.matches(ask.target, ask.database, ask.role)
    if not policy.requesters.includes(ask.person):
        who = " or ".join(policy.requesters.describe())
        return Considered(policy, Part.OTHERS, (f"is for {who}",)) if here else None
    if not here:
        where = ", ".join(resources.databases(ask.target, ask.role))
        return Considered(policy, Part.ELSEWHERE, (f"covers database {where}",))
    if not policy.enabled:
        return Considered(policy, Part.DISABLED, ("is disabled",))
    return _consider_covering(policy, decision, ask, facts)


def _consider_covering(policy: Policy, decision: Decision, ask: Ask, facts: Facts) -> Considered:
    if policy.approval is None:
        if policy.hours is None or policy.hours.includes(facts.now):
            return Considered(policy, Part.DENIES, ("denies it",))
        return Considered(policy, Part.MISFIT, (f"denies it only {policy.hours.describe()}",))
    if policy is decision.policy:
        return Considered(policy, Part.DECIDES, decision.why)
    errors = tuple(map(str, why_not(policy, policy.approval, ask, facts)))
    if errors:
        return Considered(policy, Part.MISFIT, errors)
    return Considered(policy, Part.FITS, ("fits too, and did not decide",))
