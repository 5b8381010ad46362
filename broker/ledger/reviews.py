"""Every statement on table reviews."""

from dataclasses import dataclass
from datetime import datetime

from broker.domain.person import Person
from broker.ledger.connection import Db

# What was written when the glass was broken for it before is in the audit trail.
_INSERT = """
    INSERT INTO curfew.reviews AS v (grant_id, due_at) VALUES ($1, $2)
    ON CONFLICT (grant_id) DO UPDATE
       SET due_at = CASE WHEN v.written_at IS NULL THEN v.due_at ELSE excluded.due_at END,
           writer_id = NULL, text = NULL, written_at = NULL
"""
_WRITE = """
    UPDATE curfew.reviews SET writer_id = $2, text = $3, written_at = $4
     WHERE grant_id = $1 AND written_at IS NULL
"""
_FETCH = """
    SELECT v.grant_id, v.due_at, p.email AS writer, v.text, v.written_at
      FROM curfew.reviews v LEFT JOIN curfew.people p ON p.id = v.writer_id
     WHERE v.grant_id = $1
"""
_OVERDUE = """
    SELECT v.grant_id FROM curfew.reviews v JOIN curfew.grants g ON g.id = v.grant_id
     WHERE g.person_id = $1 AND v.written_at IS NULL AND v.due_at <= $2
     ORDER BY v.due_at LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What was, or is to be, written about a grant that was given with the glass broken."""

    grant_id: str
    due_at: datetime
    writer: str | None
    text: str | None
    written_at: datetime | None


async def insert(db: Db, grant_id: str, due_at: datetime) -> None:
    """Call for a review, or for another one if it was written already."""
    await db.execute(_INSERT, grant_id, due_at)


async def write(db: Db, grant_id: str, writer: Person, text: str, now: datetime) -> bool:
    """Return False if there is none to be written."""
    return bool(await db.execute(_WRITE, grant_id, writer.id, text, now) == "UPDATE 1")


async def fetch(db: Db, grant_id: str) -> Review | None:
    row = await db.fetchrow(_FETCH, grant_id)
    return Review(**dict(row)) if row else None


async def fetch_overdue(db: Db, person: Person, now: datetime) -> str | None:
    """Return a grant of the person whose review should have been written, if there is one."""
    found: str | None = await db.fetchval(_OVERDUE, person.id, now)
    return found
