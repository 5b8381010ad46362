"""Every statement on table idempotency_keys."""

from datetime import datetime

from broker.domain.idempotency import Answer, Call, Earlier
from broker.ledger.connection import Db

# COMMIT does not wait for the disk: what is committed after it for the call itself does, and brings
# all that came before it there. https://www.postgresql.org/docs/current/wal-async-commit.html
_LAZILY = "WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))"
# Of two that come at once, one inserts the row and the other finds it. A key whose time is over may
# be anybody's again before it is tidied away.
_BEGIN = f"""
    {_LAZILY}
    INSERT INTO curfew.idempotency_keys AS earlier (person_id, key, fingerprint, began_at)
    SELECT $1::text, $2::text, $3::bytea, $4::timestamptz FROM lazily
    ON CONFLICT (person_id, key) DO UPDATE
       SET fingerprint = excluded.fingerprint, began_at = excluded.began_at,
           answered_at = NULL, status = NULL, content_type = NULL, body = NULL
     WHERE earlier.began_at <= $5
    RETURNING true
"""  # noqa: S608  (constant text, as below)
_FETCH = """
    SELECT fingerprint, began_at, answered_at, status, content_type, body
      FROM curfew.idempotency_keys
     WHERE person_id = $1 AND key = $2
"""
# `began_at` says whose turn it is: nobody ends another's.
_END = f"""
    {_LAZILY}
    UPDATE curfew.idempotency_keys
       SET answered_at = $4, status = $5, content_type = $6, body = $7
      FROM lazily
     WHERE person_id = $1 AND key = $2 AND began_at = $3
"""  # noqa: S608
_RELEASE = f"""
    {_LAZILY}
    DELETE FROM curfew.idempotency_keys
     USING lazily
     WHERE person_id = $1 AND key = $2 AND began_at = $3
"""  # noqa: S608
_FORGET = "DELETE FROM curfew.idempotency_keys WHERE began_at <= $1"


async def begin(db: Db, call: Call, now: datetime, forgotten_before: datetime) -> bool:
    """Say whether the call is the first with its key, and note that it is under way then."""
    begun = await db.fetchval(
        _BEGIN, call.person_id, call.key, call.fingerprint, now, forgotten_before
    )
    return begun is not None


async def fetch(db: Db, call: Call) -> Earlier | None:
    row = await db.fetchrow(_FETCH, call.person_id, call.key)
    if row is None:
        return None
    answer = Answer(row["status"], row["content_type"], row["body"]) if row["status"] else None
    return Earlier(row["fingerprint"], row["began_at"], row["answered_at"] is not None, answer)


async def end(db: Db, call: Call, began_at: datetime, now: datetime, answer: Answer | None) -> None:
    """Note the answer; None if nobody knows what the call has done."""
    said = (
        (None, None, None) if answer is None else (answer.status, answer.content_type, answer.body)
    )
    await db.execute(_END, call.person_id, call.key, began_at, now, *said)


async def release(db: Db, call: Call, began_at: datetime) -> None:
    await db.execute(_RELEASE, call.person_id, call.key, began_at)


async def forget(db: Db, before: datetime) -> None:
    await db.execute(_FORGET, before)
