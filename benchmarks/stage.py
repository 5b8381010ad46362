"""Sets the stage: one PostgreSQL, and three entrances to it that differ in nothing else.

All of it listens on loopback, lives in one temporary folder, and is gone at the end.
"""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster import PLAIN_USER, fill, make_certificate, make_roles, open_up
from errors import CannotMeasure
from measure import Entrance
from pooler import pgbouncer_version, run_pgbouncer
from product import DEBIAN_BINARIES
from service import run_proxy

from broker.embedded import EmbeddedServer, find_binaries, run_embedded

_SERVER_SETTINGS = ("fsync=off", "max_connections=200", "shared_buffers=256MB")
_SBIN = Path("/usr/sbin")  # not in everybody's PATH
_SERVICE_LOGINS = ("curfew", "curfew_proxy", "curfew_broker_1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    home: Path
    server: EmbeddedServer
    pgbench: Path
    psql: Path
    proxy: Entrance
    pgbouncer: Entrance
    direct: Entrance
    versions: dict[str, str]


@contextmanager
def set_stage(workers: int) -> Iterator[Stage]:
    """Start everything, with `workers` proxy processes; stop and remove it at the end.

    Raises CannotMeasure, DemoFailed or EmbeddedError.
    """
    binaries = DEBIAN_BINARIES if DEBIAN_BINARIES.exists() else find_binaries()
    pgbench, pgbouncer = (
        find_program("pgbench", DEBIAN_BINARIES, binaries),
        find_program("pgbouncer", _SBIN),
    )
    home = Path(tempfile.mkdtemp(prefix="pgcurfew-bench-")).resolve()
    try:
        home.chmod(0o711)
        postgresql = home / "postgresql"
        postgresql.mkdir(mode=0o700)
        with run_embedded(postgresql, binaries=binaries, settings=_SERVER_SETTINGS) as server:
            certificate = make_certificate(home / "certificates", owner=postgresql)
            passwords = {name: secrets.token_urlsafe(24) for name in _SERVICE_LOGINS}
            plain_password = secrets.token_urlsafe(24)
            verifier = asyncio.run(make_roles(server, passwords, plain_password))
            fill(pgbench, server)
            version, knows_tls = asyncio.run(open_up(server, certificate))
            direct = Entrance(
                name="direct",
                port=server.port,
                user=PLAIN_USER,
                password=plain_password,
                processes=(),
                tls=knows_tls,
            )
            with (
                run_proxy(home, server, passwords, certificate, workers) as proxy,
                run_pgbouncer(pgbouncer, home, direct, verifier, certificate) as pooled,
            ):
                yield Stage(
                    home=home,
                    server=server,
                    pgbench=pgbench,
                    psql=find_program("psql", DEBIAN_BINARIES, binaries),
                    proxy=proxy,
                    pgbouncer=pooled,
                    direct=direct,
                    versions={"postgresql": version, "pgbouncer": pgbouncer_version(pgbouncer)},
                )
    finally:
        shutil.rmtree(home, ignore_errors=True)


def find_program(program: str, first: Path, last: Path | None = None) -> Path:
    """Return the program of folder `first`, else that of the PATH, else that of `last`."""
    folders = [str(first), os.environ.get("PATH", os.defpath), str(last or first)]
    found = shutil.which(program, path=os.pathsep.join(folders))
    if found is None:
        raise CannotMeasure(f"{program} is not installed")
    return Path(found)
