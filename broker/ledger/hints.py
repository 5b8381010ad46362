"""What the record says has happened, with what says who may hear of it.

Read by blocks, in the order of their chains, like all that follows the record (ledger.record); but
without a word of what somebody wrote, and of statements only whose there are new ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TypeAlias

import asyncpg

from broker.domain.hints.hint import Hint, Topic, topic_of
from broker.domain.hints.place import Mark, Place
from broker.ledger.connection import Db
from broker.ledger.sight import Subject

_STATEMENTS_RECORDED = "statements.recorded"
_NEWEST = """
    SELECT e.number, cardinality(e.seqs), s.number, cardinality(s.sessions)
      FROM (SELECT) AS one
      LEFT JOIN LATERAL (
            SELECT number, seqs FROM curfew.audit_blocks ORDER BY number DESC LIMIT 1
           ) AS e ON true
      LEFT JOIN LATERAL (
            SELECT number, sessions FROM curfew.statement_blocks ORDER BY number DESC LIMIT 1
           ) AS s ON true
"""
_BETWEEN = """
    (b.number, named.place) > ($1, $2) AND (b.number, named.place) <= ($3, $4)
    AND b.number BETWEEN $1 AND $3
"""
# What was agreed to beforehand is seen like a request of the approver's for the person.
_EVENTS = f"""
    SELECT b.number AS block, named.place, e.seq, e.at, e.actor, e.kind, e.session_id,
           coalesce(e.request_id, g.request_id) AS request_id, g.id AS grant_id,
           coalesce(g.target, r.target, w.target, a.target, e.data ->> 'target') AS target,
           coalesce(r.person_id, w.person_id) AS person_id,
           coalesce(r.requester_id, w.approver_id) AS requester_id,
           r.person_manager, coalesce(r.policy, w.policy) AS policy, r.escalated_at,
           e.data ->> 'person' AS person, e.data -> 'sign_in_ids' AS sign_ins,
           e.data ->> 'token_id' AS token
      FROM curfew.audit_blocks b
     CROSS JOIN LATERAL unnest(b.seqs) WITH ORDINALITY AS named (seq, place)
      JOIN curfew.audit_events e ON e.seq = named.seq
      LEFT JOIN curfew.sessions n ON n.id = e.session_id
      LEFT JOIN curfew.alarms a ON a.id = e.data ->> 'alarm_id'
      LEFT JOIN curfew.allowances w
             ON w.id = e.data ->> 'allowance_id' AND starts_with(e.kind, 'allowance.')
      LEFT JOIN curfew.requests o ON o.id = e.request_id
      LEFT JOIN curfew.grants g ON g.id = coalesce(e.grant_id, n.grant_id, a.grant_id, o.extends)
      LEFT JOIN curfew.requests r ON r.id = coalesce(e.request_id, g.request_id)
     WHERE {_BETWEEN}
     ORDER BY b.number, named.place LIMIT $5
"""  # noqa: S608  (constant text, as below)
# A session that was told of again in a later block is told of there alone.
_STATEMENTS = f"""
    SELECT DISTINCT ON (n.id) b.number AS block, named.place, b.sealed_at AS at,
           n.id AS session_id, n.grant_id, g.request_id, g.target,
           r.person_id, r.requester_id, r.person_manager, r.policy, r.escalated_at
      FROM curfew.statement_blocks b
     CROSS JOIN LATERAL unnest(b.sessions) WITH ORDINALITY AS named (session_id, place)
      JOIN curfew.sessions n ON n.id = named.session_id
      JOIN curfew.grants g ON g.id = n.grant_id
      JOIN curfew.requests r ON r.id = g.request_id
     WHERE {_BETWEEN}
     ORDER BY n.id, b.number DESC
"""  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A hint with whose it is: the request that it is about, or else the person, by e-mail address.
    `ended` names sign-ins and tokens that are over with it."""

    hint: Hint
    subject: Subject | None
    person: str | None = None
    ended: frozenset[str] = frozenset()


Marked: TypeAlias = "tuple[Mark, Noted]"


async def fetch_newest(db: Db) -> Place:
    """Return the end of the record, as it is now."""
    row = await db.fetchrow(_NEWEST)
    assert row is not None
    event_block, events, statement_block, sessions = (each or 0 for each in row)
    return Place(Mark(event_block, events), Mark(statement_block, sessions))


async def fetch_events(db: Db, after: Mark, until: Mark, limit: int) -> Sequence[Marked]:
    """Return at most `limit` events after a mark and up to another, in their order."""
    rows = await db.fetch(_EVENTS, *after, *until, limit)
    return [(Mark(row["block"], row["place"]), _event(row)) for row in rows]


async def fetch_statements(db: Db, after: Mark, until: Mark) -> Sequence[Marked]:
    """Return which sessions have new statements after a mark and up to another, each once."""
    rows = await db.fetch(_STATEMENTS, *after, *until)
    found = [(Mark(row["block"], row["place"]), _statements(row)) for row in rows]
    return sorted(found, key=itemgetter(0))


def _event(row: asyncpg.Record) -> Noted:
    hint = Hint(
        topic=topic_of(row["kind"]),
        kind=row["kind"],
        at=row["at"],
        seq=row["seq"],
        actor=row["actor"],
        request_id=row["request_id"],
        grant_id=row["grant_id"],
        session_id=row["session_id"],
        target=row["target"],
    )
    return Noted(hint=hint, subject=_subject(row), person=row["person"], ended=_ended(row))


def _statements(row: asyncpg.Record) -> Noted:
    hint = Hint(
        topic=Topic.STATEMENTS,
        kind=_STATEMENTS_RECORDED,
        at=row["at"],
        request_id=row["request_id"],
        grant_id=row["grant_id"],
        session_id=row["session_id"],
        target=row["target"],
    )
    return Noted(hint=hint, subject=_subject(row))


def _subject(row: asyncpg.Record) -> Subject | None:
    if row["policy"] is None:
        return None
    return Subject(
        person_id=row["person_id"],
        requester_id=row["requester_id"],
        person_manager=row["person_manager"],
        policy=row["policy"],
        is_escalated=row["escalated_at"] is not None,
    )


def _ended(row: asyncpg.Record) -> frozenset[str]:
    match row["kind"]:
        case "sign_in.ended":
            return frozenset(row["sign_ins"])
        case "token.revoked":
            return frozenset([row["token"]])
        case _:
            return frozenset()
