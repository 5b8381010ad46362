"""Takes what all workers of this machine have written to where it has to be: the ledger, and a sink
if there is one.

    python -m proxy ship        one per machine, beside the workers; a second one waits

Each destination has its own progress, stored with what it took: whatever is killed when, the ledger
has every row once, and a sink at least once. A segment is deleted when all of them have it. Nothing
is read that is not taken at once, so that a destination which is away or slow costs the disk, up to
the limit, and not memory.
"""

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from broker.domain.errors import LedgerUnavailable
from broker.domain.ids import RANDOM_BYTES, IdKind, new_id
from broker.domain.statement.shipment import Part, Progress, Unfinished, parts
from broker.ledger import sessions, statement_blocks
from broker.ledger.connection import LedgerLogin, Pool, autocommit, open_pool, transaction
from broker.sink.address import SinkAddress
from broker.sink.sending import open_sender
from proxy.orders import Orders
from proxy.spool.destination import Batch, Destination, Unreachable
from proxy.spool.reader import BEGINNING, Cursor, SpoolFolder, State
from proxy.spool.records import Begin
from proxy.spool.shipping import RUNS_LONG_US, Pairing
from proxy.spool.sink import Sink

LAST_SHIPMENT_S = 10.0
"""How long is waited, once the workers are gone, for the ledger to take what they wrote last."""

_LOOK_EVERY_S = 0.2
_FIRST_DELAY_S = 0.2
_LONGEST_DELAY_S = 10.0
_SYNC_EVERY_S = 1.0
_SIGN_OF_LIFE_EVERY_S = 5.0
_LOCK_EVERY_S = 1.0
_DRAINED_EVERY_S = 0.1
_LEDGER_POOL = 2

_log = logging.getLogger(__name__)


class Ledger:
    """The ledger: each row once, in blocks that are chained."""

    name = "the ledger"
    batch = Batch()
    look_every_s = _LOOK_EVERY_S

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def progress(self, worker_id: str) -> Progress | None:
        try:
            async with autocommit(self._pool) as db:
                return await statement_blocks.fetch_progress(db, worker_id)
        except LedgerUnavailable as error:
            raise Unreachable(str(error.__cause__ or error)) from error

    async def take(self, worker_id: str, progress: Progress, blocks: Sequence[Part]) -> None:
        try:
            async with transaction(self._pool) as db:
                await statement_blocks.append(db, worker_id, progress, blocks, _now())
        except LedgerUnavailable as error:
            raise Unreachable(str(error.__cause__ or error)) from error


class _Stream:
    """One worker's records on their way to one destination."""

    def __init__(self, spool: SpoolFolder, worker_id: str, destination: Destination) -> None:
        self._spool = spool
        self._worker_id = worker_id
        self._destination = destination
        self._cursor: Cursor | None = None
        self._pairing = Pairing()
        self._moves = 0
        self._strays = 0
        self.shipped = 0
        self.oldest_us: int | None = None
        """When the oldest statement began that is not there, as far as is known."""

    async def ship(self) -> bool:
        """Take over what there is, but not more than one batch. Returns whether there is more
        already."""
        cursor = self._cursor or await self._resume()
        self._cursor = None  # until it is certain that the destination has what is read now
        now_us = time.time_ns() // 1000
        self._read(cursor, now_us)
        rows = self._pairing.take_rows()
        if rows:
            batch = self._destination.batch
            blocks = tuple(parts(rows, most_rows=batch.most_rows, most_bytes=batch.most_bytes))
            progress = Progress(cursor.place, self._pairing.unfinished, self._moves + 1)
            await self._destination.take(self._worker_id, progress, blocks)
            self._moves += 1
            self.shipped += len(rows)
        self._cursor = cursor
        if cursor.state is not State.MORE:
            self.oldest_us = None
        elif self._pairing.newest_us:
            self.oldest_us = self._pairing.newest_us
        return cursor.state is State.MORE

    @property
    def needs(self) -> int:
        """The number of the first segment that has not been taken whole."""
        if self._cursor is None:
            return 0
        held = self._pairing.first_held or self._cursor.place
        return min(held, self._cursor.place).segment

    def _read(self, cursor: Cursor, now_us: int) -> None:
        batch, pairing = self._destination.batch, self._pairing
        for found in cursor.read(batch.most_bytes, 2 * batch.most_rows):
            if self.oldest_us is None and isinstance(found.record, Begin):
                self.oldest_us = found.record.started_at_us
            pairing.take(found, now_us)
        match cursor.state:
            case State.FINISHED:
                pairing.end_everything(now_us)
            case State.NOTHING_YET:
                pairing.write_down_running(now_us - RUNS_LONG_US)
            case State.MORE:  # its end may be in what is not read yet
                pairing.write_down_running(min(now_us, pairing.newest_us) - RUNS_LONG_US)
        if pairing.held_bytes > batch.most_bytes:
            pairing.write_down_all_running()
        if pairing.strays != self._strays:
            _log.error(
                "%s: %d records belong to no statement",
                self._worker_id,
                pairing.strays - self._strays,
            )
            self._strays = pairing.strays

    async def _resume(self) -> Cursor:
        """Go on from what the destination has stored."""
        progress = await self._destination.progress(self._worker_id)
        progress = progress or Progress(BEGINNING)
        self._moves, self._strays = progress.moves, 0
        self._pairing = Pairing(
            (each, begin)
            for each in progress.unfinished
            if (begin := self._read_begin(each)) is not None or each.begun_at is None
        )
        return Cursor(self._spool, self._worker_id, progress.place)

    def _read_begin(self, unfinished: Unfinished) -> Begin | None:
        if unfinished.begun_at is None:
            return None
        begin = self._spool.read_begin(self._worker_id, unfinished.begun_at)
        if begin is None:
            _log.error(
                "statement %d of %s is lost: its segment %d of %s cannot be read any more",
                unfinished.seq,
                unfinished.session_id,
                unfinished.begun_at.segment,
                self._worker_id,
            )
        return begin


