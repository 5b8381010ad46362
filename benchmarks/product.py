"""pgcurfew over one PostgreSQL that keeps what it is told (fsync is on), reached over HTTP.

All of it listens on loopback, lives in one temporary folder, and is gone at the end.
"""

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import asyncpg
import yaml
from cluster import make_roles
from errors import CannotMeasure
from ports import wait_for_listeners

from api.client import Client, open_client
from api.demo.site import (
    REQUESTER,
    REVIEWER,
    connect_superuser,
    make_token,
    run_pgcurfew,
    run_service,
)
from api.schemas import CredentialView, GrantView
from broker.embedded import EmbeddedServer, free_port, run_embedded

TARGET = DATABASE = "bench"
LEDGER = "curfew"
ROLE = "bench_reader"
ADMIN_ROLE = "curfew_admin"
BROKER_LOGIN = "curfew_broker_1"
PROXY_LOGIN = "curfew_proxy"
_SERVICE_LOGINS = (LEDGER, PROXY_LOGIN, BROKER_LOGIN)
_SERVER_SETTINGS = ("max_connections=200", "shared_buffers=256MB", "max_wal_size=8GB")
_CONNECTION_LIMIT = 50
_DURATION = timedelta(hours=8)
_PATIENCE_S = 30.0
_POLL_S = 0.005

