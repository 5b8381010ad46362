"""What is in the benchmark's PostgreSQL: databases, roles, pgbench's tables, TLS."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
from errors import CannotMeasure

from api.demo.site import connect_superuser
from broker.domain.role_ddl import PER_MEMBERSHIP_OPTIONS
from broker.domain.sqltext import literal
from broker.embedded import EmbeddedServer
from proxy.own_certificate import CertificateFiles, ensure_certificate

SCALE = 10  # pgbench's: a million rows
DATABASE = "bench"
PLAIN_USER = "bench_plain"
_FILL_TIMEOUT_S = 300.0


def make_certificate(folder: Path, owner: Path) -> CertificateFiles:
    """Make the one certificate that all three entrances show, for whoever owns `owner`."""
    names = ("certificate.pem", "certificate.key", "root.pem")
    files = CertificateFiles(*(folder / name for name in names))
    ensure_certificate(files, ["localhost", "127.0.0.1"], datetime.now(UTC))
    status = owner.stat()
    for path in (files.certificate, files.key, files.root):
        os.chown(path, status.st_uid, status.st_gid)
    return files


async def make_roles(server: EmbeddedServer, passwords: dict[str, str], plain_password: str) -> str:
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
            f"CREATE ROLE {PLAIN_USER} LOGIN PASSWORD {literal(plain_password)} "
            "IN ROLE bench_reader",
            *_admin_grants(await _server_version_num(main)),
        ):
            await main.execute(statement)
        return str(
            await main.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = $1", PLAIN_USER)
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


def fill(pgbench: Path, server: EmbeddedServer) -> None:
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
        timeout=_FILL_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise CannotMeasure(f"pgbench -i failed:\n{done.stderr.strip()}")


async def open_up(server: EmbeddedServer, certificate: CertificateFiles) -> tuple[str, bool]:
    """Let readers read, and turn TLS on; return the server's version, and whether it knows TLS."""
    db = await connect_superuser(server, "bench")
    try:
        await db.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO bench_reader")
        version = str(await db.fetchval("SHOW server_version"))
        for name, path in (("cert", certificate.certificate), ("key", certificate.key)):
            await db.execute(f"ALTER SYSTEM SET ssl_{name}_file = {literal(str(path))}")
        try:
            await db.execute("ALTER SYSTEM SET ssl = on")
        except asyncpg.InvalidParameterValueError:  # built without OpenSSL
            return version, False
        await db.execute("SELECT pg_reload_conf()")
        return version, True
    finally:
        await db.close()
