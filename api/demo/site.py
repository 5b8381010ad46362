"""Sets the demo up in a temporary folder: databases, roles, settings, tokens, and the service."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import asyncpg
import yaml

from api.demo.failures import DemoFailed
from broker.domain.sqltext import literal
from broker.embedded import EmbeddedServer, find_binaries, free_port, is_free, run_embedded

REQUESTER = "dev@example.com"
REVIEWER = "reviewer@example.com"
_PROXY_PORT = 7432
_API_PORT = 7480
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running demo."""

    home: Path
    config: Path
    server: EmbeddedServer
    api_url: str
    proxy_port: int
    requester: str = REQUESTER
    reviewer: str = REVIEWER
    requester_token: str = field(repr=False)
    reviewer_token: str = field(repr=False)


@contextmanager
def run_site() -> Iterator[Site]:
    """Set everything up and run it; stop it and remove its files at the end.

    Raises DemoFailed or EmbeddedError.
    """
    binaries = find_binaries()
    # resolve(): on some systems the temporary folder is a link, which PostgreSQL's user may not
    # be able to follow.
    home = Path(tempfile.mkdtemp(prefix="pgcurfew-demo-")).resolve()
    try:
        postgresql = home / "postgresql"
        home.chmod(0o711)
        postgresql.mkdir(mode=0o700)
        with run_embedded(postgresql, binaries=binaries, settings=["fsync=off"]) as server:
            proxy_port, api_port = find_port(_PROXY_PORT), find_port(_API_PORT)
            passwords = {
                name: secrets.token_urlsafe(24)
                for name in ("curfew", "curfew_proxy", "curfew_broker_1")
            }
            asyncio.run(_make_databases(server, passwords))
            config = _write_settings(home, server, passwords, proxy_port, api_port)
            run_pgcurfew(config, "migrate")
            requester, reviewer = (make_token(config, who) for who in (REQUESTER, REVIEWER))
            with run_service(config, home / "pgcurfew.log", proxy_port, api_port):
                yield Site(
                    home=home,
                    config=config,
                    server=server,
                    api_url=f"http://127.0.0.1:{api_port}",
                    proxy_port=proxy_port,
                    requester_token=requester,
                    reviewer_token=reviewer,
                )
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def _make_databases(server: EmbeddedServer, passwords: dict[str, str]) -> None:
    main = await connect_superuser(server, "postgres")
    try:
        for name, password in passwords.items():
            await main.execute(f"CREATE ROLE {name} LOGIN NOINHERIT PASSWORD {literal(password)}")
        await main.execute("CREATE DATABASE curfew OWNER curfew")
        await main.execute("CREATE DATABASE orders")
    finally:
        await main.close()
    orders = await connect_superuser(server, "orders")
    try:
        await orders.execute((files("api.demo") / "orders.sql").read_text())
    finally:
        await orders.close()


async def connect_superuser(
    server: EmbeddedServer, database: str
) -> "asyncpg.Connection[asyncpg.Record]":
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
        host=server.host,
        port=server.port,
        user=server.superuser,
        password=server.password,
        database=database,
        ssl=False,
    )
    return connection


def _write_settings(
    home: Path,
    server: EmbeddedServer,
    passwords: dict[str, str],
    proxy_port: int,
    api_port: int,
) -> Path:
    secrets_folder = home / "secrets"
    secrets_folder.mkdir(mode=0o700)
    for name, secret in {**passwords, "proxy-key": secrets.token_hex(32)}.items():
        path = secrets_folder / name
        path.touch(mode=0o600)
        path.write_text(secret)
    # The embedded PostgreSQL knows no TLS, and listens on loopback only.
    server_address = {"host": server.host, "port": server.port, "tls": {"mode": "disable"}}
    settings = {
        "state_dir": "state",
        "ledger": {
            **server_address,
            "database": "curfew",
            "user": "curfew",
            "password": "file:secrets/curfew",
            "proxy": {"user": "curfew_proxy", "password": "file:secrets/curfew_proxy"},
        },
        "keys": {"current": "k1", "proxy_keys": {"k1": "file:secrets/proxy-key"}},
        "targets": {
            "orders": {
                **server_address,
                "database": "orders",
                "admin": {
                    "user": "curfew_broker_1",
                    "password": "file:secrets/curfew_broker_1",
                    "role": "curfew_admin",
                },
                "roles": {
                    "orders_reader": {"description": "may read every table of the shop"},
                    "orders_writer": {"description": "may also insert, update and delete"},
                    "orders_owner": {"description": "may also change the tables themselves"},
                },
            }
        },
        "proxy": {"listen": f"127.0.0.1:{proxy_port}", "public_host": "localhost"},
        "api": {"listen": f"127.0.0.1:{api_port}"},
        "identity": {
            "people": [
                {"email": REQUESTER, "name": "A developer", "groups": ["developers"]},
                {"email": REVIEWER, "name": "A reviewer", "groups": ["dba"]},
            ]
        },
        "policies": {"file": "policies.yaml"},
    }
    policies = {
        "approvers": {"groups": ["dba"]},
        "policies": [
            {
                "name": "orders-readers",
                "requesters": {"anyone": True},
                "resources": [{"target": "orders", "role": "orders_reader"}],
                "max_duration": "8h",
            },
            {
                "name": "orders-writers",
                "requesters": {"groups": ["developers"]},
                "resources": [
                    {"target": "orders", "role": "orders_writer"},
                    {"target": "orders", "role": "orders_owner"},
                ],
                "max_duration": "1h",
                "require": ["reason"],
            },
        ],
    }
    (home / "policies.yaml").write_text(yaml.safe_dump(policies, sort_keys=False))
    config = home / "pgcurfew.yaml"
    config.write_text(yaml.safe_dump(settings, sort_keys=False))
    return config


def make_token(config: Path, email: str) -> str:
    token: str = json.loads(run_pgcurfew(config, "token", "create", email, "--json"))["token"]
    return token


def run_pgcurfew(config: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603  (ourselves)
        [sys.executable, "-m", "api", *arguments],
        env=_environment(config),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DemoFailed(f"pgcurfew {arguments[0]} failed:\n{done.stderr.strip()}")
    return done.stdout


@contextmanager
def run_service(config: Path, log: Path, proxy_port: int, api_port: int) -> Iterator[None]:
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "api", "serve"],
            env=_environment(config),
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for us; we then stop the service in order.
            start_new_session=True,
        )
    try:
        for port in (api_port, proxy_port):
            _wait_for_port(port, process, log)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_port(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    async def until_open() -> None:
        async with asyncio.timeout(_START_TIMEOUT_S):
            while process.poll() is None:
                with contextlib.suppress(OSError):
                    _reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                await asyncio.sleep(0.05)
        raise DemoFailed("pgcurfew serve ended")

    try:
        asyncio.run(until_open())
    except DemoFailed as error:
        raise DemoFailed(f"{error}:\n{log.read_text().strip()}") from None
    except TimeoutError:
        raise DemoFailed(f"pgcurfew serve does not listen:\n{log.read_text()}") from None


def _environment(config: Path) -> dict[str, str]:
    # Settings of the person's own must not reach into the demo.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PGCURFEW_")}
    return {**kept, "PGCURFEW_CONFIG": str(config)}


def find_port(preferred: int) -> int:
    """Return `preferred`, or any free port if somebody has it."""
    return preferred if is_free(preferred) else free_port()
