"""What other policies would have said to what was asked for."""

from dataclasses import dataclass, fields
from datetime import timedelta

from broker.domain.network import Network
from broker.domain.policy.approvers import other_ways, who_approves
from broker.domain.policy.ask import Ask, Facts
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.decision import Outcome, decide
from broker.domain.statement.conditions import describe


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a person would notice of a decision."""

    outcome: Outcome
    policy: str | None
    duration: timedelta | None
    networks: tuple[Network, ...]
    approvers: tuple[str, ...]
    other_ways: tuple[str, ...]
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shift:
    """Two answers to one ask; `changed` names the fields in which they differ. `why` are the
    reasons for the second one."""

    before: Answer
    after: Answer
    changed: tuple[str, ...]
    why: tuple[str, ...]


def shift(before: PolicyBook, after: PolicyBook, ask: Ask, facts: Facts) -> Shift | None:
    """Return how the answers of two books differ, or None if nobody would notice."""
    was, _ = _answer(before, ask, facts)
    would_be, why = _answer(after, ask, facts)
    names = (field.name for field in fields(Answer))
    changed = tuple(name for name in names if getattr(was, name) != getattr(would_be, name))
    return Shift(was, would_be, changed, why) if changed else None


def _answer(book: PolicyBook, ask: Ask, facts: Facts) -> tuple[Answer, tuple[str, ...]]:
    decision = decide(book, ask, facts)
    policy = decision.policy
    answer = Answer(
        outcome=decision.outcome,
        policy=policy.name if policy is not None else None,
        duration=decision.duration,
        networks=decision.networks,
        approvers=who_approves(policy, ask.person) if policy is not None else (),
        other_ways=other_ways(policy) if policy is not None else (),
        conditions=describe(policy.conditions) if policy is not None else (),
    )
    return answer, decision.why
