"""Who may approve a request, and whether enough have."""

from collections.abc import Sequence
from dataclasses import dataclass

from broker.domain.errors import NotApprover, SelfApproval
from broker.domain.person import Person, PersonKind
from broker.domain.policy.approval import STANDING, Approval
from broker.domain.policy.matching import Need, fill
from broker.domain.policy.rule import Policy
from broker.domain.verdict import Allow, Deny


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What is to be agreed to: that `person` gets what `requester` asked for under `policy`.

    `on_call_approvers` are the e-mail addresses of those to whom it was escalated.
    """

    policy: Policy
    person: Person
    requester: Person
    on_call_approvers: frozenset[str] = frozenset()

    @property
    def approval(self) -> Approval:
        """What it takes. Of a policy that denies now nobody is an approver."""
        return self.policy.approval or STANDING


@dataclass(frozen=True, slots=True)
class Vote:
    """Somebody agrees. `decider` has the groups of today, not those of the day they agreed."""

    decider: Person
    break_glass: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How many of those who must agree have."""

    label: str
    have: int
    need: int


@dataclass(frozen=True, slots=True)
class Tally:
    """`missing` says for people what is still needed."""

    agreed: bool
    progress: tuple[Progress, ...]
    missing: tuple[str, ...]


def may_approve(panel: Panel, approver: Person) -> Allow | Deny:
    """Say whether this person's agreement would count for anything."""
    if approver.kind is PersonKind.MACHINE:
        return Deny(NotApprover("machines approve nothing"))
    own = approver.email in (panel.person.email, panel.requester.email)
    if own and not panel.approval.one_party:
        return Deny(SelfApproval())
    if panel.approval.names(approver, panel.person) or approver.email in panel.on_call_approvers:
        return Allow()
    return Deny(NotApprover(f"policy {panel.policy.name!r} does not name you as an approver"))


def tally(panel: Panel, votes: Sequence[Vote]) -> Tally:
    """Count who agreed. Each person counts once, for one agreement; somebody who may not approve
    any more counts nothing. The vote of who breaks the glass, or is on call and was paged, is
    enough alone."""
    counted = {
        vote.decider.email: vote
        for vote in sorted(votes, key=lambda vote: vote.break_glass)
        if isinstance(may_approve(panel, vote.decider), Allow)
    }
    approval = panel.approval
    needs = [
        Need(
            each.count,
            frozenset(
                email
                for email, vote in counted.items()
                if each.includes(vote.decider, panel.person)
            ),
        )
        for each in approval.agreements
    ]
    progress = tuple(
        Progress(each.label or " or ".join(each.describe(panel.person)), have, each.count)
        for each, have in zip(approval.agreements, fill(needs), strict=True)
    )
    alone = any(_suffices(panel, vote) for vote in counted.values())
    short = [each for each in progress if each.have < each.need]
    return Tally(
        agreed=alone or (panel.policy.approval is not None and not short),
        progress=progress,
        missing=()
        if alone
        else tuple(f"{each.need - each.have} of {each.label}" for each in short),
    )


def _suffices(panel: Panel, vote: Vote) -> bool:
    if vote.decider.email in panel.on_call_approvers:
        return True
    return vote.break_glass and panel.approval.break_glass.includes(vote.decider)
