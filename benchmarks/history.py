"""A ledger with a long past: copies of one grant that was given, used and given back.

The copies are made by SQL from whatever columns the tables have, so that they stay like the real
thing. Only the chains are none: a copied receipt's hash covers nothing, and the copied events count
as sealed, in a block without any of them.
"""

from dataclasses import dataclass

import asyncpg
from errors import CannotMeasure

_APART = "interval '30 seconds'"  # a million of them are a year
_PEOPLE = 50

# Table, what names the model's rows in it, and the columns that are no copies; p is the copy.
# Moments are moved into the past, references follow their columns' names, identities count on.
_PAST: tuple[tuple[str, str, dict[str, str]], ...] = (
    (
        "requests",
        "m.id = $1",
        {"id": "'req_' || p.id", "requester_id": "p.person", "person_id": "p.person"},
    ),
    ("decisions", "m.request_id = $1", {"id": "'dec_' || p.id"}),
    ("grants", "m.request_id = $1", {"id": "'grt_' || p.id", "person_id": "p.person"}),
    (
        "logins",
        "m.grant_id = $2",
        {
            "name": "'jit_past_bench_reader_' || p.id",
            "stable_name": "p.person || '.bench.bench_reader'",
        },
    ),
    ("sessions", "m.grant_id = $2", {"id": "'ses_' || p.id"}),
    (
        "receipts",
        "m.grant_id = $2",
        {"number": "m.number + p.n", "hash": "sha256(m.hash || p.id::bytea)"},
    ),
    ("pictures", "m.id = (SELECT picture_id FROM curfew.grants WHERE id = $2)", {}),
    ("audit_events", "m.request_id = $1 OR m.grant_id = $2", {}),
)
_REFERENCES = {
    "request_id": "'req_' || p.id",
    "grant_id": "'grt_' || p.id",
    "session_id": "CASE WHEN m.session_id IS NOT NULL THEN 'ses_' || p.id END",
}
_COLUMNS = """
    SELECT attname AS name, atttypid = 'timestamptz'::regtype AS moment
      FROM pg_attribute
     WHERE attrelid = ('curfew.' || $1)::regclass AND attnum > 0
       AND NOT attisdropped AND attidentity = ''
     ORDER BY attnum
"""
# The lock of broker.ledger.audit_blocks.
_SEAL_NOTHING_ELSE = "SELECT pg_advisory_xact_lock(hashtextextended('curfew.audit_blocks', 0))"
_COUNT_AS_SEALED = """
    INSERT INTO curfew.audit_blocks
        (number, seqs, newest, sealed_at, rows, digest, leaves, previous, hash)
    SELECT last.number + 1, '{}', (SELECT max(seq) FROM curfew.audit_events), now(), 0,
           sha256(''), '', last.hash, sha256(last.hash)
      FROM (SELECT number, hash FROM curfew.audit_blocks ORDER BY number DESC LIMIT 1) AS last
"""


@dataclass(frozen=True, slots=True)
class Model:
    """A grant that has ended, with one session in its life."""

    request_id: str
    grant_id: str


async def make_history(
    db: "asyncpg.Connection[asyncpg.Record]", model: Model, length: int
) -> dict[str, int]:
    """Copy the model `length` times, as a superuser; return the numbers of rows made."""
    await db.execute("SET session_replication_role = replica; SET synchronous_commit = off")
    await db.execute(
        f"""
        CREATE TEMP TABLE past AS
            SELECT n, lpad(to_hex(n), 16, '0') AS id,
                   'per_' || lpad(to_hex(n % {_PEOPLE}), 16, '0') AS person,
                   interval '1 day' + ({length} - n) * {_APART} AS ago
              FROM generate_series(1, {length}) AS n
        """
    )
    await db.execute(
        f"""
        INSERT INTO curfew.people (id, email, name, created_at, handle, kind)
        SELECT DISTINCT person, person || '@example.com', person, now() - interval '1 year',
               person, 'human'
          FROM past LIMIT {_PEOPLE}
        """
    )
    made = {}
    async with db.transaction():
        await db.execute(_SEAL_NOTHING_ELSE)
        for table, which, changes in _PAST:
            made[table] = await _copy(db, table, which, changes, model)
            if made[table] < length:
                raise CannotMeasure(f"the grant to copy has no row in {table}")
        await db.execute(_COUNT_AS_SEALED)
    # What autovacuum would have done long ago.
    await db.execute("VACUUM (ANALYZE)")
    await db.execute("CHECKPOINT")
    return made


async def _copy(
    db: "asyncpg.Connection[asyncpg.Record]",
    table: str,
    which: str,
    changes: dict[str, str],
    model: Model,
) -> int:
    columns = await db.fetch(_COLUMNS, table)
    values = (
        changes.get(each["name"])
        or _REFERENCES.get(each["name"])
        or (f"m.{each['name']} - p.ago" if each["moment"] else f"m.{each['name']}")
        for each in columns
    )
    done = await db.execute(
        f"""
        INSERT INTO curfew.{table} ({", ".join(each["name"] for each in columns)})
        SELECT {", ".join(values)} FROM past p, curfew.{table} m
         WHERE ({which}) AND coalesce($1, $2) IS NOT NULL
         ORDER BY p.n
        """,
        model.request_id,
        model.grant_id,
        timeout=1800,
    )
    return int(done.rpartition(" ")[2])
