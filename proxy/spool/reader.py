"""The segments of all workers of this machine, read while those who live go on writing.

A living worker is done with a segment once there is something in its next one, which it makes
beforehand; a worker that is gone is done with all of its. What is read is never changed, but for
the name of a segment of which not everything can be read: it is set aside as `*.damaged`, and never
deleted.
"""

import fcntl
import logging
import os
import re
import time
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from typing import Self

from broker.domain.statement.shipment import Place
from proxy.spool.records import (
    HEADER_SIZE,
    PREFIX_SIZE,
    Begin,
    DamagedRecord,
    Record,
    is_header,
    read_record,
)
from proxy.spool.shipping import Found

BEGINNING = Place(1, HEADER_SIZE)

_NAME = re.compile(r"(wrk_[0-9a-z]+)\.([0-9]{8,})\.spool(\.damaged)?")
_ALIVE = ".alive"
_DAMAGED = ".damaged"
_WINDOW = 1 << 20
_FIRST_WINDOW = 1 << 16
_LENGTH_SIZE = 4
_GONE_FOR_S = 60.0

_log = logging.getLogger(__name__)


class State(Enum):
    """What there is to read behind what was read."""

    MORE = auto()
    NOTHING_YET = auto()
    FINISHED = auto()  # and nothing will ever come


class SpoolFolder:
    """The spool of a machine. Everything here blocks, for as long as the disk takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def workers(self) -> list[str]:
        """Return the workers of which there is anything, the oldest first."""
        found = {match[1] for match in map(_NAME.fullmatch, self._names()) if match}
        alive = {name.removesuffix(_ALIVE) for name in self._names() if name.endswith(_ALIVE)}
        return sorted(found | alive)

    def segments(self, worker_id: str) -> dict[int, Path]:
        """Return the worker's segments by their numbers, in order."""
        found = {
            int(match[2]): self.folder / match[0]
            for match in map(_NAME.fullmatch, self._names())
            if match and match[1] == worker_id
        }
        return dict(sorted(found.items()))

    def is_gone(self, worker_id: str) -> bool:
        """Say whether the worker has died. Ask before looking at what it wrote."""
        try:
            descriptor = os.open(self.folder / f"{worker_id}{_ALIVE}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def delete_before(self, worker_id: str, segment: int) -> None:
        """Delete the worker's segments with lower numbers, as others have all of them; and what a
        worker that is gone leaves behind, with its last one."""
        left = False
        for number, path in self.segments(worker_id).items():
            if number < segment and path.suffix != _DAMAGED:
                path.unlink(missing_ok=True)
            else:
                left = True
        if not left and self.is_gone(worker_id):
            alive = self.folder / f"{worker_id}{_ALIVE}"
            with suppress(FileNotFoundError):
                if time.time() - alive.stat().st_mtime > _GONE_FOR_S:
                    alive.unlink()

    def size(self) -> int:
        """Return how much there is, in bytes, but for what was set aside."""
        total = 0
        for path in self._waiting():
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def is_empty(self) -> bool:
        """Say whether nothing waits to be read."""
        return not self._waiting()

    def sync(self) -> None:
        """Have everything that waits written to the disk itself."""
        for path in self._waiting():
            with suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)

    def read_begin(self, worker_id: str, place: Place) -> Begin | None:
        """Return the statement that began at this place, if it is still there."""
        path = self.segments(worker_id).get(place.segment)
        if path is None:
            return None
        with _Opened(path) as segment:
            try:
                found = segment.record(place.position)
            except DamagedRecord:
                return None
        return found[0] if found and isinstance(found[0], Begin) else None

    def _names(self) -> list[str]:
        try:
            return [path.name for path in self.folder.iterdir()]
        except FileNotFoundError:
            return []  # no worker was ever started here

    def _waiting(self) -> list[Path]:
        matches = (match for match in map(_NAME.fullmatch, self._names()) if match)
        return [self.folder / match[0] for match in matches if not match[3]]


