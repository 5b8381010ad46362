"""The life of an access request: asked for, then decided, withdrawn or lapsed.

    PENDING ──► APPROVED | DENIED | CANCELLED | LAPSED        (all four are final)

TRANSITIONS is the specification; only this file moves a request.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from broker.domain.errors import IllegalTransition
from broker.domain.person import Person


class RequestState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    CANCELLED = "cancelled"
    LAPSED = "lapsed"


class RequestEvent(StrEnum):
    APPROVED = "approved"
    DENIED = "denied"
    CANCELLED = "cancelled"
    LAPSED = "lapsed"


TRANSITIONS = {
    (RequestState.PENDING, RequestEvent.APPROVED): RequestState.APPROVED,
    (RequestState.PENDING, RequestEvent.DENIED): RequestState.DENIED,
    (RequestState.PENDING, RequestEvent.CANCELLED): RequestState.CANCELLED,
    (RequestState.PENDING, RequestEvent.LAPSED): RequestState.LAPSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """What a person asked for. `duration` starts when the request is approved."""

    id: str
    requester: Person
    target: str
    database: str
    role: str
    duration: timedelta
    reason: str
    source: str | None
    policy: str
    state: RequestState
    created_at: datetime
    lapses_at: datetime
    closed_at: datetime | None = None
    grant_id: str | None = None

    def after(self, event: RequestEvent, now: datetime) -> "AccessRequest":
        """Return the request as `event` leaves it. Raises IllegalTransition."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            raise IllegalTransition(f"request {self.id}", self.state, event)
        return replace(self, state=state, closed_at=now)


class Verdict(StrEnum):
    APPROVAL = "approval"
    DENIAL = "denial"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one approver said about one request. `duration` is what they gave, if they approved."""

    id: str
    request_id: str
    decider: Person
    verdict: Verdict
    duration: timedelta | None
    comment: str
    decided_at: datetime
