"""A running `pgcurfew serve` over a stage: real processes, reached as people reach them."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg

from api.client import Client, open_client
from api.schemas import CredentialView, GrantView
from tests.support.people import HOUR
from tests.support.ports import free_port
from tests.support.stage import DEV, REVIEWER, Stage

PATIENCE_S = 40.0


@dataclass(frozen=True, slots=True)
class Access:
    """A grant and its secret, as a person holds them."""

    grant: GrantView
    credential: CredentialView
    root: Path

    @property
    def parameters(self) -> dict[str, str]:
        """Return libpq's connection parameters."""
        return {
            "host": self.credential.host,
            "port": str(self.credential.port),
            "user": self.credential.user,
            "password": self.credential.password,
            "dbname": self.credential.dbname,
            "sslmode": "verify-full",
            "sslrootcert": str(self.root),
            "connect_timeout": "10",
        }

    def connect(self, **overrides: str) -> "psycopg.Connection[tuple[Any, ...]]":
        """Connect with psycopg and its own libpq."""
        parameters = {**self.parameters, **overrides}
        return psycopg.connect(**parameters, autocommit=True)  # type: ignore[arg-type]

    def psql(self, *arguments: str, **overrides: str) -> "subprocess.CompletedProcess[str]":
        """Run the machine's psql."""
        return subprocess.run(
            ["psql", "-X", "-A", "-t", *arguments],
            env={**os.environ, **self.environment(**overrides)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def environment(self, **overrides: str) -> dict[str, str]:
        names = {"dbname": "PGDATABASE", "connect_timeout": "PGCONNECT_TIMEOUT"}
        return {
            names.get(name, f"PG{name.upper()}"): value
            for name, value in {**self.parameters, **overrides}.items()
        }


@dataclass(frozen=True, slots=True)
class Service:
    """`process` is `pgcurfew serve`; its children are the proxy's supervisor and workers."""

    stage: Stage
    process: "subprocess.Popen[bytes]"
    api_url: str
    proxy_port: int
    tokens: dict[str, str]
    log: Path

    @asynccontextmanager
    async def client(self, email: str) -> AsyncIterator[Client]:
        async with open_client(self.api_url, self.tokens[email]) as client:
            yield client

    async def get_access(
        self,
        role: str = "orders_reader",
        *,
        duration: timedelta = HOUR,
        email: str = DEV,
        reason: str = "a test",
    ) -> Access:
        """Ask, have it approved, and take the secret."""
        async with self.client(email) as dev, self.client(REVIEWER) as reviewer:
            asked = await dev.request("orders", role, duration=duration, reason=reason)
            grant = (await reviewer.approve(asked.id)).given
            assert grant.state == "active", grant.last_error
            return self.access_of(grant, await dev.hand_out(grant.id))

    def access_of(self, grant: GrantView, credential: CredentialView) -> Access:
        root = self.stage.folder / "client-root.pem"
        root.write_text(credential.root_certificate)
        return Access(grant, credential, root)

    def environment(self, email: str) -> dict[str, str]:
        """Return the environment of a person's shell."""
        return {
            **clean_environment(),
            "PGCURFEW_URL": self.api_url,
            "PGCURFEW_TOKEN": self.tokens[email],
            "HOME": str(self.stage.folder),
            "COLUMNS": "200",
        }

    async def until_a_backend_runs(
        self, sql: str, client: "asyncio.Future[Any] | Future[Any] | None" = None
    ) -> None:
        """Wait until the target says that it is running exactly this statement, which `client`
        runs: if that fails, so does this, with its reason."""
        running = "SELECT count(*) FROM pg_stat_activity WHERE query = $1 AND state = 'active'"
        async with asyncio.timeout(PATIENCE_S):
            while not await self.stage.query(running, sql):
                if client is not None and client.done():
                    raise AssertionError(f"{sql} is over: {client.result()}")
                await asyncio.sleep(0.02)

    def reload(self, sign: str = "took up the new settings") -> None:
        """Let the proxies read their settings again, and wait until one has said so."""
        before = self.log.read_text().count(sign)
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.log.read_text().count(sign) > before)

    def proxy_answers(self) -> bool:
        return is_open(self.proxy_port)

    def kill(self, pid: int) -> None:
        assert pid in self.workers()
        os.kill(pid, signal.SIGKILL)

    def workers(self) -> list[int]:
        """Return the pids of the proxy's workers."""
        return self._proxies("worker")

    def shippers(self) -> list[int]:
        """Return the pid of what takes statements from the proxy to the ledger, if it runs."""
        return self._proxies("ship")

    def _proxies(self, which: str) -> list[int]:
        everybody = [pid for child in children(self.process.pid) for pid in children(child)]
        return [pid for pid in everybody if which in command_line(pid)]


@contextmanager
def run_service(stage: Stage, people: tuple[str, ...], **changes: Any) -> Iterator[Service]:
    """Run `pgcurfew serve` with the stage's settings and `changes` of sections."""
    listen = changes.get("api", {}).get("listen", "")
    api_port, proxy_port = int(listen.rpartition(":")[2] or free_port()), free_port()
    proxy = {
        "listen": f"127.0.0.1:{proxy_port}",
        "drain_timeout": "1s",
        "throttle": {"failures": 10_000},  # all tests come from one address
    }
    api = {"listen": f"127.0.0.1:{api_port}"}
    stage.write_settings(
        **{
            **changes,
            "api": {**api, **changes.get("api", {})},
            "proxy": {**proxy, **changes.get("proxy", {})},
        }
    )
    # In a thread, because a test's own event loop may be running here.
    with ThreadPoolExecutor(1) as apart:
        tokens = apart.submit(asyncio.run, _make_tokens(stage, people)).result()
    log = stage.folder / "service.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "api", "serve"],
            env={**clean_environment(), "PGCURFEW_CONFIG": str(stage.config)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(lambda: is_open(api_port) and is_open(proxy_port), process, log)
        yield Service(stage, process, f"http://127.0.0.1:{api_port}", proxy_port, tokens, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


async def _make_tokens(stage: Stage, people: tuple[str, ...]) -> dict[str, str]:
    async with stage.broker() as broker:
        return {
            email: (
                await broker.tokens.create(
                    email, label="test", lifetime=None, actor="operator:test"
                )
            ).secret
            for email in people
        }


def clean_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def is_open(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def wait_for(
    condition: Callable[[], object],
    process: "subprocess.Popen[bytes] | None" = None,
    log: Path | None = None,
) -> None:
    """Look again and again until the condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        said = log.read_text() if log else ""
        assert process is None or process.poll() is None, f"it ended:\n{said}"
        assert time.monotonic() < deadline, f"it never happened:\n{said}"
        time.sleep(0.02)


def command_line(pid: int) -> list[str]:
    """Return the words of a process's command; none if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]