class Shipping:
    """All workers' records on their way to one destination."""

    def __init__(self, spool: SpoolFolder, destination: Destination) -> None:
        self._spool = spool
        self._destination = destination
        self._streams: dict[str, _Stream] = {}
        self._shipped_before = 0
        self._trouble = ""

    @property
    def name(self) -> str:
        return self._destination.name

    @property
    def shipped(self) -> int:
        """How many rows were taken since we began."""
        return self._shipped_before + sum(each.shipped for each in self._streams.values())

    def oldest_s(self, now_us: int) -> float:
        """Return how long ago the oldest statement began that is not there, as far as is known."""
        oldest = [e.oldest_us for e in self._streams.values() if e.oldest_us is not None]
        return max(0.0, (now_us - min(oldest)) / 1e6) if oldest else 0.0

    def needs(self, worker_id: str) -> int:
        """Return the number of the worker's first segment that is still needed."""
        stream = self._streams.get(worker_id)
        return stream.needs if stream is not None else 0

    async def keep_shipping(self, after_each: Callable[[], None]) -> None:
        """Take over what there is, again and again. Runs until cancelled."""
        delay = _FIRST_DELAY_S
        while True:
            try:
                has_more = await self.ship_once()
                after_each()
            except Unreachable as error:
                self._complain(str(error))
                await asyncio.sleep(delay)
                delay = min(delay * 2, _LONGEST_DELAY_S)
                continue
            except Exception:
                _log.exception("shipping to %s failed; trying again", self.name)
                await asyncio.sleep(delay)
                delay = min(delay * 2, _LONGEST_DELAY_S)
                continue
            delay = _FIRST_DELAY_S
            self._complain("")
            await asyncio.sleep(0 if has_more else self._destination.look_every_s)

    async def ship_once(self) -> bool:
        """Take over one batch of each worker. Returns whether there is more already. Raises
        Unreachable, or what went wrong with one worker's once the others had their turn."""
        workers = self._spool.workers()
        for gone in self._streams.keys() - set(workers):
            self._shipped_before += self._streams.pop(gone).shipped
        has_more, wrong = False, None
        for worker_id in workers:
            stream = self._streams.get(worker_id)
            if stream is None:
                stream = _Stream(self._spool, worker_id, self._destination)
                self._streams[worker_id] = stream
            try:
                has_more |= await stream.ship()
            except Unreachable:
                raise
            except Exception as error:
                wrong = error
        if wrong is not None:
            raise wrong
        return has_more

    def _complain(self, trouble: str) -> None:
        if bool(trouble) != bool(self._trouble):
            if trouble:
                _log.warning("%s takes nothing now: %s; the spool grows", self.name, trouble)
            else:
                _log.info("%s takes what is in the spool again", self.name)
        self._trouble = trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipperPlan:
    """What a shipper needs. `limit` is that of the spool, in bytes; `drain_s` is how long workers
    may take to leave."""

    ledger: LedgerLogin
    folder: Path
    limit: int
    drain_s: float
    sink: SinkAddress | None = None


