"""When a token is dead, how long it lives, and what it may be good for."""

from datetime import UTC, datetime, timedelta

import pytest

from broker.domain.authorization import Action
from broker.domain.errors import DurationTooLong, ScopeTooWide
from broker.domain.token import Token, TokenKind, scopes_within, token_lifetime

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def token(*, revoked_at: datetime | None = None, last_used_at: datetime | None = None) -> Token:
    return Token(
        id="tok_1",
        email="dev@example.com",
        kind=TokenKind.PERSONAL,
        label="",
        scopes=None,
        created_by="dev@example.com",
        created_at=NOW,
        expires_at=NOW + DAY,
        revoked_at=revoked_at,
        last_used_at=last_used_at,
    )


def test_a_token_lives_until_it_expires_or_is_revoked() -> None:
    assert token().why_dead(NOW + DAY - timedelta(seconds=1)) is None
    assert token().why_dead(NOW + DAY) == (
        "token tok_1 of dev@example.com expired at 2026-03-03 12:00:00+0000"
    )
    assert token(revoked_at=NOW).why_dead(NOW) == (
        "token tok_1 of dev@example.com was revoked at 2026-03-02 12:00:00+0000"
    )


@pytest.mark.parametrize(
    ("last_used_at", "is_noted"),
    [
        (None, True),
        (NOW, False),
        (NOW - timedelta(seconds=59), False),
        (NOW - timedelta(minutes=1), True),
    ],
)
def test_use_is_noted_once_a_minute(last_used_at: datetime | None, *, is_noted: bool) -> None:
    assert token(last_used_at=last_used_at).use_is_worth_noting(NOW) is is_noted


def test_a_lifetime_is_what_was_asked_for_or_the_usual_one_within_the_longest() -> None:
    assert token_lifetime(DAY, 90 * DAY) == DAY
    assert token_lifetime(None, 366 * DAY) == 90 * DAY
    assert token_lifetime(None, 7 * DAY) == 7 * DAY
    with pytest.raises(DurationTooLong, match=r"8d is too long: identity\.tokens\.longest .* 7d"):
        token_lifetime(8 * DAY, 7 * DAY)


def test_a_token_is_good_for_no_more_than_the_one_that_it_is_made_with() -> None:
    mine = frozenset({Action.READ, Action.TOKENS})
    assert scopes_within(None, None) is None
    assert scopes_within(None, mine) == mine
    assert scopes_within(frozenset({Action.READ}), mine) == frozenset({Action.READ})
    assert scopes_within(frozenset({Action.DECIDE}), None) == frozenset({Action.DECIDE})
    with pytest.raises(ScopeTooWide, match="your own token is not good for 'decide'"):
        scopes_within(frozenset({Action.READ, Action.DECIDE}), mine)
