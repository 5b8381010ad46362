"""Real PostgreSQL servers to test against, one per supported major version.

The first of these that yields any: the superuser DSNs in PGCURFEW_TEST_SERVERS (separated by white
space), a container per major when a container engine answers, else the binaries here: installed,
pip's embedded ones, and those that tests/postgresql/fetch.py has fetched.

Where all majors can be had, a missing one fails the run: a run that tests less than it seems to is
worse than none. PGCURFEW_TEST_MAJORS ("15 18") narrows on purpose.
"""

import asyncio
import os
import platform
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg

from broker.embedded import EmbeddedError, EmbeddedServer, find_binaries, run_embedded

SERVERS = "PGCURFEW_TEST_SERVERS"
MAJORS = "PGCURFEW_TEST_MAJORS"
SUPPORTED = range(13, 19)
_EMBEDDED = 18
_INSTALLED = Path("/usr/lib/postgresql")  # Debian's and Ubuntu's packages
_FETCHED = Path(__file__).parents[1] / "postgresql" / "node_modules"
_ENGINE_TIMEOUT_S = 2.0
# Nothing here outlives the run, so nothing needs to reach a disk, and little WAL is kept. Prepared
# transactions are off by default, and hostile logins use them.
SETTINGS = (
    "fsync=off",
    "max_connections=200",
    "max_prepared_transactions=10",
    "max_wal_size=64MB",
    "min_wal_size=32MB",
)
# Every test makes two databases of 300 files each: on a disk that costs more than the test itself.
_MEMORY = Path("/dev/shm")  # noqa: S108  (in a folder of its own)
_ROOM_IN_MEMORY = 8 << 30  # for six majors in each of five processes, with much to spare


class MissingServers(Exception):
    """A PostgreSQL that should be tested cannot be had; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server and its superuser. `major` is 18 for 18.6."""

    host: str
    port: int
    superuser: str
    password: str = field(repr=False)
    major: int
    log: Path | None = None

    @property
    def is_our_own(self) -> bool:
        return self.log is not None

    @property
    def in_memory(self) -> bool:
        return self.log is not None and self.log.is_relative_to(_MEMORY)

    async def connect(
        self,
        database: str = "postgres",
        *,
        user: str | None = None,
        password: str | None = None,
    ) -> "asyncpg.Connection[asyncpg.Record]":
        """Connect as the superuser, or as somebody else with their password."""
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            host=self.host,
            port=self.port,
            database=database,
            user=user or self.superuser,
            password=password if user else self.password,
            ssl=False,
        )
        return connection


@dataclass(frozen=True, slots=True)
class Source:
    """Where a server comes from: a DSN, a container image, or a folder with binaries."""

    major: int
    dsn: str | None = None
    image: str | None = None
    binaries: Path | None = None

    @contextmanager
    def run(self) -> Iterator[Server]:
        if self.dsn is not None:
            yield _server_at(self.dsn, self.major)
        elif self.image is not None:
            with _container(self.image, self.major) as server:
                yield server
        else:
            assert self.binaries is not None
            with run_cluster(self.binaries, self.major) as server:
                yield server


def find_sources() -> list[Source]:
    """Return one source per major, oldest first. Raises MissingServers."""
    asked = {int(major) for major in re.findall(r"\d+", os.environ.get(MAJORS, ""))}
    named = _named()
    found = named or _containers() or _local()
    sources = [source for source in found if not asked or source.major in asked]
    expected = asked or (set(SUPPORTED) if not named and _all_can_be_had() else set())
    missing = sorted(expected - {source.major for source in sources})
    if missing or not sources:
        which = ", ".join(map(str, missing)) or "of any version"
        raise MissingServers(
            f"no PostgreSQL {which} to test against: `make test` fetches {SUPPORTED.start} to"
            f" {SUPPORTED.stop - 1} (Linux on x64; tests/postgresql/fetch.py does it alone);"
            f' {MAJORS}="15 18" asks for these majors only, and {SERVERS} names servers'
        )
    return sources


