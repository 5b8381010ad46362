"""Sets the stage: one PostgreSQL, and three entrances to it that differ in nothing else.

All of it listens on loopback, lives in one temporary folder, and is gone at the end.
"""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import yaml
from measure import Entrance

from api.client import open_client
from api.demo.site import (
    REQUESTER,
    REVIEWER,
    connect_superuser,
    find_port,
    make_token,
    run_pgcurfew,
    run_service,
)
from api.schemas import CredentialView
from broker.domain.duration import parse_duration
from broker.domain.login_plan import PER_MEMBERSHIP_OPTIONS
from broker.domain.sqltext import literal
from broker.embedded import EmbeddedServer, find_binaries, run_embedded
from proxy.tls import CertificateFiles, ensure_certificate

SCALE = 10  # pgbench's: a million rows, which fit into shared_buffers below
_SERVER_SETTINGS = ("fsync=off", "max_connections=200", "shared_buffers=256MB")
_DEBIAN_BINARIES = Path("/usr/lib/postgresql/15/bin")  # unlike the embedded ones, with TLS
_CONNECTION_LIMIT = 200
_GRANT_LASTS = "8h"
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0
_LOAD_TIMEOUT_S = 300.0
_LISTEN = "0A"  # the kernel's name for the state, in /proc/net/tcp


class StageFailed(Exception):
    """The benchmark cannot be set up; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    pgbench: Path
    proxy: Entrance
    pgbouncer: Entrance
    direct: Entrance
    versions: dict[str, str]


@contextmanager
def set_stage(workers: int) -> Iterator[Stage]:
    """Start everything, with `workers` proxy processes; stop and remove it at the end.

    Raises StageFailed, DemoFailed or EmbeddedError.
    """
    binaries = _DEBIAN_BINARIES if _DEBIAN_BINARIES.exists() else find_binaries()
    pgbench, pgbouncer = _find("pgbench", binaries), _find("pgbouncer", Path("/usr/sbin"))
    home = Path(tempfile.mkdtemp(prefix="pgcurfew-bench-")).resolve()
    try:
        home.chmod(0o711)
        postgresql = home / "postgresql"
        postgresql.mkdir(mode=0o700)
        with run_embedded(postgresql, binaries=binaries, settings=_SERVER_SETTINGS) as server:
            certificate = _make_certificate(home, owner=postgresql)
            plain_password = secrets.token_urlsafe(24)
            passwords = {
                name: secrets.token_urlsafe(24)
                for name in ("curfew", "curfew_proxy", "curfew_broker_1")
            }
            verifier = asyncio.run(_make_roles(server, passwords, plain_password))
            _fill(pgbench, server)
            version, direct_tls = asyncio.run(_open_up(server, certificate))
            direct = Entrance(
                name="direct",
                port=server.port,
                user="bench_plain",
                password=plain_password,
                processes=(),
                tls=direct_tls,
            )
            with (
                _run_proxy(home, server, passwords, certificate, workers) as proxy,
                _run_pgbouncer(pgbouncer, home, direct, verifier, certificate) as pooled,
            ):
                yield Stage(
                    pgbench=pgbench,
                    proxy=proxy,
                    pgbouncer=pooled,
                    direct=direct,
                    versions={"postgresql": version, "pgbouncer": _pgbouncer_version(pgbouncer)},
                )
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _find(program: str, folder: Path) -> Path:
    """Return the program of `folder`, else that of the PATH."""
    found = shutil.which(program, path=f"{folder}:{os.environ.get('PATH', os.defpath)}")
    if found is None:
        raise StageFailed(f"{program} is not installed")
    return Path(found)


def _make_certificate(home: Path, owner: Path) -> CertificateFiles:
    """Make the one certificate that all three entrances show, owned by PostgreSQL's user."""
    folder = home / "certificates"
    names = ("certificate.pem", "certificate.key", "root.pem")
    files = CertificateFiles(*(folder / name for name in names))
    ensure_certificate(files, ["localhost", "127.0.0.1"], datetime.now(UTC))
    for path in (files.certificate, files.key, files.root):
        _give(path, owner)
    return files


def _give(path: Path, owner: Path) -> None:
    """Give `path` to whoever owns `owner`."""
    status = owner.stat()
    os.chown(path, status.st_uid, status.st_gid)


