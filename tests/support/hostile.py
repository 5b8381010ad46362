"""A proxy for hostile clients: it takes plain connections too, has a rough link to its target, and
is watched for anything that stays behind."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from tests.support.raw_client import Account, RawClient, open_line
from tests.support.rough_link import RoughLink, rough_link
from tests.support.service import Service, run_service
from tests.support.stage import DEV, REVIEWER, Stage

# How long people have to get in. Out of reach, as a busy machine may take seconds for many at once;
# tests about that deadline shorten it.
STARTUP_TIMEOUT_S, HURRIED_S = 90.0, 3.0
BUSY_S = 20.0  # how late a busy machine may be
SETTLING_S = 40.0
# What a log must not hold, whatever came in.
FAULTS = (
    "Traceback",
    "a session failed",
    "serving a client failed",
    "never retrieved",
    "was destroyed but it is pending",
    "Exception in callback",
    "Fatal error on transport",
    "a worker ended",
)
# Who comes from here begins with a PROXY protocol header.
BALANCER = "127.0.0.9"
_AS_LONG_AS_CAN_BE = timedelta(hours=8)
_SHOWN = 5_000  # characters of a log
_SESSIONS = "SELECT count(*) FROM curfew.sessions WHERE ended_at IS NULL"


@dataclass(frozen=True, slots=True)
class HostileProxy:
    """`link` is between the proxy and its target."""

    service: Service
    link: RoughLink
    account: Account

    @property
    def port(self) -> int:
        return self.service.proxy_port

    @property
    def worker(self) -> int:
        (pid,) = self.service.workers()
        return pid

    @asynccontextmanager
    async def client(self) -> AsyncIterator[RawClient]:
        """A client that has logged in over a plain line."""
        async with open_line(self.port) as line:
            client = RawClient(line, self.account)
            async with asyncio.timeout(SETTLING_S):
                await client.log_in()
            yield client

    @asynccontextmanager
    async def unharmed(
        self, *, log_lines: int | None = None, more_descriptors: int = 0
    ) -> AsyncIterator[None]:
        """What happens inside must cost nobody else anything, and leave nothing behind: the worker
        lives on, a session goes on, sessions and descriptors return to where they were (but for
        `more_descriptors`), no fault is in the log, and at most `log_lines` more lines."""
        async with self.client() as witness:
            await self._until_settled(witness, descriptors=None)
            worker, descriptors, log = self.worker, self.descriptors(), len(self._log())
            yield
            assert self.worker == worker
            await self._until_settled(witness, descriptors + more_descriptors)
            written = self._log()[log:]
        for fault in FAULTS:
            before, found, after = written.partition(fault)
            assert not found, before[-500:] + found + after[:_SHOWN]
        if log_lines is not None:
            assert written.count("\n") <= log_lines, written[-_SHOWN:]

    @asynccontextmanager
    async def hurried(self, seconds: float = HURRIED_S, **changes: Any) -> AsyncIterator[None]:
        """Who comes meanwhile has so long to get in; `changes` are of the proxy's settings. Two
        lines in the log."""
        config = self.service.stage.config
        before = config.read_text()
        settings = yaml.safe_load(before)
        settings["proxy"] |= {"startup_timeout": f"{seconds:g}s", **changes}
        config.write_text(yaml.safe_dump(settings))
        await asyncio.to_thread(self.service.reload)
        try:
            yield
        finally:
            config.write_text(before)
            await asyncio.to_thread(self.service.reload)

    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.worker}/fd").iterdir())

    def memory_mb(self) -> float:
        """Return the resident set of the worker."""
        pages = int(Path(f"/proc/{self.worker}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1_048_576

    def _log(self) -> str:
        return self.service.log.read_text()

    async def _until_settled(self, witness: RawClient, descriptors: int | None) -> None:
        """Wait until nothing but the witness is left."""
        deadline = time.monotonic() + SETTLING_S
        while True:
            rows = await witness.query("SELECT 1")
            assert [row.kind for row in rows] == [b"T", b"D", b"C", b"Z"]
            sessions = await self.service.stage.query_ledger(_SESSIONS)
            now = self.descriptors()
            if sessions == 1 and (descriptors is None or now <= descriptors):
                return
            left = f"{sessions} sessions, {now} descriptors; before: {descriptors}"
            assert time.monotonic() < deadline, f"{left}\n{self._log()[-_SHOWN:]}"
            await asyncio.sleep(0.1)


@contextmanager
def run_hostile_proxy(stage: Stage, *, ledger_port: int | None = None) -> Iterator[HostileProxy]:
    """The ledger may be reached through another port."""
    target = stage.settings()["targets"]["orders"]
    with rough_link(target["host"], target["port"]) as link:
        roles = {name: {"connection_limit": 150} for name in target["roles"]}
        settings = {
            "tls": {"required": False},
            "startup_timeout": f"{STARTUP_TIMEOUT_S:g}s",
            "behind": [f"{BALANCER}/32"],
            "limits": {"half_open": 2000, "half_open_per_address": 2000},
            "throttle": {"failures": 100_000, "window": "1s", "ban": "1s"},
        }
        ledger = stage.settings()["ledger"]
        ledger["port"] = ledger_port or ledger["port"]
        targets = {"orders": {**target, "port": link.port, "roles": roles}}
        with (
            run_service(
                stage, (DEV, REVIEWER), proxy=settings, targets=targets, ledger=ledger
            ) as service,
            # In a thread, because a test's own event loop may be running here.
            ThreadPoolExecutor(1) as apart,
        ):
            yield apart.submit(asyncio.run, _prepare(service, link)).result()


async def _prepare(service: Service, link: RoughLink) -> HostileProxy:
    access = (await service.get_access(duration=_AS_LONG_AS_CAN_BE)).credential
    account = Account(access.user, access.password, access.dbname)
    proxy = HostileProxy(service, link, account)
    await _warm_up(proxy)
    return proxy


async def _warm_up(proxy: HostileProxy) -> None:
    """Let the worker open all the connections to the ledger that it will ever keep."""

    async def come_and_go() -> None:
        async with proxy.client():
            await asyncio.sleep(0.2)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(16):
            tasks.create_task(come_and_go())