DEBIAN_BINARIES = Path("/usr/lib/postgresql/15/bin")  # unlike the embedded ones, with TLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A PostgreSQL with the benchmarks' roles and databases."""

    home: Path
    postgresql: EmbeddedServer
    passwords: Mapping[str, str] = field(repr=False)
    version: str

    @asynccontextmanager
    async def superuser(
        self, database: str = DATABASE
    ) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        db = await connect_superuser(self.postgresql, database)
        try:
            yield db
        finally:
            await db.close()

    @asynccontextmanager
    async def admin(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """Connect to the target as the broker does: its own login, acting as the admin role."""
        db = await asyncpg.connect(
            host=self.postgresql.host,
            port=self.postgresql.port,
            user=BROKER_LOGIN,
            password=self.passwords[BROKER_LOGIN],
            database=DATABASE,
            ssl=False,
        )
        try:
            await db.execute(f"SET ROLE {ADMIN_ROLE}")
            yield db
        finally:
            await db.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A running pgcurfew, whose ledger and target are `server`."""

    server: Server
    api_url: str
    proxy_port: int
    requester_token: str = field(repr=False)
    reviewer_token: str = field(repr=False)

    @asynccontextmanager
    async def people(self) -> AsyncIterator["People"]:
        async with (
            open_client(self.api_url, self.requester_token) as requester,
            open_client(self.api_url, self.reviewer_token) as reviewer,
        ):
            yield People(requester, reviewer)


@dataclass(frozen=True, slots=True)
class People:
    """Somebody who asks, and somebody who approves."""

    requester: Client
    reviewer: Client

    async def ask(self) -> str:
        """Make a request and return its id."""
        asked = await self.requester.request(
            TARGET, ROLE, duration=_DURATION, reason="a benchmark of many"
        )
        return asked.id

    async def issue(self, request_id: str) -> tuple[GrantView, CredentialView]:
        """Approve the request and take the secret."""
        grant = (await self.reviewer.approve(request_id)).given
        async with asyncio.timeout(_PATIENCE_S):
            while grant.state == "provisioning":  # the reaper was quicker, and is not done
                await asyncio.sleep(_POLL_S)
                grant = await self.requester.get_grant(grant.id)
        if grant.state != "active":
            raise CannotMeasure(f"the grant is {grant.state}: {grant.last_error}")
        return grant, await self.requester.hand_out(grant.id)

    async def give_back(self, grant_id: str) -> None:
        """Relinquish, and wait until the login is gone and the receipt written."""
        grant = await self.requester.relinquish(grant_id)
        async with asyncio.timeout(_PATIENCE_S):
            while grant.state != "ended":
                await asyncio.sleep(_POLL_S)
                grant = await self.requester.get_grant(grant_id)


@contextmanager
def run_server(binaries: Path) -> Iterator[Server]:
    """Raises EmbeddedError."""
    home = Path(tempfile.mkdtemp(prefix="pgcurfew-bench-")).resolve()
    try:
        home.chmod(0o711)
        folder = home / "postgresql"
        folder.mkdir(mode=0o700)
        with run_embedded(folder, binaries=binaries, settings=_SERVER_SETTINGS) as postgresql:
            passwords = {name: secrets.token_urlsafe(24) for name in _SERVICE_LOGINS}
            asyncio.run(make_roles(postgresql, passwords, secrets.token_urlsafe(24)))
            version = asyncio.run(_fetch_version(postgresql))
            try:
                yield Server(home=home, postgresql=postgresql, passwords=passwords, version=version)
            finally:
                asyncio.run(_stop_caring(postgresql))
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def run_product(binaries: Path) -> Iterator[Product]:
    """Run pgcurfew with one proxy worker. Raises DemoFailed or EmbeddedError."""
    with run_server(binaries) as server:
        proxy_port, api_port = free_port(), free_port()
        config = set_up(server, proxy_port, api_port)
        requester, reviewer = (make_token(config, who) for who in (REQUESTER, REVIEWER))
        with run_service(config, server.home / "pgcurfew.log", proxy_port, api_port):
            wait_for_listeners(proxy_port, 1)
            yield Product(
                server=server,
                api_url=f"http://127.0.0.1:{api_port}",
                proxy_port=proxy_port,
                requester_token=requester,
                reviewer_token=reviewer,
            )


def set_up(server: Server, proxy_port: int, api_port: int) -> Path:
    """Make a ledger that is ready, and return the settings of a pgcurfew over it."""
    config = _write_settings(server, proxy_port, api_port)
    run_pgcurfew(config, "migrate")
    return config


def _write_settings(server: Server, proxy_port: int, api_port: int) -> Path:
    keys = {**server.passwords, "proxy-key": secrets.token_hex(32)}
    for name, secret in keys.items():
        path = server.home / name
        path.touch(mode=0o600)
        path.write_text(secret)
    address = {
        "host": server.postgresql.host,
        "port": server.postgresql.port,
        "tls": {"mode": "disable"},
    }
    settings = {
        "state_dir": "state",
        "ledger": {
            **address,
            "database": LEDGER,
            "user": LEDGER,
            "password": f"file:{LEDGER}",
            "proxy": {"user": PROXY_LOGIN, "password": f"file:{PROXY_LOGIN}"},
        },
        "keys": {"current": "k1", "proxy_keys": {"k1": "file:proxy-key"}},
        "targets": {
            TARGET: {
                **address,
                "database": DATABASE,
                "admin": {
                    "user": BROKER_LOGIN,
                    "password": f"file:{BROKER_LOGIN}",
                    "role": ADMIN_ROLE,
                },
                "roles": {ROLE: {"connection_limit": _CONNECTION_LIMIT}},
            }
        },
        "proxy": {"listen": f"127.0.0.1:{proxy_port}", "workers": 1},
        "api": {"listen": f"127.0.0.1:{api_port}", "rate_limit": {"per_minute": 0}},
        "identity": {
            "people": [{"email": REQUESTER}, {"email": REVIEWER, "groups": ["dba"]}],
            "operators": {"people": [REVIEWER]},
        },
        "policies": {"file": "policies.yaml"},
    }
    config = server.home / "pgcurfew.yaml"
    config.write_text(yaml.safe_dump(settings))
    (server.home / "policies.yaml").write_text(yaml.safe_dump(_POLICIES))
    return config


_POLICIES = {
    "approvers": {"groups": ["dba"]},
    "policies": [
        {
            "name": "bench",
            "requesters": {"anyone": True},
            "resources": [{"target": TARGET, "role": ROLE}],
            "max_duration": "8h",
        }
    ],
}


async def _stop_caring(postgresql: EmbeddedServer) -> None:
    """Nobody needs the data any more: let the server stop without waiting for a busy disk."""
    db = await connect_superuser(postgresql, "postgres")
    try:
        await db.execute("ALTER SYSTEM SET fsync = off")
        await db.execute("SELECT pg_reload_conf()")
    finally:
        await db.close()


async def _fetch_version(postgresql: EmbeddedServer) -> str:
    db = await connect_superuser(postgresql, "postgres")
    try:
        return str(await db.fetchval("SELECT current_setting('server_version')"))
    finally:
        await db.close()
