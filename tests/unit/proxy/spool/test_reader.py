"""Segments are read while they are written, and whatever was done to them afterwards."""

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from broker.domain.statement.shipment import Place
from proxy.spool.reader import BEGINNING, Cursor, SpoolFolder, State
from proxy.spool.records import HEADER_SIZE, Record, encode_record, framed
from tests.support.spool import WORKER, FakeWriter, begin, closed, end, living

LIMITS = (8 << 20, 1000)


def cursor(folder: Path, place: Place = BEGINNING) -> Cursor:
    return Cursor(SpoolFolder(folder), WORKER, place)


def read_all(folder: Path, place: Place = BEGINNING) -> tuple[list[Record], State]:
    reading = cursor(folder, place)
    found = [each.record for each in reading.read(*LIMITS)]
    return found, reading.state


def spread(folder: Path, *segments: Sequence[Record]) -> FakeWriter:
    """Write so many segments."""
    writer = FakeWriter(folder)
    for number, records in enumerate(segments, 1):
        if number > 1:
            writer.turn()
        writer.write(*records)
    return writer


def test_what_is_written_is_read_as_soon_as_it_is_whole(tmp_path: Path) -> None:
    writer, reading = FakeWriter(tmp_path), cursor(tmp_path)
    with living(tmp_path):
        assert reading.read(*LIMITS) == []
        writer.write(begin(1))
        (found,) = reading.read(*LIMITS)
        assert (found.record, found.at) == (begin(1), BEGINNING)
        whole = encode_record(end(1))
        with writer.current.open("r+b") as file:
            file.seek(writer.position)
            file.write(whole[:20])
        assert reading.read(*LIMITS) == []
        assert reading.state is State.NOTHING_YET
        writer.write_bytes(whole)
        assert [each.record for each in reading.read(*LIMITS)] == [end(1)]


def test_a_living_worker_is_done_with_a_segment_once_it_has_begun_the_next(tmp_path: Path) -> None:
    """It makes the next one beforehand: that it is there says nothing."""
    writer = spread(tmp_path, [begin(1)])
    reading = cursor(tmp_path)
    with living(tmp_path):
        reading.read(*LIMITS)
        assert writer.path(2).exists()
        assert reading.place.segment == 1
        writer.turn()
        writer.write(end(1))
        assert [each.record for each in reading.read(*LIMITS)] == [end(1)]
        assert reading.place.segment == 2
        assert reading.state is State.NOTHING_YET


def test_a_worker_that_is_gone_has_an_end(tmp_path: Path) -> None:
    spread(tmp_path, [begin(1), end(1)], [begin(2)])
    assert read_all(tmp_path) == ([begin(1), end(1), begin(2)], State.FINISHED)


def test_no_more_is_read_than_was_asked_for(tmp_path: Path) -> None:
    records = [begin(seq, text=b"x" * 1000) for seq in range(1, 21)]
    spread(tmp_path, records[:10], records[10:])
    reading = cursor(tmp_path)
    by_number = reading.read(8 << 20, 3)
    assert len(by_number) == 3
    by_size = reading.read(5_000, 1000)
    assert len(by_size) == 5
    assert {reading.state} == {State.MORE}
    rest = reading.read(*LIMITS)
    assert [each.record for each in (*by_number, *by_size, *rest)] == records
    assert reading.state is State.FINISHED


@pytest.mark.parametrize("size", [70_000, 3 << 20])
def test_a_long_record_is_read_whole(tmp_path: Path, size: int) -> None:
    """It does not fit into what is read at once."""
    writer = FakeWriter(tmp_path, segment=4 << 20)
    records = [begin(1), begin(2, text=os.urandom(size)), begin(3)]
    writer.write(*records)
    assert read_all(tmp_path) == (records, State.FINISHED)


def test_reading_goes_on_where_it_was(tmp_path: Path) -> None:
    spread(tmp_path, [begin(1), end(1)], [begin(2)])
    first, second, third = cursor(tmp_path).read(*LIMITS)
    assert read_all(tmp_path, second.at) == ([end(1), begin(2)], State.FINISHED)
    spool = SpoolFolder(tmp_path)
    assert spool.read_begin(WORKER, first.at) == begin(1)
    assert spool.read_begin(WORKER, third.at) == begin(2)
    assert spool.read_begin(WORKER, second.at) is None, "that is an end"
    assert spool.read_begin(WORKER, Place(9, HEADER_SIZE)) is None


def test_segments_that_others_took_are_passed_over(tmp_path: Path) -> None:
    spread(tmp_path, [begin(1)], [begin(2)], [begin(3)])
    SpoolFolder(tmp_path).delete_before(WORKER, 3)
    assert read_all(tmp_path) == ([begin(3)], State.FINISHED)


