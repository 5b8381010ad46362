"""The life of an access request: asked for, then decided, withdrawn or lapsed.

    PENDING ──► APPROVED | DENIED | CANCELLED | LAPSED        (all four are final)

TRANSITIONS is the specification, also of who may cause what; only this file moves a request.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from broker.domain.errors import IllegalTransition
from broker.domain.grant import GrantKind
from broker.domain.network import Network, in_common
from broker.domain.person import Person
from broker.domain.statement.budget import NOTHING, Used


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


class Cause(StrEnum):
    """Who, or what, moves a request."""

    APPROVERS = "approvers"  # as many as its policy wants; a single one denies
    POLICY = "policy"  # standing, on call, approved before
    REQUESTER = "requester"  # who asked, or who it was asked for
    CLOCK = "clock"
    OPERATOR = "operator"  # whoever seals a ticket, which nobody asks for


class Move(NamedTuple):
    to: RequestState
    by: frozenset[Cause]


TRANSITIONS = {
    (RequestState.PENDING, RequestEvent.APPROVED): Move(
        RequestState.APPROVED, frozenset({Cause.APPROVERS, Cause.POLICY, Cause.OPERATOR})
    ),
    (RequestState.PENDING, RequestEvent.DENIED): Move(
        RequestState.DENIED, frozenset({Cause.APPROVERS})
    ),
    (RequestState.PENDING, RequestEvent.CANCELLED): Move(
        RequestState.CANCELLED, frozenset({Cause.REQUESTER})
    ),
    (RequestState.PENDING, RequestEvent.LAPSED): Move(
        RequestState.LAPSED, frozenset({Cause.CLOCK})
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """What was asked for: `person` is to get it, `requester` asked, who is mostly the same.

    `person` has the groups and the manager that they had then. `duration` starts when the grant
    does, and `why` are the reasons that the policy gave. They mean to come from `networks` (none:
    anywhere), with `pin_address` from a single address. A request that `extends` a grant wants its
    curfew moved by `duration`, if at all, `more` of its budgets, and no grant of its own.
    `conversation` is an https address where it is talked over.
    """

    id: str
    person: Person
    requester: Person
    target: str
    database: str
    role: str
    duration: timedelta
    reason: str
    source: str | None
    policy: str
    why: tuple[str, ...]
    state: RequestState
    created_at: datetime
    lapses_at: datetime
    kind: GrantKind = GrantKind.LOGIN
    closed_at: datetime | None = None
    grant_id: str | None = None
    networks: tuple[Network, ...] = ()
    pin_address: bool = False
    escalated_at: datetime | None = None
    extends: str | None = None
    more: Used = NOTHING
    conversation: str | None = None

    def after(self, event: RequestEvent, now: datetime, *, by: Cause) -> "AccessRequest":
        """Return the request as `event` leaves it. Raises IllegalTransition.

        Once it lapses nobody decides it, even if the clock has not yet come round to it.
        """
        move = TRANSITIONS.get((self.state, event))
        if move is None or by not in move.by:
            raise IllegalTransition(f"request {self.id}", self.state, event)
        if by is Cause.APPROVERS and now >= self.lapses_at:
            raise IllegalTransition(f"request {self.id}", RequestState.LAPSED, event)
        return replace(self, state=move.to, closed_at=now)

    def escalated(self, now: datetime) -> "AccessRequest":
        """Return the request with the people on call among its approvers. Raises
        IllegalTransition."""
        if self.state is not RequestState.PENDING or self.escalated_at is not None:
            what = self.state if self.escalated_at is None else "already escalated"
            raise IllegalTransition(f"request {self.id}", what, "escalated")
        return replace(self, escalated_at=now)


class Verdict(StrEnum):
    APPROVAL = "approval"
    DENIAL = "denial"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one approver said about one request.

    With an approval they give at most `duration`, from `networks` (None: as asked for), and with
    `pin_address` from one address. `break_glass`: alone, in an emergency. `allowance_id`: said
    beforehand.
    """

    id: str
    request_id: str
    decider: Person
    verdict: Verdict
    duration: timedelta | None
    comment: str
    decided_at: datetime
    networks: tuple[Network, ...] | None = None
    pin_address: bool = False
    break_glass: bool = False
    allowance_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """What somebody said about a request; it stays with it for ever."""

    id: str
    request_id: str
    author: Person
    text: str
    made_at: datetime


class Terms(NamedTuple):
    """What a request is given on, once its approvers agree."""

    duration: timedelta
    networks: tuple[Network, ...]
    pin_address: bool


def agreed_terms(request: AccessRequest, approvals: tuple[Decision, ...]) -> Terms | None:
    """Return what all approvers agree to: the shortest time, the networks that each allows.

    Who names no networks allows those that were asked for. None if no address would satisfy all of
    them.
    """
    chosen = [each.duration for each in approvals if each.duration is not None]
    networks: tuple[Network, ...] = ()
    allowed = [request.networks if each.networks is None else each.networks for each in approvals]
    for each in allowed or [request.networks]:
        both = in_common(networks, each)
        if both is None:
            return None
        networks = both
    return Terms(
        min([request.duration, *chosen]),
        networks,
        request.pin_address or any(each.pin_address for each in approvals),
    )
