"""What this machine knows of tickets, on its own disk: uses, and a journal of each worker.

    tickets/tkt_….use          the one use of a ticket; made whole or not at all, and once only
    tickets/tkt_….told         the ledger knows of that use
    tickets/wrk_….journal      sessions and refusals, a line each; locked while its worker lives
    tickets/wrk_….reported     a journal of a worker that is gone, all of it in the ledger

Nothing is ever taken out of a file. Everything is on the disk, not only in the kernel, before a
call returns. All of it blocks: call it in a thread.
"""

import errno
import fcntl
import io
import logging
import os
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from broker.domain.ticket_record import (
    TicketRecord,
    TicketSessionClosed,
    TicketSessionOpened,
    TicketUse,
)

_USES: TypeAdapter[TicketUse] = TypeAdapter(TicketUse)
_RECORDS: TypeAdapter[TicketRecord] = TypeAdapter(
    Annotated[TicketRecord, Field(discriminator="what")]
)
_PRIVATE = 0o600
_PRIVATE_FOLDER = 0o700
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH

_log = logging.getLogger(__name__)


class UnreadableUse(OSError):
    """There is a record of a use, and nobody can tell what it says."""


@dataclass(frozen=True, slots=True)
class Journal:
    """What one worker has written down, as far as it can be read."""

    worker_id: str
    records: tuple[TicketRecord, ...]


@dataclass(frozen=True, slots=True)
class Journals:
    """Those of workers that live, and those of workers that are gone."""

    living: tuple[Journal, ...]
    abandoned: tuple[Journal, ...]


class TicketRecords:
    """The records of one state_dir, as one worker of one machine writes and reads them."""

    def __init__(self, folder: Path, worker_id: str) -> None:
        self._folder = folder
        self._worker_id = worker_id
        self._journal: io.FileIO | None = None
        self._writing = threading.Lock()

    def close(self) -> None:
        """Leave the journal to whoever comes next."""
        with self._writing:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    def find_use(self, ticket_id: str) -> TicketUse | None:
        """Raises OSError."""
        return _read_use(self._folder / f"{ticket_id}.use")

    def begin_use(self, use: TicketUse) -> TicketUse:
        """Record the first use of the ticket; return the one on record, which is another if
        somebody was first. Raises OSError if that cannot be written."""
        path = self._folder / f"{use.ticket_id}.use"
        self._make_folder()
        draft = self._folder / f".{use.ticket_id}.{self._worker_id}.{threading.get_ident()}"
        try:
            with _created(draft) as file:
                _write(file, _USES.dump_json(use) + b"\n")
            # A link appears with all its content, and for one of several only.
            with suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        _sync_folder(self._folder)
        on_record = _read_use(path)
        if on_record is None:
            raise UnreadableUse(f"{path} has vanished")
        return on_record

    def append(self, record: TicketRecord) -> None:
        """Add a line to this worker's journal. Raises OSError."""
        with self._writing:
            if self._journal is None:
                self._journal = self._new_journal()
            # A line that was cut off by a full disk must not swallow the next.
            _write(self._journal, b"\n" + _RECORDS.dump_json(record) + b"\n")

    def untold_uses(self) -> list[TicketUse]:
        """Return the uses that the ledger may not know of. Raises OSError."""
        paths = sorted(self._folder.glob("tkt_*.use"))
        untold = [path for path in paths if not path.with_suffix(".told").exists()]
        return [use for path in untold if (use := _readable_use(path)) is not None]

    def mark_told(self, use: TicketUse) -> None:
        (self._folder / f"{use.ticket_id}.told").touch(_PRIVATE)

    @contextmanager
    def journals(self) -> Iterator[Journals]:
        """Yield all journals; those of workers that are gone are kept from other workers meanwhile.
        What was in those is marked as reported, unless the block raises. Raises OSError."""
        held: list[tuple[Path, io.FileIO]] = []
        living: list[Path] = []
        try:
            for path in sorted(self._folder.glob("wrk_*.journal")):
                with _unless_unreadable(path):
                    file = None if path.stem == self._worker_id else _taken(path)
                    if file is None:
                        living.append(path)
                    else:
                        held.append((path, file))
            yield Journals(
                living=_read_journals(living), abandoned=_read_journals(path for path, _ in held)
            )
            for path, _ in held:
                path.rename(path.with_suffix(".reported"))
        finally:
            for _, file in held:
                file.close()

    def prepare(self) -> None:
        """Raises OSError where nothing can be written."""
        self._make_folder()
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self._folder))

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(mode=_PRIVATE_FOLDER, parents=True)
        except FileExistsError:
            if not self._folder.is_dir():
                raise
            mode = self._folder.stat().st_mode
            if mode & _WRITABLE_BY_OTHERS:  # whoever can take a use away can use the ticket again
                self._folder.chmod(stat.S_IMODE(mode) & ~_WRITABLE_BY_OTHERS)
        else:
            _sync_folder(self._folder.parent)

    def _new_journal(self) -> io.FileIO:
        """Make the journal, locked before anybody else can see it under its name."""
        self._make_folder()
        path = self._folder / f"{self._worker_id}.journal"
        draft = self._folder / f".{self._worker_id}.draft"
        draft.unlink(missing_ok=True)  # an earlier try found no room on the disk
        file = _open_new(draft)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            draft.rename(path)
            _sync_folder(self._folder)
        except BaseException:
            file.close()
            raise
        return file


