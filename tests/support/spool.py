"""Segments of a spool, written as a worker would; and the statements to write into them."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from broker.domain.statement.statement import Ending, Protocol
from proxy.spool.records import (
    HEADER_SIZE,
    Begin,
    Closed,
    End,
    Record,
    encode_header,
    encode_record,
)

WORKER = "wrk_06h0000000000001"
START_US = 1_772_366_400_000_000  # 2026-03-01 12:00 UTC
SEGMENT = 1 << 16


def session_id(number: int) -> str:
    return f"ses_{number:016}"


def begin(
    seq: int = 1,
    session: int = 1,
    text: bytes = b"SELECT 1",
    *,
    at_us: int = START_US,
    parameters: tuple[bytes | None, ...] | None = None,
) -> Begin:
    return Begin(
        session_id=session_id(session),
        seq=seq,
        started_at_us=at_us,
        protocol=Protocol.SIMPLE,
        text=text,
        text_bytes=len(text),
        parameters=parameters,
    )


def end(seq: int = 1, session: int = 1, *, duration_us: int = 1_000) -> End:
    return End(
        session_id=session_id(session),
        seq=seq,
        ending=Ending.DONE,
        duration_us=duration_us,
        rows=1,
        tag=b"SELECT 1",
        sqlstate=None,
        bytes_from_client=20,
        bytes_to_client=60,
    )


def closed(session: int = 1) -> Closed:
    return Closed(session_id(session))


class FakeWriter:
    """A worker's segments: preallocated, written from the front, the next one made beforehand."""

    def __init__(self, folder: Path, worker_id: str = WORKER, *, segment: int = SEGMENT) -> None:
        self._folder = folder
        self._worker_id = worker_id
        self._segment = segment
        self._position = HEADER_SIZE
        self.number = 1
        self._make(1)
        self._make(2)

    def path(self, number: int) -> Path:
        return self._folder / f"{self._worker_id}.{number:08}.spool"

    @property
    def current(self) -> Path:
        return self.path(self.number)

    @property
    def position(self) -> int:
        return self._position

    def write(self, *records: Record) -> None:
        for record in records:
            self.write_bytes(encode_record(record))

    def write_bytes(self, data: bytes) -> None:
        if self._position + len(data) + 4 > self._segment:
            self.turn()
        with self.current.open("r+b") as file:
            file.seek(self._position)
            file.write(data)
        self._position += len(data)

    def turn(self) -> None:
        self.number += 1
        self._position = HEADER_SIZE
        self._make(self.number + 1)

    def _make(self, number: int) -> None:
        with self.path(number).open("wb") as file:
            file.write(encode_header())
            file.truncate(self._segment)


@contextmanager
def living(folder: Path, worker_id: str = WORKER) -> Iterator[None]:
    """Hold the lock of a worker that lives."""
    descriptor = os.open(folder / f"{worker_id}.alive", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_segment(path: Path, records: Iterable[Record], size: int) -> None:
    """Write a whole segment at once."""
    data = encode_header() + b"".join(map(encode_record, records))
    assert len(data) + 4 <= size, "the segment is too small"
    path.write_bytes(data.ljust(size, b"\0"))
