"""Requests as a table to take along, with the same columns for ever: new ones come at the end.

Each row is a request with what became of it. How cells are written is said in
`broker.domain.statement.columns`.
"""

from collections.abc import Iterable
from typing import Any

from broker.domain.duration import iso_duration
from broker.domain.grant import Grant
from broker.domain.request import AccessRequest, Decision
from broker.domain.statement.statement import timestamp

REQUEST_COLUMNS: tuple[str, ...] = (
    "id",
    "asked_at",
    "state",
    "person",
    "requester",
    "kind",
    "target",
    "database",
    "role",
    "duration",
    "reason",
    "source",
    "networks",
    "policy",
    "decisions",
    "closed_at",
    "grant",
    "granted_at",
    "expires_at",
    "ended_at",
    "end_reason",
    "conversation",
)


def request_facts(
    request: AccessRequest, decisions: Iterable[Decision], grant: Grant | None
) -> dict[str, Any]:
    """Return the cells of a request's row. `grant` is what it gave, or extends."""
    return {
        "id": request.id,
        "asked_at": timestamp(request.created_at),
        "state": request.state.value,
        "person": request.person.email,
        "requester": request.requester.email,
        "kind": request.kind.value,
        "target": request.target,
        "database": request.database,
        "role": request.role,
        "duration": iso_duration(request.duration),
        "reason": request.reason,
        "source": request.source,
        "networks": " ".join(map(str, request.networks)),
        "policy": request.policy,
        "decisions": "; ".join(map(_said, decisions)),
        "closed_at": timestamp(request.closed_at) if request.closed_at else None,
        "conversation": request.conversation,
        **_given(grant),
    }


def _said(decision: Decision) -> str:
    how = " by breaking the glass" if decision.break_glass else ""
    how = " beforehand" if decision.allowance_id is not None else how
    at = timestamp(decision.decided_at)
    return f"{decision.decider.email} {decision.verdict.value}{how} {at}"


def _given(grant: Grant | None) -> dict[str, Any]:
    if grant is None:
        return dict.fromkeys(("grant", "granted_at", "expires_at", "ended_at", "end_reason"))
    return {
        "grant": grant.id,
        "granted_at": timestamp(grant.granted_at),
        "expires_at": timestamp(grant.expires_at),
        "ended_at": timestamp(grant.ended_at) if grant.ended_at else None,
        "end_reason": grant.end_reason.value if grant.end_reason else None,
    }
