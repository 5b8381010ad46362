"""Who is, and was, connected, and what waits for somebody."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import AwareDatetime

from api.schemas.base import View

if TYPE_CHECKING:  # clients, too, load this module, and need none of the broker
    from broker.ledger.held_commits import HeldCommitRow
    from broker.ledger.sessions import SessionRow
    from broker.service.statements import Watched


class CurrentStatementView(View):
    """What a session is just running, for so many seconds now. `text` is its beginning."""

    seq: int
    text: str
    started_at: AwareDatetime
    for_s: float


class SessionView(View):
    """A client connection. `client_certificate` is the subject of the one that the client showed;
    `killed_by` is who wanted the session to end while its grant lived on.

    `statements` and `rows` are what it came to so far, and so are the bytes of an open one. What is
    null was not asked for, or would have taken too long to add up in a list."""

    id: str
    grant_id: str
    person: str
    target: str
    database: str
    role: str
    client_address: str
    client_application: str
    client_certificate: str | None
    started_at: AwareDatetime
    ended_at: AwareDatetime | None
    end_reason: str | None
    killed_by: str | None
    bytes_from_client: int | None
    bytes_to_client: int | None
    statements: int | None = None
    rows: int | None = None
    current_statement: CurrentStatementView | None = None

    @classmethod
    def of(cls, row: "SessionRow") -> "SessionView":
        facts = set(cls.model_fields) - {"statements", "rows", "current_statement"}
        return cls.model_construct(**{name: getattr(row, name) for name in facts})

    @classmethod
    def of_watched(cls, watched: "Watched", now: datetime) -> "SessionView":
        row, sums, running = watched.row, watched.sums, watched.running
        found: dict[str, Any] = {"statements": watched.statements}
        if sums is not None:
            found["rows"] = sums.rows
        if sums is not None and row.ended_at is None:
            found["bytes_from_client"] = sums.bytes_from_client
            found["bytes_to_client"] = sums.bytes_to_client
        if running is not None:
            found["current_statement"] = CurrentStatementView(
                seq=running.seq,
                text=running.text,
                started_at=running.started_at,
                for_s=max(0.0, (now - running.started_at).total_seconds()),
            )
        return cls.of(row).model_copy(update=found)


class HeldCommitView(View):
    """A transaction that changed `rows` and waits at COMMIT until `ends_at`: for its person, or if
    `by_approver` for somebody else who may approve the grant. `decision` is confirmed, rolled back,
    timed out, or lost with its session."""

    id: str
    session_id: str
    grant_id: str
    person: str
    target: str
    database: str
    role: str
    rows: int
    by_approver: bool
    held_at: AwareDatetime
    ends_at: AwareDatetime
    decision: str | None
    decided_by: str | None
    decided_at: AwareDatetime | None

    @classmethod
    def of(cls, row: "HeldCommitRow") -> "HeldCommitView":
        held, settled = row.held, row.held.settled
        return cls.model_construct(
            id=held.id,
            session_id=held.session_id,
            grant_id=held.grant_id,
            person=row.person,
            target=row.target,
            database=row.database,
            role=row.role,
            rows=held.rows,
            by_approver=held.by_approver,
            held_at=held.held_at,
            ends_at=held.ends_at,
            decision=settled.decision.value if settled else None,
            decided_by=settled.by if settled else None,
            decided_at=settled.at if settled else None,
        )
