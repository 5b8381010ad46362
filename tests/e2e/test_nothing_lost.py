"""Whatever is killed and whenever: each statement that the target was given is in the ledger, once.
The target's own log says which those are."""

import asyncio
import contextlib
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import psycopg
import pytest

from tests.support.cable import Cable, lay_cable
from tests.support.service import PATIENCE_S, Access, Service, run_service, wait_for
from tests.support.stage import DEV, REVIEWER, Stage

pytestmark = pytest.mark.newest

PEOPLE = (DEV, REVIEWER)
CLIENTS = 4
_MARK = re.compile(r"(?:statement|execute [^:]+): (SELECT 'mark [0-9]+-[0-9]+')")
MOST_SPOOLS = 4  # of those that live
_LEAST = 200  # statements between two blows


class _Load:
    """Clients that send numbered statements, one after the other, and connect again when they are
    cut off."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._stopping = threading.Event()
        self.answered = Counter[int]()

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._client, args=(n,)) for n in range(CLIENTS)]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            self._stopping.set()
            for each in threads:
                each.join()

    async def until_it_flows(self) -> None:
        """Wait for some more answers."""
        wanted = self.answered.total() + _LEAST
        async with asyncio.timeout(PATIENCE_S):
            while self.answered.total() < wanted:
                await asyncio.sleep(0.02)

    def _client(self, number: int) -> None:
        sent = 0
        while not self._stopping.is_set():
            # Whatever cuts it off is what this test does to it.
            with contextlib.suppress(psycopg.Error), self._access.connect() as session:
                while not self._stopping.is_set():
                    sent += 1
                    # By turns with the simple and the extended protocol.
                    session.execute(f"SELECT 'mark {number}-{sent}'", prepare=sent % 2 == 0)
                    self.answered[number] += 1


async def test_nothing_is_lost_and_nothing_is_there_twice(stage: Stage) -> None:
    """Workers, the shipper, the ledger's connections and at last everything at once."""
    assert stage.server.log is not None
    before = stage.server.log.stat().st_size
    await stage.query(f"ALTER DATABASE {stage.target_database} SET log_statement = 'all'")
    with lay_cable(stage.server.host, stage.server.port) as cable:
        ledger = {**stage.settings()["ledger"], "port": cable.port}
        with run_service(stage, PEOPLE, ledger=ledger, proxy={"workers": 2}) as service:
            load = _Load(await service.get_access())
            with load.running():
                await _make_trouble(service, cable, load)
        with run_service(stage, PEOPLE, ledger=ledger) as service:
            logged = _logged(stage, before)
            await _until_all_is_there(stage, service.log, len(logged))
            recorded = await _recorded(stage)
    assert len(logged) >= 4 * _LEAST
    assert {mark for mark, times in logged.items() if times > 1} == set()
    assert {mark for mark, times in recorded.items() if times > 1} == set()
    assert set(logged) - set(recorded) == set()
    # What was on its way when its worker died is on record, and perhaps never arrived.
    assert len(set(recorded) - set(logged)) <= 6 * CLIENTS


async def _make_trouble(service: Service, cable: Cable, load: _Load) -> None:
    random = Random(6)  # noqa: S311  (which worker)
    for _ in range(2):
        await load.until_it_flows()
        _kill(random.choice(service.workers()))
        await asyncio.to_thread(wait_for, lambda: len(service.workers()) == 2)
        await asyncio.to_thread(wait_for, service.shippers)
        _kill(*service.shippers())
    await load.until_it_flows()
    cable.cut()
    _kill(random.choice(service.workers()))
    cable.mend()
    await load.until_it_flows()
    proxies = [*service.workers(), *service.shippers()]
    service.process.kill()
    _kill(*proxies)


def _kill(*pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it has just died by itself
            os.kill(pid, signal.SIGKILL)


def _logged(stage: Stage, since: int) -> Counter[str]:
    assert stage.server.log is not None
    with stage.server.log.open("rb") as log:
        log.seek(since)
        return Counter(_MARK.findall(log.read().decode(errors="replace")))


async def _until_all_is_there(stage: Stage, log: Path, at_least: int) -> None:
    """All spools are read to their ends, those of dead workers included."""
    sql = "SELECT count(*) FROM curfew.statements WHERE text LIKE 'SELECT ''mark %'"
    spool = stage.folder / "state" / "spool"
    deadline = time.monotonic() + PATIENCE_S
    while True:
        there, files = await stage.query_ledger(sql), sorted(spool.glob("*.spool"))
        if there >= at_least and len(files) <= MOST_SPOOLS:
            return
        left = [(each.name, each.stat().st_size) for each in files]
        assert time.monotonic() < deadline, f"{there} of {at_least}; {left}\n{log.read_text()}"
        await asyncio.sleep(0.1)


async def _recorded(stage: Stage) -> Counter[str]:
    sql = "SELECT array_agg(text) FROM curfew.statements WHERE text LIKE 'SELECT ''mark %'"
    return Counter(await stage.query_ledger(sql))
