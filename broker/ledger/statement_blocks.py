"""Rows of statements come to the ledger in blocks, together with how far their spool has come.

One transaction stores the progress of a spool, the blocks and their rows. So a row is there once,
whoever dies when, and two shippers of one spool cannot both go on from the same progress. Blocks of
all spools are one chain, see broker.domain.statement.chain.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from broker.domain.errors import Conflict
from broker.domain.statement.chain import GENESIS, Block, seal
from broker.domain.statement.shipment import Part, Place, Progress, unfinished_from
from broker.domain.statement.statement import LateOutcome, Outcome, Statement
from broker.ledger.connection import Db

_PROGRESS = "SELECT segment, position, unfinished, moves FROM curfew.spools WHERE worker_id = $1"
# Both wait for whoever holds the row: a connection that was given up may still commit.
_BEGIN = """
    INSERT INTO curfew.spools (worker_id, segment, position, unfinished, moves, moved_at)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT DO NOTHING RETURNING true
"""
_MOVE = """
    UPDATE curfew.spools
       SET segment = $2, position = $3, unfinished = $4, moves = $5, moved_at = $6
     WHERE worker_id = $1 AND moves = $7
    RETURNING true
"""
# Held until the caller's transaction ends, so that two shippers never forge the same link.
_LOCK_CHAIN = "SELECT pg_advisory_xact_lock(hashtextextended('curfew.statements', 0))"
_LAST = "SELECT number, hash FROM curfew.statement_blocks ORDER BY number DESC LIMIT 1"
_INSERT = """
    INSERT INTO curfew.statement_blocks
        (number, day, sealed_at, worker_id, rows, digest, leaves, previous, hash, sessions)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_OUTCOME_COLUMNS = (
    "ending",
    "duration_us",
    "rows",
    "tag",
    "sqlstate",
    "bytes_from_client",
    "bytes_to_client",
)
_STATEMENT_COLUMNS = (
    "day",
    "session_id",
    "seq",
    "block",
    "started_at",
    "protocol",
    "text",
    "text_bytes",
    "text_sha256",
    "masked",
    "parameter_types",
    "parameters",
    *_OUTCOME_COLUMNS,
)
_LATE_COLUMNS = ("day", "session_id", "seq", "block", *_OUTCOME_COLUMNS)
_NO_OUTCOME = (None,) * len(_OUTCOME_COLUMNS)


class SpoolMoved(Conflict):
    """Somebody else has shipped from this spool meanwhile."""

    code = "spool-moved"

    def __init__(self, worker_id: str) -> None:
        super().__init__(f"the spool of {worker_id} was shipped by somebody else meanwhile")


async def fetch_progress(db: Db, worker_id: str) -> Progress | None:
    """Return how far this worker's spool has come, if anything of it is in the ledger."""
    row = await db.fetchrow(_PROGRESS, worker_id)
    if row is None:
        return None
    place = Place(row["segment"], row["position"])
    return Progress(place, unfinished_from(row["unfinished"]), row["moves"])


async def append(
    db: Db,
    worker_id: str,
    progress: Progress,
    blocks: Sequence[Part],
    now: datetime,
) -> list[Block]:
    """Store blocks of a worker, and how far its spool has come with them.

    Needs a transaction. Call it last: it holds the chain. Raises SpoolMoved unless what is stored
    is the progress right before this one.
    """
    await _move(db, worker_id, progress, now)
    await db.execute(_LOCK_CHAIN)
    last = await db.fetchrow(_LAST)
    number, previous = (last["number"], bytes(last["hash"])) if last else (0, GENESIS)
    sealed = []
    for part in blocks:
        block = seal(number + 1, part.texts, previous)
        await _insert(db, worker_id, part, block, now)
        number, previous = block.number, block.hash
        sealed.append(block)
    return sealed


async def _move(db: Db, worker_id: str, progress: Progress, now: datetime) -> None:
    place = progress.place
    values = (
        *(worker_id, place.segment, place.position, progress.unfinished_facts()),
        *(progress.moves, now),
    )
    if progress.moves == 1:
        moved = await db.fetchval(_BEGIN, *values)
    else:
        moved = await db.fetchval(_MOVE, *values, progress.moves - 1)
    if moved is None:
        raise SpoolMoved(worker_id)


async def _insert(db: Db, worker_id: str, part: Part, block: Block, now: datetime) -> None:
    await db.execute(
        _INSERT,
        block.number,
        part.day,
        now,
        worker_id,
        block.rows,
        block.digest,
        block.leaves,
        block.previous,
        block.hash,
        sorted({row.session_id for row in part.rows}),
    )
    day, number = part.day, block.number
    statements = [_statement(row, day, number) for row in part.rows if isinstance(row, Statement)]
    late = [_late(row, number) for row in part.rows if isinstance(row, LateOutcome)]
    if statements:
        await _copy(db, "statements", statements, _STATEMENT_COLUMNS)
    if late:
        await _copy(db, "late_outcomes", late, _LATE_COLUMNS)


async def _copy(db: Db, table: str, rows: list[tuple[Any, ...]], columns: tuple[str, ...]) -> None:
    await db.copy_records_to_table(table, schema_name="curfew", records=rows, columns=columns)


def _statement(row: Statement, day: date, block: int) -> tuple[Any, ...]:
    return (
        day,
        row.session_id,
        row.seq,
        block,
        row.started_at,
        row.protocol,
        row.text,
        row.text_bytes,
        row.text_sha256,
        row.masked,
        row.parameter_types,
        row.parameters,
        *(_outcome(row.outcome) if row.outcome else _NO_OUTCOME),
    )


def _late(row: LateOutcome, block: int) -> tuple[Any, ...]:
    return (row.day, row.session_id, row.seq, block, *_outcome(row.outcome))


def _outcome(outcome: Outcome) -> tuple[Any, ...]:
    return (
        outcome.ending,
        outcome.duration_us,
        outcome.rows,
        outcome.tag,
        outcome.sqlstate,
        outcome.bytes_from_client,
        outcome.bytes_to_client,
    )
