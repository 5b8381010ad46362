"""Who decides about a commit that is held, and for how long."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broker.domain.errors import CommitSettled, NotYoursToConfirm
from broker.domain.statement.held_commit import (
    CommitDecision,
    HeldCommit,
    Settled,
    why_not_settled,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HELD = HeldCommit(
    id="hld_1",
    session_id="ses_1",
    grant_id="grt_1",
    rows=5000,
    by_approver=False,
    held_at=NOON,
    ends_at=NOON + timedelta(minutes=5),
)
BY_APPROVER = replace(HELD, by_approver=True)


@pytest.mark.parametrize(
    ("held", "holds", "oversees", "may"),
    [
        (HELD, True, False, True),
        (HELD, False, True, False),
        (BY_APPROVER, True, False, False),
        (BY_APPROVER, False, True, True),
        (BY_APPROVER, False, False, False),  # an operator
    ],
)
def test_only_whom_the_gate_names_confirms(
    *, held: HeldCommit, holds: bool, oversees: bool, may: bool
) -> None:
    found = why_not_settled(held, CommitDecision.CONFIRMED, NOON, holds=holds, oversees=oversees)
    assert isinstance(found, NotYoursToConfirm) is not may


@pytest.mark.parametrize("held", [HELD, BY_APPROVER])
def test_whoever_may_end_the_session_may_roll_back(held: HeldCommit) -> None:
    found = why_not_settled(held, CommitDecision.ROLLED_BACK, NOON, holds=False, oversees=False)
    assert found is None


@pytest.mark.parametrize(
    ("held", "now", "was"),
    [
        (replace(HELD, settled=Settled(CommitDecision.LOST, None, NOON)), NOON, "lost"),
        (HELD, HELD.ends_at, "timed out"),
    ],
)
@pytest.mark.parametrize("decision", [CommitDecision.CONFIRMED, CommitDecision.ROLLED_BACK])
def test_nobody_decides_what_waits_no_longer(
    held: HeldCommit, now: datetime, was: str, decision: CommitDecision
) -> None:
    found = why_not_settled(held, decision, now, holds=True, oversees=False)
    assert isinstance(found, CommitSettled)
    assert str(found) == f"commit hld_1 waits no longer: it was {was}"
