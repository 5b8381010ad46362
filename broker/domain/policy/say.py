"""What one person may say about a request: agree, agree alone in an emergency, deny, or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from broker.domain.errors import BrokerError, NotApprover
from broker.domain.person import Person
from broker.domain.policy.quorum import Panel, Vote, may_approve
from broker.domain.verdict import Deny


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """`agreed`: they have, and others still have to. `why_not` says why they do not agree as one of
    those who usually do; somebody who has agreed may still deny."""

    agree: bool = False
    break_glass: bool = False
    deny: bool = False
    agreed: bool = False
    why_not: str = ""

    @property
    def anything(self) -> bool:
        return self.agree or self.break_glass or self.deny


def say_of(panel: Panel, person: Person, votes: Sequence[Vote]) -> Say:
    """Return what the person may say, now that `votes` have been cast."""
    answer = may_approve(panel, person)
    if isinstance(answer, Deny):
        return Say(why_not=str(answer.error))
    cast = {vote.break_glass for vote in votes if vote.decider.email == person.email}
    usual = refusal_of(panel, person, break_glass=False)
    alone = refusal_of(panel, person, break_glass=True)
    return Say(
        agree=usual is None and not cast,
        break_glass=alone is None and True not in cast,
        deny=True,
        agreed=bool(cast),
        why_not="" if usual is None else str(usual),
    )


def refusal_of(panel: Panel, person: Person, *, break_glass: bool) -> BrokerError | None:
    """Return why this person's consent would not count, or None if it would."""
    answer = may_approve(panel, person)
    if isinstance(answer, Deny):
        return answer.error
    name = panel.policy.name
    if break_glass and not panel.approval.break_glass.includes(person):
        return NotApprover(f"policy {name!r} does not name you as somebody who breaks the glass")
    usual = person.email in panel.on_call_approvers or any(
        each.includes(person, panel.person) for each in panel.approval.agreements
    )
    if not (break_glass or usual):
        return NotApprover(f"under policy {name!r} you may approve only by breaking the glass")
    return None