async def run_shipper(plan: ShipperPlan, orders: Orders) -> None:
    """Ship until told to stop, then what is left, and leave."""
    spool = SpoolFolder(plan.folder)
    plan.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with _alone(plan.folder / "shipper.lock", orders.stop) as is_ours:
        if is_ours:
            await _ship(plan, spool, orders.stop)


async def _ship(plan: ShipperPlan, spool: SpoolFolder, stop: asyncio.Event) -> None:
    shipper_id = new_id(IdKind.WORKER, _now(), os.urandom(RANDOM_BYTES))
    async with AsyncExitStack() as stack:
        name = f"pgcurfew shipper {shipper_id}"
        pool = await stack.enter_async_context(open_pool(plan.ledger, name, _LEDGER_POOL))
        everywhere = [Shipping(spool, Ledger(pool))]
        if plan.sink is not None:
            sender = await stack.enter_async_context(open_sender(plan.sink))
            everywhere.append(Shipping(spool, Sink(plan.sink.name, sender, pool, spool)))

        def delete() -> None:
            delete_shipped(spool, everywhere)

        async with asyncio.TaskGroup() as tasks:
            keepers = [
                *(tasks.create_task(each.keep_shipping(delete)) for each in everywhere),
                tasks.create_task(_keep_synced(spool, everywhere)),
                tasks.create_task(_show_life(pool, shipper_id, plan, spool, everywhere)),
            ]
            _log.info("shipper %s takes %s to the ledger", shipper_id, plan.folder)
            await stop.wait()
            await _drain(spool, plan.drain_s)
            for keeper in keepers:
                keeper.cancel()


def delete_shipped(spool: SpoolFolder, everywhere: Sequence[Shipping]) -> None:
    """Delete segments that all have whole."""
    for worker_id in spool.workers():
        needed = min(each.needs(worker_id) for each in everywhere)
        spool.delete_before(worker_id, needed)


async def _keep_synced(spool: SpoolFolder, everywhere: Sequence[Shipping]) -> None:
    """What has waited for a second survives a power cut, too. Runs until cancelled."""
    while True:
        await asyncio.sleep(_SYNC_EVERY_S)
        now_us = time.time_ns() // 1000
        if any(each.oldest_s(now_us) >= _SYNC_EVERY_S for each in everywhere):
            try:
                await asyncio.to_thread(spool.sync)
            except OSError as error:
                _log.error("the spool cannot be synced: %s", error)


async def _show_life(
    pool: Pool,
    shipper_id: str,
    plan: ShipperPlan,
    spool: SpoolFolder,
    everywhere: Sequence[Shipping],
) -> None:
    """Tell the ledger every few seconds how the spool is. Runs until cancelled."""
    while True:
        try:
            condition = _condition(plan, spool, everywhere)
            async with autocommit(pool) as db:
                await sessions.save_worker_seen(db, shipper_id, "shipper", _now(), condition)
        except LedgerUnavailable:
            pass  # whoever ships has said so
        except Exception:
            _log.exception("showing life failed; trying again")
        await asyncio.sleep(_SIGN_OF_LIFE_EVERY_S)


def _condition(
    plan: ShipperPlan, spool: SpoolFolder, everywhere: Sequence[Shipping]
) -> dict[str, Any]:
    now_us = time.time_ns() // 1000
    ledger, *others = everywhere
    return {
        "kind": "shipper",
        "spool_bytes": spool.size(),
        "spool_limit": plan.limit,
        "oldest_s": round(ledger.oldest_s(now_us), 1),
        "shipped": ledger.shipped,
        "sink": {
            each.name: {"oldest_s": round(each.oldest_s(now_us), 1), "sent": each.shipped}
            for each in others
        },
    }


async def _drain(spool: SpoolFolder, drain_s: float) -> None:
    """Wait until everything is where it has to be, but not for ever."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    until = started + LAST_SHIPMENT_S
    while not spool.is_empty():
        if loop.time() > until:
            _log.warning("%s is left for the next shipper to take", spool.folder)
            return
        if any(not spool.is_gone(each) for each in spool.workers()):
            until = min(loop.time(), started + drain_s) + LAST_SHIPMENT_S
        await asyncio.sleep(_DRAINED_EVERY_S)


@asynccontextmanager
async def _alone(lock: Path, stop: asyncio.Event) -> AsyncIterator[bool]:
    """Wait until no other shipper of this machine runs. Yields False if told to stop first."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _take(descriptor):
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOCK_EVERY_S)
            if stop.is_set():
                yield False
                return
        yield True
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _now() -> datetime:
    return datetime.now(UTC)
