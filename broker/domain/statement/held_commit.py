"""A COMMIT that is held until somebody decides, or its time is over."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from broker.domain.errors import BrokerError, CommitSettled, NotYoursToConfirm


class CommitDecision(StrEnum):
    CONFIRMED = "confirmed"
    ROLLED_BACK = "rolled back"
    TIMED_OUT = "timed out"
    LOST = "lost"  # its session ended first, and the transaction with it


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a held commit. `by` is who decided, or None if nobody did."""

    decision: CommitDecision
    by: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCommit:
    """A transaction of a session that changed `rows`, and waits until `ends_at`: for the grant's
    holder, or if `by_approver` for somebody else who may approve the grant."""

    id: str
    session_id: str
    grant_id: str
    rows: int
    by_approver: bool
    held_at: datetime
    ends_at: datetime
    settled: Settled | None = None


def why_not_settled(
    held: HeldCommit, decision: CommitDecision, now: datetime, *, holds: bool, oversees: bool
) -> BrokerError | None:
    """Return why somebody may not decide so, or None: who `holds` the grant, or who `oversees` it,
    as one of its approvers who neither holds nor asked for it.

    Only whom the gate names confirms. To roll back harms nobody and is what ending the session
    does, so who may do that may do this.
    """
    if held.settled is not None:
        return CommitSettled(held.id, held.settled.decision)
    if now >= held.ends_at:
        return CommitSettled(held.id, CommitDecision.TIMED_OUT)
    if decision is CommitDecision.CONFIRMED:
        may = oversees if held.by_approver else holds
        return None if may else NotYoursToConfirm(by_approver=held.by_approver)
    return None
