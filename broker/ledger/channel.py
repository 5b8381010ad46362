"""How brokers and proxies call to each other: NOTIFY, which PostgreSQL sends on commit.

A notification is a hint to look, never the news itself, and whoever lost some looks at everything.
https://www.postgresql.org/docs/current/sql-notify.html
"""

from broker.ledger.connection import Db

GRANTS = "curfew_grants"  # payload: the id of a grant that changed
CANCELS = "curfew_cancels"  # payload: the digest of a cancel key that a client presented
CANCELLED = "curfew_cancelled"  # payload: such a digest, once its query has been cancelled
SESSIONS = "curfew_sessions"  # payload: the id of a session that somebody wants to end
COMMITS = "curfew_commits"  # payload: the id of a commit that is held, or is decided
BANS = "curfew_bans"  # no payload: the list has changed


async def notify_grant(db: Db, grant_id: str) -> None:
    await db.execute("SELECT pg_notify($1, $2)", GRANTS, grant_id)


async def notify_cancel(db: Db, digest: str) -> None:
    await db.execute("SELECT pg_notify($1, $2)", CANCELS, digest)


async def notify_cancelled(db: Db, digest: str) -> None:
    await db.execute("SELECT pg_notify($1, $2)", CANCELLED, digest)


async def notify_session(db: Db, session_id: str) -> None:
    await db.execute("SELECT pg_notify($1, $2)", SESSIONS, session_id)


async def notify_commit(db: Db, held_id: str) -> None:
    await db.execute("SELECT pg_notify($1, $2)", COMMITS, held_id)


async def notify_bans(db: Db) -> None:
    await db.execute("SELECT pg_notify($1, '')", BANS)
