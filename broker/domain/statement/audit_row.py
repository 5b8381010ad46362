"""The one text of an event of the audit trail: what its blocks are hashed over."""

import json
from datetime import datetime
from typing import Any

from broker.domain.statement.statement import timestamp


def canonical_event(  # noqa: PLR0913  (an event's columns, all of them)
    *,
    seq: int,
    at: datetime,
    actor: str,
    kind: str,
    request_id: str | None,
    grant_id: str | None,
    session_id: str | None,
    data: dict[str, Any],
) -> str:
    """Return JSON with sorted keys and no spaces, not ASCII only."""
    facts = {
        "row": "event",
        "seq": seq,
        "at": timestamp(at),
        "actor": actor,
        "kind": kind,
        "request": request_id,
        "grant": grant_id,
        "session": session_id,
        "data": data,
    }
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
