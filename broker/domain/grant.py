"""The life of a grant: what was given, until when, and how it ends.

    WAITING ──► PROVISIONING ──► ACTIVE ──► REVOKING ──► ENDED
       │              └────────────────────────▲  │       ▲ ▲
       │                                          ▼       │ │
       │                                      QUARANTINED ┘ │
       └────────────────────────────────────────────────────┘

A waiting grant is approved, and its clock starts when its secret is first wanted; on the target
there is nothing of it yet.

A quarantined grant gives nobody access any more, but something holds its login: a backend that does
not die, somebody's lock, a privilege that the admin role has lost. It is tried again until it ends.

The state is written before a target is touched, so that a crash at any step leaves work that the
reaper finds. TRANSITIONS is the specification; only this file moves a grant.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from broker.domain.errors import HeldByTicket, IllegalTransition
from broker.domain.network import Address, Network
from broker.domain.parameter import Parameter
from broker.domain.person import Person
from broker.domain.statement.conditions import NO_CONDITIONS, Conditions


class GrantKind(StrEnum):
    """How a role is given: through a login made for the grant, or to a role that the person has."""

    LOGIN = "login"
    MEMBERSHIP = "membership"


class GrantState(StrEnum):
    WAITING = "waiting"
    PROVISIONING = "provisioning"
    ACTIVE = "active"
    REVOKING = "revoking"
    QUARANTINED = "quarantined"
    ENDED = "ended"


class GrantEvent(StrEnum):
    # Its secret is wanted for the first time, where that is what starts the clock.
    ACTIVATED = "activated"
    PROVISIONED = "provisioned"
    EXPIRED = "expired"
    RELINQUISHED = "relinquished"
    REVOKED = "revoked"
    # The target no longer accepts the keys that we derive: somebody changed the login's password.
    REJECTED = "rejected"
    # Somebody else dropped the login.
    VANISHED = "vanished"
    FAILED = "failed"
    BLOCKED = "blocked"
    REMOVED = "removed"


# Why a grant ends. A login may exist on the target even while we still provision (PostgreSQL may
# have made it just before we lost the answer), so every one of them leads through REVOKING.
ENDINGS = (
    GrantEvent.EXPIRED,
    GrantEvent.RELINQUISHED,
    GrantEvent.REVOKED,
    GrantEvent.REJECTED,
    GrantEvent.VANISHED,
    GrantEvent.FAILED,
)

# Nobody has access under these any more, or only until the reaper comes.
ENDING_STATES = (GrantState.REVOKING, GrantState.QUARANTINED)

TRANSITIONS = {
    (GrantState.WAITING, GrantEvent.ACTIVATED): GrantState.PROVISIONING,
    # Nothing has been made on the target, so nothing is to be removed.
    (GrantState.WAITING, GrantEvent.EXPIRED): GrantState.ENDED,
    (GrantState.WAITING, GrantEvent.RELINQUISHED): GrantState.ENDED,
    (GrantState.WAITING, GrantEvent.REVOKED): GrantState.ENDED,
    (GrantState.PROVISIONING, GrantEvent.PROVISIONED): GrantState.ACTIVE,
    **{(GrantState.PROVISIONING, ending): GrantState.REVOKING for ending in ENDINGS},
    **{(GrantState.ACTIVE, ending): GrantState.REVOKING for ending in ENDINGS},
    (GrantState.REVOKING, GrantEvent.BLOCKED): GrantState.QUARANTINED,
    (GrantState.REVOKING, GrantEvent.REMOVED): GrantState.ENDED,
    (GrantState.QUARANTINED, GrantEvent.REMOVED): GrantState.ENDED,
}

# Somebody attends to it and waits: the reaper comes in only if they die.
_ATTENDED = timedelta(seconds=2)
_FIRST_RETRY = timedelta(seconds=1)
_LONGEST_RETRY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A role on a target, given to a person until `expires_at` (the curfew).

    A waiting one ends then if it is not used, and lasts `duration` from when it first is.

    `member` is the person's own role that gets it, if the kind is a membership. Sessions come from
    `networks`, or from anywhere if there are none; with `pin_address` all come from the address of
    the first, which is then `pinned_to`. A `sealed` one belongs to a break-glass ticket: its only
    secret is in there, and its curfew is the ticket's until that is used. `conditions` are what its
    sessions are held to.
    """

    id: str
    request_id: str
    person: Person
    target: str
    database: str
    role: str
    state: GrantState
    granted_at: datetime
    expires_at: datetime
    duration: timedelta
    kind: GrantKind = GrantKind.LOGIN
    member: str | None = None
    end_reason: GrantEvent | None = None
    ended_by: str | None = None
    end_comment: str | None = None
    ended_at: datetime | None = None
    attempts: int = 0
    next_attempt_at: datetime | None = None
    last_error: str | None = None
    networks: tuple[Network, ...] = ()
    pin_address: bool = False
    pinned_to: Address | None = None
    # What its policy sets on the login, over what the catalog role does.
    parameters: tuple[Parameter, ...] = ()
    break_glass: bool = False
    sealed: bool = False
    conditions: Conditions = NO_CONDITIONS

    def after(self, event: GrantEvent, now: datetime) -> "Grant":
        """Return the grant as `event` leaves it. Raises IllegalTransition."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            raise IllegalTransition(f"grant {self.id}", self.state, event)
        if event is GrantEvent.BLOCKED:  # the tries go on, later and later
            return replace(self, state=state)
        moved = replace(self, state=state, attempts=0, next_attempt_at=now, last_error=None)
        if event in ENDINGS:
            moved = replace(moved, end_reason=event)
        if state is GrantState.ENDED:
            return replace(moved, ended_at=now)
        return moved

    def activated(self, duration: timedelta, now: datetime) -> "Grant":
        """Return the grant with its clock started. Raises IllegalTransition unless it waits."""
        return replace(
            self.after(GrantEvent.ACTIVATED, now), duration=duration, expires_at=now + duration
        )

    def ended_for(self, actor: str, comment: str | None) -> "Grant":
        """Return the grant with who ended it and what they said."""
        return replace(self, ended_by=actor, end_comment=comment)

    def attended(self, now: datetime) -> "Grant":
        """Return the grant so that the reaper leaves it to whoever is at it, for a moment."""
        return replace(self, next_attempt_at=now + _ATTENDED)

    def extended(self, until: datetime, conditions: Conditions) -> "Grant":
        """Return the grant with a later curfew, and what holds until then. Raises IllegalTransition
        unless it is active, and HeldByTicket for one whose time a ticket has fixed."""
        if self.sealed:
            raise HeldByTicket(self.id)
        if self.state is not GrantState.ACTIVE:
            raise IllegalTransition(f"grant {self.id}", self.state, "extended")
        return replace(
            self,
            expires_at=until,
            duration=until - self.granted_at,
            conditions=conditions,
        )

    def used_until(self, until: datetime) -> "Grant":
        """Return a sealed grant whose ticket was used: its curfew only ever comes nearer."""
        return replace(self, expires_at=min(until, self.expires_at))

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
        case GrantEvent.REJECTED | GrantEvent.VANISHED | GrantEvent.FAILED:
            return f"access ended: grant {grant.id} is no longer usable"
        case _:
            at = grant.expires_at.strftime("%Y-%m-%d %H:%M:%S UTC")
            return f"access ended: grant {grant.id} expired at {at}"