async def _make_roles(
    server: EmbeddedServer, passwords: dict[str, str], plain_password: str
) -> str:
    """Make every role, and return PostgreSQL's SCRAM verifier of the ordinary login."""
    main = await connect_superuser(server, "postgres")
    try:
        for name, password in passwords.items():
            await main.execute(f"CREATE ROLE {name} LOGIN NOINHERIT PASSWORD {literal(password)}")
        for statement in (
            "CREATE DATABASE curfew OWNER curfew",
            "CREATE DATABASE bench",
            "CREATE ROLE bench_reader NOLOGIN",
            "CREATE ROLE curfew_admin NOLOGIN CREATEROLE NOINHERIT",
            f"CREATE ROLE bench_plain LOGIN PASSWORD {literal(plain_password)} "
            "IN ROLE bench_reader",
            *_admin_grants(await _server_version_num(main)),
        ):
            await main.execute(statement)
        return str(
            await main.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = 'bench_plain'")
        )
    finally:
        await main.close()


def _admin_grants(server_version: int) -> tuple[str, ...]:
    granular = server_version >= PER_MEMBERSHIP_OPTIONS
    with_admin = "ADMIN TRUE, INHERIT FALSE, SET FALSE" if granular else "ADMIN OPTION"
    return (
        f"GRANT bench_reader TO curfew_admin WITH {with_admin}",
        "GRANT pg_signal_backend TO curfew_admin"
        + (" WITH INHERIT TRUE, SET FALSE" if granular else ""),
        "GRANT curfew_admin TO curfew_broker_1"
        + (" WITH INHERIT FALSE, SET TRUE" if granular else ""),
    )


async def _server_version_num(db: "asyncpg.Connection[asyncpg.Record]") -> int:
    return int(await db.fetchval("SHOW server_version_num"))