def find_local_binaries() -> dict[int, Path]:
    """Return the folder with initdb, pg_ctl and postgres of each supported major that is here."""
    found = {
        major: folder
        for major in SUPPORTED
        for folder in (
            _FETCHED / f"postgresql-{major}" / "native" / "bin",
            _INSTALLED / str(major) / "bin",  # preferred: as in production, with GSSAPI
        )
        if (folder / "postgres").exists()
    }
    with suppress(EmbeddedError):
        found[_EMBEDDED] = find_binaries()  # preferred: the newest minor, and what the demo runs
    return found


def _all_can_be_had() -> bool:
    return (sys.platform, platform.machine()) == ("linux", "x86_64")


def _named() -> list[Source]:
    dsns = os.environ.get(SERVERS, "").split()
    return sorted(
        (Source(_ask_major(dsn), dsn=dsn) for dsn in dsns), key=lambda source: source.major
    )


def _containers() -> list[Source]:
    if not _engine_answers():
        return []
    return [Source(major, image=f"postgres:{major}") for major in SUPPORTED]


def _engine_answers() -> bool:
    """Ask the container engine, as its own client would find it, whether it is there."""
    where = urlsplit(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    try:
        if where.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(_ENGINE_TIMEOUT_S)
                sock.connect(where.path)
        else:
            address = (where.hostname or "localhost", where.port or 2375)
            socket.create_connection(address, _ENGINE_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def _local() -> list[Source]:
    return [
        Source(major, binaries=binaries)
        for major, binaries in sorted(find_local_binaries().items())
    ]


def _ask_major(dsn: str) -> int:
    async def ask() -> int:
        connection = await asyncpg.connect(dsn)
        try:
            return int(connection.get_server_version().major)
        finally:
            await connection.close()

    return asyncio.run(ask())


def _server_at(dsn: str, major: int) -> Server:
    parts = urlsplit(dsn)
    return Server(
        parts.hostname or "127.0.0.1",
        parts.port or 5432,
        unquote(parts.username or "postgres"),
        unquote(parts.password or ""),
        major,
    )


@contextmanager
def _container(image: str, major: int) -> Iterator[Server]:
    from testcontainers.postgres import PostgresContainer  # noqa: PLC0415

    options = " ".join(f"-c {setting}" for setting in SETTINGS)
    container = PostgresContainer(image, username="postgres", password="postgres").with_command(
        f"postgres {options}"
    )
    with container as running:
        yield Server(
            running.get_container_host_ip(),
            int(running.get_exposed_port(5432)),
            "postgres",
            "postgres",
            major,
        )


@contextmanager
def run_cluster(
    binaries: Path, major: int, *, settings: Sequence[str] = SETTINGS
) -> Iterator[Server]:
    """Run a new cluster, which goes with all that is in it."""
    with new_home(major) as home, run_embedded(home, binaries=binaries, settings=settings) as made:
        yield server_of(made, major)


def server_of(running: EmbeddedServer, major: int) -> Server:
    return Server(
        running.host, running.port, running.superuser, running.password, major, running.log
    )


@contextmanager
def new_home(major: int) -> Iterator[Path]:
    """Make an empty folder for a cluster, and remove it."""
    with tempfile.TemporaryDirectory(prefix="pgcurfew-test-", dir=memory()) as outer:
        Path(outer).chmod(0o711)  # PostgreSQL may run as another user, who must get through
        home = Path(outer) / f"postgresql-{major}"
        home.mkdir(mode=0o700)
        yield home


def memory() -> Path | None:
    """Return a folder that is kept in memory, if there is plenty."""
    with suppress(OSError, StopIteration):
        said = Path("/proc/meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) << 10 for line in said if "MemAvailable" in line)
        if min(available, shutil.disk_usage(_MEMORY).free) > _ROOM_IN_MEMORY:
            return _MEMORY
    return None
