"""Role DDL on one target happens one after the other, whichever broker it comes from.

The lock lies in the ledger, out of reach of the target's users, who could hold an advisory lock of
the target for ever.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broker.domain.sqltext import literal
from broker.ledger.connection import Db

_TAKE = "SAVEPOINT curfew_turn; SELECT pg_advisory_xact_lock(hashtextextended({key}, 0))"
_GIVE_BACK = "ROLLBACK TO SAVEPOINT curfew_turn; RELEASE SAVEPOINT curfew_turn"


@asynccontextmanager
async def turn(db: Db, target: str) -> AsyncIterator[None]:
    """Wait for the turn on `target`, and hold it while in the block. Needs a transaction.

    The lock is taken in a savepoint that is always rolled back, which frees it: so it ends with
    the block, or with the connection, whatever happens in between.
    """
    await db.execute(_TAKE.format(key=literal(f"curfew.target.{target}").strip()))
    try:
        yield
    finally:
        await db.execute(_GIVE_BACK)
