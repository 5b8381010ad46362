"""How much of the audit trail a sink has, and which broker sends it more."""

from datetime import datetime

from broker.ledger.connection import Db

_CLAIM = """
    UPDATE curfew.sink_place SET holder = $1, held_until = $3
     WHERE holder = $1 OR held_until < $2
    RETURNING block
"""
_MOVE = "UPDATE curfew.sink_place SET block = $2 WHERE holder = $1"


async def claim(db: Db, holder: str, now: datetime, until: datetime) -> int | None:
    """Return the number of the last block that the sink has, if it is ours to go on until then;
    None while it is somebody else's."""
    number: int | None = await db.fetchval(_CLAIM, holder, now, until)
    return number


async def move(db: Db, holder: str, block: int) -> None:
    """Note what the sink has, unless somebody else has taken over meanwhile."""
    await db.execute(_MOVE, holder, block)
