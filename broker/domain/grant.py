"""The life of a grant: what was given, until when, and how it ends.

    PROVISIONING ──► ACTIVE ──► REVOKING ──► ENDED
          └────────────────────────▲

The state is written before a target is touched, so that a crash at any step leaves work that the
reaper finds. TRANSITIONS is the specification; only this file moves a grant.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from broker.domain.errors import IllegalTransition
from broker.domain.person import Person


class GrantState(StrEnum):
    PROVISIONING = "provisioning"
    ACTIVE = "active"
    REVOKING = "revoking"
    ENDED = "ended"


class GrantEvent(StrEnum):
    PROVISIONED = "provisioned"
    EXPIRED = "expired"
    RELINQUISHED = "relinquished"
    REVOKED = "revoked"
    # The target no longer accepts the keys that we derive: somebody changed the login's password.
    REJECTED = "rejected"
    FAILED = "failed"
    REMOVED = "removed"


# Why a grant ends. A login may exist on the target even while we still provision (PostgreSQL may
# have made it just before we lost the answer), so every one of them leads through REVOKING.
ENDINGS = (
    GrantEvent.EXPIRED,
    GrantEvent.RELINQUISHED,
    GrantEvent.REVOKED,
    GrantEvent.REJECTED,
    GrantEvent.FAILED,
)

TRANSITIONS = {
    (GrantState.PROVISIONING, GrantEvent.PROVISIONED): GrantState.ACTIVE,
    **{(GrantState.PROVISIONING, ending): GrantState.REVOKING for ending in ENDINGS},
    **{(GrantState.ACTIVE, ending): GrantState.REVOKING for ending in ENDINGS},
    (GrantState.REVOKING, GrantEvent.REMOVED): GrantState.ENDED,
}

_FIRST_RETRY = timedelta(seconds=1)
_LONGEST_RETRY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A role on a target, given to a person until `expires_at` (the curfew)."""

    id: str
    request_id: str
    person: Person
    target: str
    database: str
    role: str
    state: GrantState
    granted_at: datetime
    expires_at: datetime
    end_reason: GrantEvent | None = None
    ended_by: str | None = None
    end_comment: str | None = None
    ended_at: datetime | None = None
    attempts: int = 0
    next_attempt_at: datetime | None = None
    last_error: str | None = None

    def after(self, event: GrantEvent, now: datetime) -> "Grant":
        """Return the grant as `event` leaves it. Raises IllegalTransition."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            raise IllegalTransition(f"grant {self.id}", self.state, event)
        moved = replace(self, state=state, attempts=0, next_attempt_at=now, last_error=None)
        if event in ENDINGS:
            return replace(moved, end_reason=event)
        if state is GrantState.ENDED:
            return replace(moved, ended_at=now)
        return moved

    def ended_for(self, actor: str, comment: str | None) -> "Grant":
        """Return the grant with who ended it and what they said."""
        return replace(self, ended_by=actor, end_comment=comment)

    def after_failed_attempt(self, error: str, now: datetime) -> "Grant":
        """Return the grant in the same state, to be tried again later and later."""
        delay = min(_FIRST_RETRY * 2 ** min(self.attempts, 16), _LONGEST_RETRY)
        return replace(
            self,
            attempts=self.attempts + 1,
            next_attempt_at=now + delay,
            last_error=error,
        )


def ending_sentence(grant: Grant) -> str:
    """Say why a grant ended, to the person who had it."""
    match grant.end_reason:
        case GrantEvent.RELINQUISHED:
            return f"access ended: grant {grant.id} was relinquished"
        case GrantEvent.REVOKED:
            why = f": {grant.end_comment}" if grant.end_comment else ""
            return f"access ended: grant {grant.id} was revoked by {grant.ended_by}{why}"
        case GrantEvent.REJECTED | GrantEvent.FAILED:
            return f"access ended: grant {grant.id} is no longer usable"
        case _:
            at = grant.expires_at.strftime("%Y-%m-%d %H:%M:%S UTC")
            return f"access ended: grant {grant.id} expired at {at}"
