"""Rows of the record, put into the ledger as a shipper would."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from broker.domain.statement.chain import Block
from broker.domain.statement.shipment import Place, Progress, parts
from broker.domain.statement.statement import (
    Ending,
    LateOutcome,
    Outcome,
    Protocol,
    Row,
    Statement,
)
from broker.ledger import statement_blocks
from broker.ledger.connection import Db, connect
from tests.support.stage import Stage

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WORKER = "wrk_06h0000000000001"
DONE = Outcome(
    ending=Ending.DONE,
    duration_us=1_000,
    rows=1,
    tag="SELECT 1",
    sqlstate=None,
    bytes_from_client=20,
    bytes_to_client=60,
)


def statement(
    seq: int,
    *,
    session: str = "ses_1",
    at: datetime = NOON,
    text: str | None = None,
    outcome: Outcome | None = DONE,
) -> Statement:
    text = f"SELECT {seq} -- “ä”" if text is None else text
    return Statement(
        session_id=session,
        seq=seq,
        started_at=at + timedelta(microseconds=seq),
        protocol=Protocol.EXTENDED,
        text=text,
        text_bytes=len(text.encode()),
        parameter_types=(25, 0),
        parameters=("a", None),
        outcome=outcome,
    )


def late(of: Statement) -> LateOutcome:
    return LateOutcome(session_id=of.session_id, seq=of.seq, day=of.day, outcome=DONE)


async def append(db: Db, rows: Iterable[Row], *, most_rows: int = 1000) -> list[Block]:
    """Put rows into blocks, each of at most `most_rows`, in a transaction."""
    before = await statement_blocks.fetch_progress(db, WORKER)
    moves = before.moves + 1 if before is not None else 1
    blocks = list(parts(rows, most_rows=most_rows, most_bytes=1 << 20))
    progress = Progress(Place(1, moves), moves=moves)
    return await statement_blocks.append(db, WORKER, progress, blocks, NOON)


async def put_on_record(stage: Stage, *rows: Row, most_rows: int = 1000) -> list[Block]:
    """The same, with a proxy's rights in the ledger."""
    db = await connect(stage.ledger_login("curfew_proxy"), "a shipper")
    try:
        async with db.transaction():
            return await append(db, rows, most_rows=most_rows)
    finally:
        await db.close()
