"""Trying again what somebody else was in the way of, a few times and not for ever."""

import asyncio

import asyncpg

from broker.target.blocked import blocked_by
from broker.target.connect import Target

TRIES = 4
_FIRST_BACKOFF_S = 0.1

# Somebody else holds a lock, or changed the same catalog row at the same moment. XX000 is what
# PostgreSQL answers for "tuple concurrently updated" and a role dropped under our hands, 23505 for
# two equal GRANTs at once (up to 15).
RETRYABLE = ("55P03", "40P01", "40001", "57014", "23505", "XX000")


async def back_off(
    target: Target,
    error: asyncpg.PostgresError,
    attempt: int,
    statement: str,
    database: str | None = None,
) -> None:
    """Wait before the next of TRIES attempts, numbered from 0.

    Raises RemovalBlocked if it was the last, or if another would fail the same way.
    """
    if error.sqlstate not in RETRYABLE or attempt == TRIES - 1:
        where = database or target.address.database
        raise blocked_by(target.name, error, statement, where) from error
    await asyncio.sleep(_FIRST_BACKOFF_S * 2**attempt)