def without_ends(journal: Journal) -> list[str]:
    """Return the sessions of the journal that it does not say ended."""
    opened = [each.session_id for each in journal.records if isinstance(each, TicketSessionOpened)]
    closed = {each.session_id for each in journal.records if isinstance(each, TicketSessionClosed)}
    return [session_id for session_id in opened if session_id not in closed]


def _read_use(path: Path) -> TicketUse | None:
    try:
        return _USES.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise UnreadableUse(f"{path} is not what a proxy wrote") from error


def _readable_use(path: Path) -> TicketUse | None:
    """What nobody can read must not keep the others from being reported."""
    try:
        return _read_use(path)
    except OSError as error:  # perhaps of a proxy that was run as somebody else
        _log.error("a use of a ticket cannot be reported: %s", error)
        return None


def _read_journal(path: Path) -> tuple[TicketRecord, ...]:
    records = []
    for line in path.read_bytes().split(b"\n"):
        # The last line of a worker that died may be half a line.
        with suppress(ValidationError):
            if line:
                records.append(_RECORDS.validate_json(line))
    return tuple(records)


def _read_journals(paths: Iterable[Path]) -> tuple[Journal, ...]:
    found = []
    for path in paths:
        with _unless_unreadable(path):
            found.append(Journal(path.stem, _read_journal(path)))
    return tuple(found)


@contextmanager
def _unless_unreadable(path: Path) -> Iterator[None]:
    """What nobody can read must not keep the others from being reported."""
    try:
        yield
    except FileNotFoundError:
        pass  # somebody has just reported it
    except OSError as error:
        _log.error("a journal cannot be reported: %s: %s", path, error)


def _write(file: io.FileIO, data: bytes) -> None:
    if os.write(file.fileno(), data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file.fileno())


@contextmanager
def _created(path: Path) -> Iterator[io.FileIO]:
    file = _open_new(path)
    try:
        yield file
    finally:
        file.close()


def _open_new(path: Path) -> io.FileIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
    return io.FileIO(os.open(path, flags, _PRIVATE), "a")


def _taken(path: Path) -> io.FileIO | None:
    """Return the journal, locked, if its worker is gone and nobody else has taken it."""
    file = io.FileIO(path, "r+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.exists():
            return file
    except BlockingIOError:
        pass
    file.close()
    return None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
