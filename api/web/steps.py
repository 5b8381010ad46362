"""What somebody may do with a request, and with what came of it: which forms its page has for them.

A form is there if its route takes them, for such a thing, and if it could work now. What it sends
is judged again when it comes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from api.access import ROUTES
from api.keys import WHO
from broker.domain.authorization import Reach, reach
from broker.domain.grant import GrantState
from broker.domain.request import RequestState
from broker.domain.statement.held_commit import CommitDecision, HeldCommit, why_not_settled
from broker.domain.verdict import Deny
from broker.service.dossiers import GrantLife
from broker.service.request_cards import RequestCard

_INSIDE = frozenset({Reach.APPROVED, Reach.EVERYTHING})

# Says whether a route takes somebody who has to do with a thing in these ways.
Takes = Callable[[str, frozenset[Reach]], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSteps:
    decide: bool
    comment: bool
    escalate: bool
    withdraw: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantSteps:
    """`commits` are the ids of held commits that they may confirm, and of those that they may have
    rolled back."""

    use: bool
    revoke: bool
    extend: bool
    end_sessions: bool
    review: bool
    acknowledge: bool
    evidence: bool
    confirms: frozenset[str]
    rolls_back: frozenset[str]


def takes(request: web.Request) -> Takes:
    """Return what the table of routes says about whoever looks."""

    def taken(route: str, ties: frozenset[Reach]) -> bool:
        found = reach(request[WHO], ROUTES[route].through)
        return not isinstance(found, Deny) and bool(found & ties)

    return taken


def request_steps(card: RequestCard, takes: Takes) -> RequestSteps:
    pending = card.request.state is RequestState.PENDING and not card.outcome
    ties = card.ties
    return RequestSteps(
        decide=card.say.anything and takes("POST /requests/{id}/approval", ties),
        comment=takes("POST /requests/{id}/comments", ties),
        escalate=card.escalates and takes("POST /requests/{id}/escalation", ties),
        withdraw=pending and takes("POST /requests/{id}/cancellation", ties),
    )


def grant_steps(life: GrantLife, takes: Takes, now: datetime) -> GrantSteps:
    grant, ties = life.grant, life.ties
    active = grant.state is GrantState.ACTIVE and not grant.sealed
    due = life.review is not None and life.review.writer is None
    return GrantSteps(
        use=life.lives and Reach.OWN in ties,
        revoke=life.lives and takes("POST /grants/{id}/revocation", ties),
        extend=active and life.oversees and takes("POST /grants/{id}/extension", ties),
        end_sessions=life.open_sessions > 0 and takes("POST /grants/{id}/sessions/end", ties),
        review=due and life.reviews and takes("POST /grants/{id}/review", ties),
        acknowledge=takes("POST /alarms/{id}/acknowledgement", ties),
        evidence=life.inside and takes("GET /v1/grants/{id}/evidence", _INSIDE),
        confirms=_settles(life, CommitDecision.CONFIRMED, now)
        if takes("POST /held-commits/{id}/confirmation", ties)
        else frozenset(),
        rolls_back=_settles(life, CommitDecision.ROLLED_BACK, now)
        if takes("POST /held-commits/{id}/rollback", ties)
        else frozenset(),
    )


def _settles(life: GrantLife, decision: CommitDecision, now: datetime) -> frozenset[str]:
    def refused(held: HeldCommit) -> bool:
        holds = Reach.OWN in life.ties
        refusal = why_not_settled(held, decision, now, holds=holds, oversees=life.oversees)
        return refusal is not None

    return frozenset(each.held.id for each in life.held if not refused(each.held))
