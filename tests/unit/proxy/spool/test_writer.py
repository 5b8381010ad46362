"""A worker's segments, on a disk that is large enough or not."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from proxy.spool.reader import SpoolFolder
from proxy.spool.records import HEADER_SIZE, encode_record, is_header, read_record
from proxy.spool.writer import SpoolRules, SpoolWriter
from tests.support.spool import WORKER, begin

SEGMENT = 4_096
ROOM = SEGMENT - HEADER_SIZE - 4
RULES = SpoolRules(limit=4 * SEGMENT, segment=SEGMENT, refuse_at=0.7, holds=True)
RECORD = encode_record(begin())
OTHER = "wrk_06h0000000000002"


def texts(folder: Path) -> list[bytes]:
    """Return the texts of what is written, in order."""
    found = []
    for path in sorted(folder.glob("*.spool")):
        data, position = path.read_bytes(), HEADER_SIZE
        assert is_header(data)
        while (read := read_record(data, position)) is not None:
            record, position = read
            found.append(getattr(record, "text", b"?"))
    return found


def fill(spool: SpoolWriter) -> int:
    """Write until there is no room."""
    count = 0
    while spool.append(RECORD):
        count += 1
    return count


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    def no_room(_descriptor: int, _offset: int, _size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    return monkeypatch


async def test_nothing_can_be_written_before_there_is_room(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path / "spool", WORKER, RULES)
    assert not spool.append(RECORD)
    await spool.take_room()
    assert spool.append(RECORD)
    assert texts(tmp_path / "spool") == [b"SELECT 1"]
    spool.close()


async def test_what_is_written_can_be_read_at_once(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path, WORKER, RULES)
    await spool.take_room()
    for number in range(3):
        assert spool.append(encode_record(begin(number, text=b"%d" % number)))
        assert texts(tmp_path)[-1] == b"%d" % number
    spool.close()


async def test_segments_follow_each_other(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path, WORKER, RULES)
    for _ in range(3):
        await spool.take_room()
        assert fill(spool) == ROOM // len(RECORD)
    assert sorted(SpoolFolder(tmp_path).segments(WORKER)) == [1, 2, 3]
    assert len(texts(tmp_path)) == 3 * (ROOM // len(RECORD))
    spool.close()


async def test_files_are_private_and_as_large_as_they_will_ever_be(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path / "spool", WORKER, RULES)
    await spool.take_room()
    (path,) = (tmp_path / "spool").glob("*.spool")
    assert (path.stat().st_mode & 0o777, path.stat().st_size) == (0o600, SEGMENT)
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert path.stat().st_blocks * 512 >= SEGMENT
    spool.close()


async def test_who_lives_holds_a_lock_until_it_is_closed(tmp_path: Path) -> None:
    spool, folder = SpoolWriter(tmp_path, WORKER, RULES), SpoolFolder(tmp_path)
    await spool.take_room()
    assert not folder.is_gone(WORKER)
    spool.close()
    assert folder.is_gone(WORKER)


async def test_what_cannot_fit_in_any_segment_does_not_use_one_up(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path, WORKER, RULES)
    await spool.take_room()
    assert not spool.append(bytes(ROOM + 1))
    assert spool.append(bytes(ROOM))
    spool.close()


async def test_all_workers_share_the_limit(tmp_path: Path) -> None:
    first, second = SpoolWriter(tmp_path, WORKER, RULES), SpoolWriter(tmp_path, OTHER, RULES)
    for spool in (first, second, first, second, first):
        await spool.take_room()
        fill(spool)
    assert len(list(tmp_path.glob("*.spool"))) == 4
    assert first.refuses == "the spool of this proxy is full"
    assert second.refuses == "the spool of this proxy is nearly full"
    first.close()
    second.close()


async def test_there_is_room_again_when_the_shipper_has_deleted_something(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path, WORKER, RULES)
    for _ in range(5):
        await spool.take_room()
        fill(spool)
    called = list[bool]()
    spool.when_room(lambda: called.append(spool.append(RECORD)))
    assert spool.waiting == 1
    await spool.take_room()
    assert (called, spool.waiting) == ([], 1)
    for path in sorted(tmp_path.glob("*.spool"))[:3]:
        path.unlink()
    await spool.take_room()
    assert (called, spool.waiting, spool.refuses) == ([True], 0, None)
    spool.close()


async def test_a_full_disk_is_said_and_tried_again(
    tmp_path: Path, full_disk: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spool = SpoolWriter(tmp_path, WORKER, RULES)
    for _ in range(2):
        await spool.take_room()
    said = "the spool of this proxy cannot be written: No space left on device"
    assert [spool.refuses] == [said]
    assert [each.message for each in caplog.records] == [
        f"{said}; no new sessions, and those that are open wait"
    ]
    assert not list(tmp_path.glob("*.spool"))
    full_disk.undo()
    await spool.take_room()
    assert [spool.refuses] == [None]
    assert spool.append(RECORD)
    spool.close()


async def test_it_is_said_whether_open_sessions_end(
    tmp_path: Path, full_disk: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rules = SpoolRules(limit=4 * SEGMENT, segment=SEGMENT, refuse_at=0.7, holds=False)
    spool = SpoolWriter(tmp_path, WORKER, rules)
    await spool.take_room()
    spool.close()
    assert caplog.messages[0].endswith("no new sessions, and those that are open end")


async def test_what_could_not_be_written_keeps_its_order(tmp_path: Path) -> None:
    """Nothing new is written before what is late."""
    spool = SpoolWriter(tmp_path, WORKER, RULES)
    await spool.take_room()
    fill(spool)
    late = [encode_record(begin(number, text=b"late %d" % number)) for number in range(3)]
    for each in late:
        spool.append_late(each)
    assert not spool.append(encode_record(begin(9, text=b"x")))
    await spool.take_room()
    assert spool.append(encode_record(begin(9, text=b"new")))
    assert texts(tmp_path)[-4:] == [b"late 0", b"late 1", b"late 2", b"new"]
    spool.close()


async def test_more_may_be_late_than_one_segment_takes(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path, WORKER, RULES)
    await spool.take_room()
    count = 2 * (ROOM // len(RECORD))
    for number in range(count):
        spool.append_late(encode_record(begin(number, text=b"%08d" % number)))
    for _ in range(2):
        await spool.take_room()
    assert texts(tmp_path) == [b"%08d" % number for number in range(count)]
    spool.close()


async def test_a_segment_that_is_turned_to_meanwhile_is_no_lack_of_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk is asked, the loop goes on writing."""
    spool = SpoolWriter(tmp_path, WORKER, RULES)
    await spool.take_room()
    fill(spool)
    make_room = spool._make_room

    def slowly() -> bool:
        has_room = make_room()
        fill(spool)
        return has_room

    monkeypatch.setattr(spool, "_make_room", slowly)
    await spool.take_room()
    assert spool.refuses is None
    spool.close()


