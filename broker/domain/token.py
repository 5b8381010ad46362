"""Bearer tokens of ours: whose they are, what they are good for, and when they are dead."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from broker.domain.duration import format_duration
from broker.domain.errors import DurationTooLong, ScopeTooWide

PREFIX = "pgcurfew_"  # lets secret scanners recognise a leaked one

_USUAL_LIFE = timedelta(days=90)
_NOTED_EVERY = timedelta(minutes=1)


class TokenKind(StrEnum):
    PERSONAL = "personal"  # a person's own
    SERVICE = "service"  # a machine's
    SIGN_IN = "sign_in"  # of a command line that somebody signed in on


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as the ledger knows it: by digest, which is never read back. Without `scopes` it is
    good for all that its holder may do."""

    id: str
    email: str
    kind: TokenKind
    label: str
    scopes: frozenset[str] | None
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def why_dead(self, now: datetime) -> str | None:
        if self.revoked_at is not None:
            return f"token {self.id} of {self.email} was revoked at {self.revoked_at:%F %T%z}"
        if now >= self.expires_at:
            return f"token {self.id} of {self.email} expired at {self.expires_at:%F %T%z}"
        return None

    def use_is_worth_noting(self, now: datetime) -> bool:
        """Say whether the last use that was noted is so long ago that this one should be."""
        return self.last_used_at is None or now >= self.last_used_at + _NOTED_EVERY


def token_lifetime(asked: timedelta | None, longest: timedelta) -> timedelta:
    """Return how long a token will live. Raises DurationTooLong."""
    if asked is None:
        return min(_USUAL_LIFE, longest)
    if asked > longest:
        raise DurationTooLong(
            format_duration(asked), format_duration(longest), "identity.tokens.longest"
        )
    return asked


def scopes_within(
    asked: frozenset[str] | None, mine: frozenset[str] | None
) -> frozenset[str] | None:
    """Return the scopes of a token that is made with one for `mine`. Raises ScopeTooWide.

    Nobody gets more by making a token; who does not say gets the same.
    """
    if asked is None:
        return mine
    too_wide = sorted(asked - mine) if mine is not None else []
    if too_wide:
        raise ScopeTooWide(too_wide[0])
    return asked
