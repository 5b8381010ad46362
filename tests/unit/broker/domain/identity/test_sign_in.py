"""How long somebody stays signed in."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broker.domain.identity.sign_in import SignIn, is_to_be_seen, why_over

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
IDLE = timedelta(hours=1)
SECOND = timedelta(seconds=1)
SIGN_IN = SignIn(
    id="sgn_1",
    person_id="per_1",
    provider="company",
    token_id=None,
    created_at=NOON,
    expires_at=NOON + timedelta(hours=12),
    seen_at=NOON,
)


def test_it_lasts_while_it_is_used() -> None:
    assert why_over(SIGN_IN, NOON + IDLE - SECOND, IDLE) is None


def test_it_ends_when_it_was_idle_for_too_long() -> None:
    assert "idle" in (why_over(SIGN_IN, NOON + IDLE, IDLE) or "")


def test_it_ends_at_its_time_however_much_it_is_used() -> None:
    used = replace(SIGN_IN, seen_at=SIGN_IN.expires_at - SECOND)
    assert why_over(used, SIGN_IN.expires_at - SECOND, IDLE) is None
    assert "as long as it may be" in (why_over(used, SIGN_IN.expires_at, IDLE) or "")


def test_who_signed_out_is_out() -> None:
    assert why_over(replace(SIGN_IN, ended_at=NOON), NOON, IDLE) == "you have signed out"


@pytest.mark.parametrize(
    ("idle", "often"),
    [(IDLE, timedelta(minutes=1)), (timedelta(minutes=2), timedelta(seconds=12))],
)
def test_its_uses_are_written_down_now_and_then(idle: timedelta, often: timedelta) -> None:
    assert not is_to_be_seen(SIGN_IN, NOON + often - SECOND, idle)
    assert is_to_be_seen(SIGN_IN, NOON + often, idle)