async def test_room_is_kept_until_it_is_cancelled(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path, WORKER, RULES)
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(spool.keep_room())
        for _ in range(2):
            has_room = asyncio.Event()
            spool.when_room(has_room.set)
            async with asyncio.timeout(10):
                await has_room.wait()
            assert fill(spool)
        keeping.cancel()
    assert len(texts(tmp_path)) >= ROOM // len(RECORD)
    spool.close()


async def test_closing_leaves_what_was_written_and_nothing_else(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path, WORKER, RULES)
    await spool.take_room()
    spool.append(RECORD)
    await spool.take_room()
    spool.close()
    assert list(SpoolFolder(tmp_path).segments(WORKER)) == [1]
    assert texts(tmp_path) == [b"SELECT 1"]
    assert not spool.append(RECORD)
    spool.close()


async def test_closing_says_what_could_not_be_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = SpoolWriter(tmp_path, WORKER, RULES)
    spool.append_late(RECORD)
    spool.close()
    assert caplog.messages == ["1 outcomes of statements could not be recorded"]


async def test_what_a_crash_left_of_a_segment_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / f".{WORKER}.00000001.spool").write_bytes(b"half")
    (tmp_path / f".{WORKER}.draft").write_bytes(b"")
    spool = SpoolWriter(tmp_path, WORKER, RULES)
    await spool.take_room()
    assert spool.append(RECORD)
    assert texts(tmp_path) == [b"SELECT 1"]
    spool.close()