class Cursor:
    """Reads one worker's records in their order, from a place on."""

    def __init__(self, spool: SpoolFolder, worker_id: str, place: Place) -> None:
        self._spool = spool
        self._worker_id = worker_id
        self.place = place
        self.state = State.MORE

    def read(self, most_bytes: int, most: int) -> list[Found]:
        """Return the records that come next, in bytes and number not many more than asked for.
        Raises OSError."""
        is_gone = self._spool.is_gone(self._worker_id)  # first: it may write until then
        segments = self._spool.segments(self._worker_id)
        found: list[Found] = []
        size = 0
        self.state = State.MORE
        while self.state is State.MORE and size < most_bytes and len(found) < most:
            number = self.place.segment
            path = segments.get(number)
            later = [each for each in segments if each > number]
            if path is None:
                self._find_segment(later, is_gone=is_gone)
                continue
            is_last = not any(_is_begun(segments[each]) for each in later)
            with _Opened(path) as segment:
                size += self._read_segment(
                    segment, found, most_bytes - size, most, final=is_gone or not is_last
                )
            if self.place.segment == number and len(found) < most and size < most_bytes:
                self.state = State.NOTHING_YET
        return found

    def _find_segment(self, later: list[int], *, is_gone: bool) -> None:
        if later:
            self.place = Place(later[0], HEADER_SIZE)
        else:
            self.state = State.FINISHED if is_gone else State.NOTHING_YET

    def _read_segment(
        self, segment: "_Opened", found: list[Found], most_bytes: int, most: int, *, final: bool
    ) -> int:
        """Read on in the segment. If it is final, and nothing more is in it, the place is then
        the beginning of the next one. Returns how many bytes were read."""
        number, start = self.place.segment, self.place.position
        position = start
        while position - start < most_bytes and len(found) < most:
            try:
                read = segment.record(position)
            except DamagedRecord as error:
                read = None
                after = segment.after(position)
                segment.set_aside(f"a record {error} is none that this version knows")
            else:
                after = None if read or not final else self._after_damage(segment, position)
            if read is not None:
                found.append(Found(read[0], Place(number, position)))
                position = read[1]
            elif after is not None:
                position = after
            else:
                self.place = Place(number + 1, HEADER_SIZE) if final else Place(number, position)
                return position - start
        self.place = Place(number, position)
        return position - start

    def _after_damage(self, segment: "_Opened", position: int) -> int | None:
        """There is no record at this place, and none will come. Return where the next one is
        nevertheless, if there is any."""
        if segment.is_blank(position):
            return None
        after = segment.after(position)
        if after is not None and segment.is_blank(after):
            _log.warning(
                "%s: what its worker was writing when it died, at %d, was never passed on",
                segment.path.name,
                position,
            )
            return None
        goes_on = after is not None and segment.has_record(after)
        segment.set_aside(f"it is damaged at {position}{'' if goes_on else ', to its end'}")
        return after if goes_on else None


class _Opened:
    """A segment, read through a window."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        self._size = 0
        self._window = b""
        self._window_at = 0
        self._has_header = False

    def __enter__(self) -> Self:
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = os.fstat(self._descriptor).st_size
        self._has_header = is_header(os.pread(self._descriptor, HEADER_SIZE, 0))
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def record(self, position: int) -> tuple[Record, int] | None:
        """Raises DamagedRecord."""
        if not self._has_header:
            return None
        offset = self._show(position, PREFIX_SIZE)
        read = read_record(self._window, offset)
        if read is None:
            following = self.after(position)
            if following is None or following <= self._window_at + len(self._window):
                return None
            offset = self._show(position, following - position)
            read = read_record(self._window, offset)
        return None if read is None else (read[0], self._window_at + read[1])

    def has_record(self, position: int) -> bool:
        try:
            return self.record(position) is not None
        except DamagedRecord:
            return True

    def after(self, position: int) -> int | None:
        """Return where the record at this place says that it ends, if that can be."""
        offset = self._show(position, PREFIX_SIZE)
        length = int.from_bytes(self._window[offset : offset + _LENGTH_SIZE], "little")
        end = position + PREFIX_SIZE + length
        return end if length and end <= self._size else None

    def is_blank(self, position: int) -> bool:
        """Say whether there are only zeros from there on."""
        while part := os.pread(self._descriptor, _WINDOW, position):
            if part.strip(b"\0"):
                return False
            position += len(part)
        return True

    def set_aside(self, why: str) -> None:
        if self.path.suffix != _DAMAGED:
            aside = self.path.with_name(self.path.name + _DAMAGED)
            self.path.rename(aside)
            self.path = aside
            _log.error("%s: %s; it stays for you to look at", aside, why)

    def _show(self, position: int, size: int) -> int:
        """Have so many bytes from this place on in the window. Returns where they are in it."""
        offset = position - self._window_at
        if offset < 0 or offset + size > len(self._window):
            # Mostly there is nothing new, and little to read.
            usual = _WINDOW if self._window else _FIRST_WINDOW
            self._window = os.pread(self._descriptor, max(usual, size), position)
            self._window_at, offset = position, 0
        return offset


def _is_begun(path: Path) -> bool:
    """Say whether there is a record in this segment, or a part of one."""
    try:
        with path.open("rb") as file:
            return any(os.pread(file.fileno(), PREFIX_SIZE, HEADER_SIZE))
    except FileNotFoundError:
        return False  # its worker has just closed, and will be gone the next time