def _fill(pgbench: Path, server: EmbeddedServer) -> None:
    done = subprocess.run(
        [
            str(pgbench),
            *("-i", "-q", "-s", str(SCALE), "-h", server.host, "-p", str(server.port)),
            *("-U", server.superuser, "bench"),
        ],
        env={"PATH": os.defpath, "LC_ALL": "C", "PGPASSWORD": server.password},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LOAD_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise StageFailed(f"pgbench -i failed:\n{done.stderr.strip()}")


async def _open_up(server: EmbeddedServer, certificate: CertificateFiles) -> tuple[str, bool]:
    """Let readers read, and turn TLS on if the server knows it; return its version and whether."""
    db = await connect_superuser(server, "bench")
    try:
        await db.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO bench_reader")
        version = str(await db.fetchval("SHOW server_version"))
        try:
            await db.execute(
                f"ALTER SYSTEM SET ssl_cert_file = {literal(str(certificate.certificate))}"
            )
            await db.execute(f"ALTER SYSTEM SET ssl_key_file = {literal(str(certificate.key))}")
            await db.execute("ALTER SYSTEM SET ssl = on")
        except asyncpg.PostgresError:  # a build without OpenSSL
            return version, False
        await db.execute("SELECT pg_reload_conf()")
        return version, True
    finally:
        await db.close()


@contextmanager
def _run_proxy(
    home: Path,
    server: EmbeddedServer,
    passwords: dict[str, str],
    certificate: CertificateFiles,
    workers: int,
) -> Iterator[Entrance]:
    """Run pgcurfew, and get a credential as a person would."""
    proxy_port, api_port = find_port(0), find_port(0)
    _write_secrets(home, {**passwords, "proxy-key": secrets.token_hex(32)})
    config = home / "pgcurfew.yaml"
    settings = _settings(server)
    settings["proxy"] = {
        "listen": f"127.0.0.1:{proxy_port}",
        "workers": workers,
        "tls": {
            "required": False,
            "certificate": str(certificate.certificate),
            "key": str(certificate.key),
            "root_certificate": str(certificate.root),
        },
    }
    settings["api"] = {"listen": f"127.0.0.1:{api_port}"}
    config.write_text(yaml.safe_dump(settings))
    (home / "policies.yaml").write_text(yaml.safe_dump(_POLICIES))
    run_pgcurfew(config, "migrate")
    tokens = [make_token(config, who) for who in (REQUESTER, REVIEWER)]
    with run_service(config, home / "pgcurfew.log", proxy_port, api_port):
        _wait_for_listeners(proxy_port, workers)
        credential = asyncio.run(_get_access(f"http://127.0.0.1:{api_port}", *tokens))
        yield Entrance(
            name="proxy",
            port=proxy_port,
            user=credential.user,
            password=credential.password,
            processes=_workers(workers),
            tls=True,
        )


def _write_secrets(home: Path, values: dict[str, str]) -> None:
    folder = home / "secrets"
    folder.mkdir(mode=0o700)
    for name, secret in values.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(secret)


def _settings(server: EmbeddedServer) -> dict[str, object]:
    address = {"host": server.host, "port": server.port, "tls": {"mode": "disable"}}
    return {
        "state_dir": "state",
        "ledger": {
            **address,
            "database": "curfew",
            "user": "curfew",
            "password": "file:secrets/curfew",
            "proxy": {"user": "curfew_proxy", "password": "file:secrets/curfew_proxy"},
        },
        "keys": {"current": "k1", "proxy_keys": {"k1": "file:secrets/proxy-key"}},
        "targets": {
            "bench": {
                **address,
                "database": "bench",
                "admin": {
                    "user": "curfew_broker_1",
                    "password": "file:secrets/curfew_broker_1",
                    "role": "curfew_admin",
                },
                "roles": {"bench_reader": {"connection_limit": _CONNECTION_LIMIT}},
            }
        },
        "identity": {"people": [{"email": REQUESTER}, {"email": REVIEWER, "groups": ["dba"]}]},
        "policies": {"file": "policies.yaml"},
    }


_POLICIES = {
    "approvers": {"groups": ["dba"]},
    "policies": [
        {
            "name": "bench",
            "requesters": {"anyone": True},
            "resources": [{"target": "bench"}],
            "max_duration": _GRANT_LASTS,
        }
    ],
}


async def _get_access(url: str, requester_token: str, reviewer_token: str) -> CredentialView:
    async with (
        open_client(url, requester_token) as requester,
        open_client(url, reviewer_token) as reviewer,
    ):
        request = await requester.request(
            "bench", "bench_reader", duration=parse_duration(_GRANT_LASTS), reason="a benchmark"
        )
        grant = await reviewer.approve(request.id)
        if grant.state != "active":
            raise StageFailed(f"the grant is {grant.state}: {grant.last_error}")
        return await requester.hand_out(grant.id)


@contextmanager
def _run_pgbouncer(
    program: Path, home: Path, direct: Entrance, verifier: str, certificate: CertificateFiles
) -> Iterator[Entrance]:
    """Run PgBouncer in session mode: like the proxy, it gives every client its own connection.

    It knows only the verifier, and uses the client's keys to log in, as the proxy does: from a
    password it would derive keys at every login, which is dear.
    """
    folder, port = home / "pgbouncer", find_port(0)
    owner = certificate.key.stat()  # PgBouncer refuses root as PostgreSQL does
    folder.mkdir(mode=0o700)
    (folder / "users.txt").write_text(f'"{direct.user}" "{verifier}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"""[databases]
bench = host=127.0.0.1 port={direct.port} dbname=bench
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
pool_mode = session
default_pool_size = 100
auth_type = scram-sha-256
auth_file = {folder}/users.txt
client_tls_sslmode = allow
client_tls_cert_file = {certificate.certificate}
client_tls_key_file = {certificate.key}
server_tls_sslmode = disable
ignore_startup_parameters = extra_float_digits
logfile = {folder}/pgbouncer.log
""",
    )
    for path in (folder, *folder.iterdir()):
        os.chown(path, owner.st_uid, owner.st_gid)
    as_root = os.geteuid() == 0
    with (home / "pgbouncer.out").open("w") as output:
        process = subprocess.Popen(
            [str(program), str(folder / "pgbouncer.ini")],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=owner.st_uid if as_root else None,
            group=owner.st_gid if as_root else None,
            extra_groups=[] if as_root else None,
            start_new_session=True,
        )
    try:
        _wait_for_listeners(port, 1)
        yield Entrance(
            name="pgbouncer",
            port=port,
            user=direct.user,
            password=direct.password,
            processes=(process.pid,),
            tls=True,
        )
    finally:
        process.send_signal(signal.SIGINT)  # a shutdown in order
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _pgbouncer_version(program: Path) -> str:
    said = subprocess.run(
        [str(program), "--version"], capture_output=True, text=True, check=True, timeout=10
    )
    return said.stdout.splitlines()[0].removeprefix("PgBouncer ")


def _wait_for_listeners(port: int, wanted: int) -> None:
    """Wait until `wanted` sockets listen on the port: workers share one by SO_REUSEPORT."""
    until = time.monotonic() + _START_TIMEOUT_S
    while _listeners(port) < wanted:
        if time.monotonic() > until:
            raise StageFailed(f"fewer than {wanted} sockets listen on port {port}")
        time.sleep(0.05)


def _listeners(port: int) -> int:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(
        1 for row in rows if int(row[1].rpartition(":")[2], 16) == port and row[3] == _LISTEN
    )


def _workers(wanted: int) -> tuple[int, ...]:
    """Return the proxy workers among the processes that descend from us."""
    parents = {int(each.name): _parent(each) for each in Path("/proc").glob("[0-9]*")}
    family = {os.getpid()}
    while grown := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= grown
    workers = tuple(
        pid
        for pid in sorted(family)
        if b"\0-m\0proxy\0worker\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    if len(workers) != wanted:
        raise StageFailed(f"{len(workers)} proxy workers run instead of {wanted}")
    return workers


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
