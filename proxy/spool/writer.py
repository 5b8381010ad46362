"""A worker's own segments: files of a size that was taken from the disk beforehand, and mapped.

    spool/wrk_….alive                    locked while the worker lives
    spool/wrk_….00000001.spool           its first segment, and so on

To write is to store into the mapping: that costs less than a call, and what is stored belongs to
the kernel, so that a worker which is killed loses nothing. What the ledger has is deleted by the
shipper; what is left may not grow beyond the limit, which is for all workers of the machine.
"""

import asyncio
import fcntl
import io
import logging
import mmap
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from proxy.spool.records import HEADER_SIZE, encode_header

_PRIVATE = 0o600
_PRIVATE_FOLDER = 0o700
_TRY_AGAIN_S = 0.5
_LOOK_EVERY_S = 1.0
_END = bytes(4)  # a length of zero

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpoolRules:
    """Sizes in bytes; `refuse_at` is a share of the limit. `holds` says what becomes of sessions
    when nothing can be written any more: they wait, or they end."""

    limit: int
    segment: int
    refuse_at: float
    holds: bool


@dataclass(frozen=True, slots=True)
class _Segment:
    path: Path
    memory: mmap.mmap


class SpoolWriter:
    """Where one worker writes what its sessions do. Nothing can be written before `take_room`."""

    def __init__(self, folder: Path, worker_id: str, rules: SpoolRules) -> None:
        self._folder = folder
        self._worker_id = worker_id
        self.rules = rules
        self._alive: io.FileIO | None = None
        self._current: _Segment | None = None
        self._next: _Segment | None = None
        self._number = 0
        self._position = 0
        self._room = 0  # in the current segment, but for the zero that ends it
        self._late: deque[bytes] = deque()
        self._waiting: list[Callable[[], None]] = []
        self._wanted = asyncio.Event()
        self._used = 0  # by all workers of this machine
        self._trouble: str | None = None

    @property
    def waiting(self) -> int:
        """How many wait for room."""
        return len(self._waiting)

    @property
    def refuses(self) -> str | None:
        """Why no new session may begin, if that is so."""
        if self._trouble is not None:
            return self._trouble
        if self._used > self.rules.limit * self.rules.refuse_at:
            return "the spool of this proxy is nearly full"
        return None

    def append(self, data: bytes) -> bool:
        """Write whole records. Returns False if there is no room: try again once `when_room` says
        so."""
        size = len(data)
        if self._late or (size > self._room and not self._turn_for(size)):
            return False
        position = self._position
        assert self._current is not None
        self._current.memory[position : position + size] = data
        self._position = position + size
        self._room -= size
        return True

    def append_late(self, data: bytes) -> None:
        """Write records of what has happened already, now or as soon as there is room."""
        if not self.append(data):
            self._late.append(data)
            self._wanted.set()

    def when_room(self, call: Callable[[], None]) -> None:
        """Have `call` called as soon as it is worth another try."""
        self._waiting.append(call)
        self._wanted.set()

    async def take_room(self) -> None:
        """Take room from the disk, if it is wanted and there is any, and let those have it who
        wait."""
        has_room = False
        try:
            has_room = await asyncio.to_thread(self._make_room)
        except OSError as error:
            if self._next is None:  # else there is room, however much of it
                why = error.strerror or error
                self._complain(f"the spool of this proxy cannot be written: {why}")
                return
        if not has_room and self._next is None:
            self._complain("the spool of this proxy is full")
            return
        self._trouble = None
        self._write_late()
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()

    async def keep_room(self) -> None:
        """Take room before it is needed. Runs until cancelled."""
        while True:
            self._wanted.clear()
            await self.take_room()
            if self._trouble is not None:
                await asyncio.sleep(_TRY_AGAIN_S)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._wanted.wait()

    def close(self) -> None:
        """Leave what was written to the shipper."""
        self._write_late()
        if self._late:
            _log.error("%d outcomes of statements could not be recorded", len(self._late))
        for segment in (self._current, self._next):
            if segment is not None:
                segment.memory.close()
        if self._next is not None:
            self._next.path.unlink(missing_ok=True)
        self._current = self._next = None
        self._room = 0
        if self._alive is not None:
            self._alive.close()
            self._alive = None

    def _write_late(self) -> None:
        late, self._late = self._late, deque()
        while late:
            if not self.append(late[0]):
                self._late = late
                return
            late.popleft()

    def _turn_for(self, size: int) -> bool:
        """Begin the next segment, if it is there and has room for as much as that."""
        self._wanted.set()
        if self._next is None or size > self.rules.segment - HEADER_SIZE - len(_END):
            return False
        self._turn()
        return True

    def _turn(self) -> None:
        if self._current is not None:
            self._current.memory.close()
        self._current, self._next = self._next, None
        self._position = HEADER_SIZE
        self._room = self.rules.segment - HEADER_SIZE - len(_END)

    def _make_room(self) -> bool:
        """Return whether there was room; the loop may have begun to use it meanwhile. Raises
        OSError."""
        if self._alive is None:
            self._alive = self._begin_to_live()
        self._used = self._measure()
        if self._next is None and self._used + self.rules.segment <= self.rules.limit:
            self._next = self._make_segment()
            return True
        return self._next is not None

    def _begin_to_live(self) -> io.FileIO:
        """Take our lock before anybody else can see it under its name."""
        self._folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        draft = self._folder / f".{self._worker_id}.draft"
        draft.unlink(missing_ok=True)
        alive = _open_new(draft)
        try:
            fcntl.flock(alive, fcntl.LOCK_EX)
            draft.rename(self._folder / f"{self._worker_id}.alive")
        except BaseException:
            alive.close()
            raise
        return alive

    def _make_segment(self) -> _Segment:
        """Make the next segment, all of it taken from the disk: a store into a mapped file that has
        no room would kill the process."""
        path = self._folder / f"{self._worker_id}.{self._number + 1:08}.spool"
        draft = self._folder / f".{path.name}"
        draft.unlink(missing_ok=True)  # an earlier try found no room on the disk
        size = self.rules.segment
        try:
            with _open_new(draft) as file:
                os.posix_fallocate(file.fileno(), 0, size)
                memory = mmap.mmap(file.fileno(), size)
            memory[:HEADER_SIZE] = encode_header()
            draft.rename(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        self._number += 1
        self._used += size
        return _Segment(path, memory)

    def _measure(self) -> int:
        used = 0
        for path in self._folder.glob("*.spool"):
            with suppress(FileNotFoundError):  # the shipper has just deleted it
                used += path.stat().st_size
        return used

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:
            then = "wait" if self.rules.holds else "end"
            _log.error("%s; no new sessions, and those that are open %s", trouble, then)
        self._trouble = trouble


def _open_new(path: Path) -> io.FileIO:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return io.FileIO(os.open(path, flags, _PRIVATE), "r+")