def test_half_a_record_of_a_dead_worker_is_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = spread(tmp_path, [begin(1)])
    writer.write_bytes(encode_record(begin(2))[:-3])
    assert read_all(tmp_path) == ([begin(1)], State.FINISHED)
    assert "was never passed on" in caplog.text
    assert not list(tmp_path.glob("*.damaged"))


def damage(path: Path, position: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))


def test_a_damaged_record_costs_only_itself_and_the_segment_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = spread(tmp_path, [begin(1), begin(2), end(1)], [closed()])
    _, second, *_ = cursor(tmp_path).read(*LIMITS)
    damage(writer.path(1), second.at.position + 40)
    assert read_all(tmp_path) == ([begin(1), end(1), closed()], State.FINISHED)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    (aside,) = tmp_path.glob("*.damaged")
    SpoolFolder(tmp_path).delete_before(WORKER, 9)
    assert [path for path in tmp_path.iterdir() if "spool" in path.name] == [aside]
    assert SpoolFolder(tmp_path).is_empty()


def test_what_follows_a_damaged_length_cannot_be_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = spread(tmp_path, [begin(1), begin(2), end(1)], [closed()])
    _, second, *_ = cursor(tmp_path).read(*LIMITS)
    damage(writer.path(1), second.at.position)
    assert read_all(tmp_path) == ([begin(1), closed()], State.FINISHED)
    assert "to its end" in caplog.text
    assert read_all(tmp_path) == ([begin(1), closed()], State.FINISHED), "for others, too"
    assert len(caplog.records) == 1


def test_zeros_in_the_middle_are_damage(tmp_path: Path) -> None:
    writer = spread(tmp_path, [begin(1), begin(2), end(1)])
    _, second, third = cursor(tmp_path).read(*LIMITS)
    with writer.path(1).open("r+b") as file:
        file.seek(second.at.position)
        file.write(bytes(third.at.position - second.at.position))
    assert read_all(tmp_path) == ([begin(1)], State.FINISHED)
    assert list(tmp_path.glob("*.damaged"))


def test_a_record_of_another_version_is_left_out_and_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = spread(tmp_path, [begin(1)])
    writer.write_bytes(framed(b"\x63 from the future"))
    writer.write(end(1))
    with living(tmp_path):
        assert read_all(tmp_path) == ([begin(1), end(1)], State.NOTHING_YET)
    assert "none that this version knows" in caplog.text
    assert list(tmp_path.glob("*.damaged"))


def test_a_file_that_is_no_segment_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / f"{WORKER}.00000001.spool").write_bytes(b"somebody's notes" * 10)
    assert read_all(tmp_path) == ([], State.FINISHED)
    assert list(tmp_path.glob("*.damaged"))


def test_an_empty_file_is_an_empty_segment(tmp_path: Path) -> None:
    (tmp_path / f"{WORKER}.00000001.spool").touch()
    assert read_all(tmp_path) == ([], State.FINISHED)


def test_workers_are_found_dead_or_alive(tmp_path: Path) -> None:
    other, third = "wrk_06h0000000000002", "wrk_06h0000000000003"
    FakeWriter(tmp_path, other)
    FakeWriter(tmp_path)
    (tmp_path / "shipper.lock").touch()
    (tmp_path / f".{third}.draft").touch()
    spool = SpoolFolder(tmp_path)
    with living(tmp_path, third), living(tmp_path):
        assert spool.workers() == [WORKER, other, third]
        assert [spool.is_gone(each) for each in spool.workers()] == [False, True, False]
    assert spool.is_gone(WORKER)


def test_a_worker_that_is_gone_leaves_nothing_behind(tmp_path: Path) -> None:
    spread(tmp_path, [begin(1)])
    with living(tmp_path):
        pass
    spool = SpoolFolder(tmp_path)
    spool.delete_before(WORKER, 9)
    alive = tmp_path / f"{WORKER}.alive"
    assert alive.exists(), "perhaps it has only just begun"
    hour_ago = time.time() - 3600
    os.utime(alive, (hour_ago, hour_ago))
    spool.delete_before(WORKER, 9)
    assert spool.workers() == []


def test_how_much_waits_is_known(tmp_path: Path) -> None:
    spool = SpoolFolder(tmp_path / "none")
    assert (spool.workers(), spool.size(), spool.is_empty()) == ([], 0, True)
    writer = FakeWriter(tmp_path)
    spool = SpoolFolder(tmp_path)
    assert spool.size() == 2 * writer.path(1).stat().st_size
    assert not spool.is_empty()
    spool.sync()
