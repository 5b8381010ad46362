"""A ledger that takes nothing for too long: nobody new comes in, sessions wait, nothing is lost,
and all goes on by itself when it takes again."""

import asyncio
import json
import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.support.service import PATIENCE_S, Service, run_service, wait_for
from tests.support.stage import DEV, REVIEWER, Stage

pytestmark = pytest.mark.newest

LONG = "x" * 900_000
SMALLEST = {"spool": {"limit": "64MB", "segment": "16MB", "refuse_at": 50}}


class _Writer(threading.Thread):
    """Sends long statements, numbered, until it has sent enough."""

    def __init__(self, session: "psycopg.Connection[tuple[object, ...]]", count: int) -> None:
        super().__init__()
        self._session = session
        self._count = count
        self.answered = 0

    def run(self) -> None:
        for number in range(self._count):
            self._session.execute(f"SELECT {number}, length('{LONG}')")
            self.answered += 1


@contextmanager
def _shipper_stopped(service: Service) -> Iterator[None]:
    wait_for(service.shippers)
    (pid,) = service.shippers()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _ready(service: Service) -> tuple[int, dict[str, object]]:
    try:
        with urllib.request.urlopen(f"{service.api_url}/readyz", timeout=10) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


async def test_sessions_wait_while_nothing_can_be_recorded(stage: Stage) -> None:
    with run_service(stage, (DEV, REVIEWER), audit=SMALLEST) as service:
        access = await service.get_access()
        with access.connect() as session:
            writer = _Writer(session, 100)
            with _shipper_stopped(service):
                writer.start()
                await asyncio.to_thread(wait_for, lambda: _ready(service)[0] == 503)
                assert _ready(service)[1]["refusing"]
                with pytest.raises(psycopg.OperationalError, match="could not be recorded"):
                    access.connect()
                sign = (
                    "the spool of this proxy is full; no new sessions, and those that are open wait"
                )
                await asyncio.to_thread(wait_for, lambda: sign in service.log.read_text())
                assert writer.is_alive()
                assert writer.answered < 100
            await asyncio.to_thread(writer.join, PATIENCE_S)
            assert writer.answered == 100
        count = "SELECT count(*) FROM curfew.statements WHERE text LIKE 'SELECT %length%'"
        async with asyncio.timeout(PATIENCE_S):
            while await stage.query_ledger(count) < 100:
                await asyncio.sleep(0.1)
        await asyncio.to_thread(wait_for, lambda: _ready(service)[0] == 200)
        with access.connect() as session:
            assert session.execute("SELECT 1").fetchone() == (1,)


async def test_or_they_end_if_the_settings_say_so(stage: Stage) -> None:
    ending = {"spool": {**SMALLEST["spool"], "when_full": "end"}}
    with run_service(stage, (DEV, REVIEWER), audit=ending) as service:
        access = await service.get_access()
        with (
            access.connect() as session,
            _shipper_stopped(service),
            pytest.raises(psycopg.Error, match="could not be recorded any more"),
        ):
            _Writer(session, 100).run()
