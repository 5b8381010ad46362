"""What workers have written comes to its destination, whatever that does meanwhile."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from broker.domain.statement.shipment import Part, Progress
from broker.domain.statement.statement import LateOutcome, Row, Statement
from proxy.spool.destination import Batch, Unreachable
from proxy.spool.reader import SpoolFolder
from proxy.spool.shipper import Shipping, delete_shipped
from tests.support.spool import WORKER, FakeWriter, begin, closed, end, living

OTHER = "wrk_06h0000000000002"


class Memory:
    """A destination that stores rows and progress, or raises, before or after it did."""

    name = "memory"
    look_every_s = 0.0

    def __init__(self, batch: Batch | None = None) -> None:
        self.batch = batch or Batch()
        self.rows: list[Row] = []
        self.takes: list[int] = []
        self.stored: dict[str, Progress] = {}
        self.fate: Callable[[], str] = lambda: "takes it"

    async def progress(self, worker_id: str) -> Progress | None:
        return self.stored.get(worker_id)

    async def take(self, worker_id: str, progress: Progress, blocks: Sequence[Part]) -> None:
        fate = self.fate()
        if fate == "is away":
            raise Unreachable(fate)
        before = self.stored.get(worker_id)
        assert progress.moves == (before.moves if before else 0) + 1
        self.stored[worker_id] = progress
        rows = [row for part in blocks for row in part.rows]
        self.takes.append(len(rows))
        self.rows += rows
        if fate == "loses its answer":
            raise Unreachable(fate)

    def seqs(self) -> list[int]:
        return sorted(row.seq for row in self.rows if isinstance(row, Statement))


async def ship_all(shipping: Shipping) -> None:
    while await shipping.ship_once():
        pass


async def test_everything_of_everybody_comes_through(tmp_path: Path) -> None:
    FakeWriter(tmp_path).write(begin(1), end(1), begin(2))
    FakeWriter(tmp_path, OTHER).write(begin(3), end(3))
    spool, memory = SpoolFolder(tmp_path), Memory()
    shipping = Shipping(spool, memory)
    await ship_all(shipping)
    assert memory.seqs() == [1, 2, 3]
    assert all(row.outcome is not None for row in memory.rows)
    delete_shipped(spool, [shipping])
    assert spool.is_empty()
    await ship_all(shipping)
    assert shipping.shipped == 3, "that of workers that are gone counts, too"


async def test_a_segment_stays_as_long_as_somebody_needs_it(tmp_path: Path) -> None:
    writer = FakeWriter(tmp_path)
    spool, memory, slow = SpoolFolder(tmp_path), Memory(), Memory()
    quick_shipping, slow_shipping = Shipping(spool, memory), Shipping(spool, slow)
    both = [quick_shipping, slow_shipping]
    with living(tmp_path):
        writer.write(begin(1), end(1))
        writer.turn()
        writer.write(begin(2))
        await ship_all(quick_shipping)
        delete_shipped(spool, both)
        assert writer.path(1).exists(), "the slow one has nothing yet"
        await ship_all(slow_shipping)
        delete_shipped(spool, both)
        assert not writer.path(1).exists()
        assert writer.path(2).exists(), "it is being written"
        assert writer.path(3).exists(), "so will this be"
        writer.write(end(2))
        await ship_all(quick_shipping)
    assert memory.seqs() == [1, 2]


async def test_a_long_statement_does_not_keep_its_segment(tmp_path: Path) -> None:
    """It is written down without its outcome: the spool may go on."""
    writer = FakeWriter(tmp_path)
    spool, memory = SpoolFolder(tmp_path), Memory()
    with living(tmp_path):
        writer.write(begin(1))
        writer.turn()
        writer.write(begin(2), end(2))
        await ship_all(Shipping(spool, memory))
        shipping = Shipping(spool, memory)  # as after a death
        await ship_all(shipping)
        delete_shipped(spool, [shipping])
        assert not writer.path(1).exists()
        writer.write(end(1))
        await ship_all(shipping)
    assert memory.seqs() == [1, 2]
    assert [row.seq for row in memory.rows if isinstance(row, LateOutcome)] == [1]


async def test_a_slow_destination_makes_batches_bigger_up_to_a_bound(tmp_path: Path) -> None:
    writer = FakeWriter(tmp_path)
    spool, memory = SpoolFolder(tmp_path), Memory(Batch(most_rows=50))
    shipping = Shipping(spool, memory)
    for seq in range(1, 201):
        writer.write(begin(seq), end(seq))
    await ship_all(shipping)
    assert memory.takes == [50] * 4


async def test_texts_that_wait_for_their_end_do_not_fill_the_memory(tmp_path: Path) -> None:
    writer = FakeWriter(tmp_path, segment=1 << 22)
    spool, memory = SpoolFolder(tmp_path), Memory(Batch(most_bytes=10_000))
    with living(tmp_path):
        for seq in range(1, 51):
            writer.write(begin(seq, text=b"x" * 1_000))
        await ship_all(Shipping(spool, memory))
        assert len(memory.rows) >= 40


async def test_one_worker_whose_spool_cannot_be_read_does_not_stop_the_others(
    tmp_path: Path,
) -> None:
    FakeWriter(tmp_path).write(begin(1), end(1))
    FakeWriter(tmp_path, OTHER).write(begin(2), end(2))
    broken = tmp_path / f"{WORKER}.00000001.spool"
    broken.unlink()
    broken.mkdir()
    memory = Memory()
    with suppress(OSError):
        await ship_all(Shipping(SpoolFolder(tmp_path), memory))
    assert memory.seqs() == [2]


@given(st.data())
async def test_everything_is_there_once_whatever_the_destination_does(
    tmp_path_factory: object, data: st.DataObject
) -> None:
    """It is away, or does what it was told and cannot say so; and shippers die in between."""
    folder = tmp_path_factory.mktemp("spool")  # type: ignore[attr-defined]
    writer, spool = FakeWriter(folder, segment=512), SpoolFolder(folder)
    memory = Memory(Batch(most_rows=data.draw(st.integers(1, 9))))
    fates = st.sampled_from(["takes it", "takes it", "is away", "loses its answer"])
    memory.fate = lambda: data.draw(fates)
    shipping = Shipping(spool, memory)
    written, running = 0, []
    with ExitStack() as life:
        life.enter_context(living(folder))
        for what in data.draw(st.lists(st.sampled_from(["begin", "end", "ship", "die"]))):
            match what:
                case "begin":
                    written += 1
                    running.append(written)
                    writer.write(begin(written))
                case "end" if running:
                    writer.write(end(running.pop(data.draw(st.integers(0, len(running) - 1)))))
                case "die":
                    shipping = Shipping(spool, memory)
                case _:
                    with suppress(Unreachable):
                        await shipping.ship_once()
                        delete_shipped(spool, [shipping])
        if data.draw(st.booleans()):
            writer.write(closed())
    memory.fate = lambda: "takes it"
    await ship_all(shipping)
    delete_shipped(spool, [shipping])
    assert spool.is_empty()
    assert memory.seqs() == list(range(1, written + 1))
    outcomes = [row.seq for row in memory.rows if row.outcome is not None]
    assert sorted(outcomes) == list(range(1, written + 1))
