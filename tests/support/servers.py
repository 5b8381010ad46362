"""Real PostgreSQL servers to test against, one per major version that can be had here.

The first of these that yields any: the superuser DSNs in PGCURFEW_TEST_SERVERS (separated by white
space), a container per supported major when a container engine answers, else the installed and
the embedded binaries.
"""

import asyncio
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg

from broker.embedded import EmbeddedError, find_binaries, run_embedded

VARIABLE = "PGCURFEW_TEST_SERVERS"
SUPPORTED = range(13, 19)
_INSTALLED = Path("/usr/lib/postgresql")  # Debian's and Ubuntu's packages
# Nothing here outlives the run, so nothing needs to reach a disk. Prepared transactions are off
# by default, and hostile logins use them.
_ENGINE_TIMEOUT_S = 2.0
_SETTINGS = ("fsync=off", "max_connections=200", "max_prepared_transactions=10")


@dataclass(frozen=True, slots=True)
class Server:
    """A server and its superuser. `major` is 18 for 18.6."""

    host: str
    port: int
    superuser: str
    password: str = field(repr=False)
    major: int
    log: Path | None = None

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
            with _cluster(self.binaries, self.major) as server:
                yield server


def find_sources() -> list[Source]:
    """Return one source per major, oldest first."""
    return _named() or _containers() or _local()


def _named() -> list[Source]:
    dsns = os.environ.get(VARIABLE, "").split()
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
    found = {
        int(folder.name): Source(int(folder.name), binaries=folder / "bin")
        for folder in _INSTALLED.glob("[0-9][0-9]")
        if (folder / "bin" / "postgres").exists()
    }
    try:
        embedded = find_binaries()
    except EmbeddedError:
        pass
    else:
        found[18] = Source(18, binaries=embedded)
    return [source for major, source in sorted(found.items()) if major in SUPPORTED]


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

    options = " ".join(f"-c {setting}" for setting in _SETTINGS)
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
def _cluster(binaries: Path, major: int) -> Iterator[Server]:
    with ExitStack() as stack:
        outer = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgcurfew-test-")))
        outer.chmod(0o711)  # PostgreSQL may run as another user, who must get through
        home = outer / f"postgresql-{major}"
        home.mkdir(mode=0o700)
        running = stack.enter_context(run_embedded(home, binaries=binaries, settings=_SETTINGS))
        yield Server(
            running.host, running.port, running.superuser, running.password, major, running.log
        )
