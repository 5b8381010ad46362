"""The ledger's whole server is killed again and again while a proxy ships to it."""

import asyncio
import random
from pathlib import Path

import pytest

from broker.embedded import EmbeddedServer, _Place, _run, _settle, run_embedded
from tests.integration.test_shipping import check_all_there, long_history, write_history
from tests.support.servers import Source, find_local_binaries, new_home, server_of
from tests.support.shipping import ship
from tests.support.stage import Stage, prepare

pytestmark = pytest.mark.newest

_CRASHES = 4
_SETTINGS = ("max_connections=50",)  # and fsync, which other tests do without


def _crash(place: _Place) -> None:
    """End every process of it at once, in the middle of anything: its start is a recovery."""
    control = [str(place.binaries / "pg_ctl"), "-D", str(place.data), "-w", "-t", "60"]
    _run([*control, "-m", "immediate", "stop"], place)


def _start_again(place: _Place, server: EmbeddedServer) -> None:
    options = " ".join(
        [
            f"-p {server.port} -h {server.host} -c unix_socket_directories=",
            *(f"-c {setting}" for setting in _SETTINGS),
        ]
    )
    control = [str(place.binaries / "pg_ctl"), "-D", str(place.data), "-w", "-t", "60"]
    _run([*control, "-l", str(place.log), "-o", options, "start"], place)


async def test_a_ledger_that_is_killed_again_and_again_has_everything_once(
    source: Source, tmp_path: Path
) -> None:
    binaries = source.binaries or find_local_binaries().get(source.major)
    if binaries is None:
        pytest.skip("needs a server of its own to kill")
    records = long_history(20_000)
    folder = tmp_path / "spool"
    write_history(folder, records)
    chance = random.Random(10)  # noqa: S311
    with new_home(source.major) as home:
        place = _settle(home, binaries)
        with run_embedded(home, binaries=binaries, settings=_SETTINGS) as running:
            server = server_of(running, source.major)
            await prepare(server)
            stage = Stage(server, "ledger_template", "target_template", tmp_path)
            crashes = 0
            async with asyncio.TaskGroup() as tasks:
                shipping = tasks.create_task(ship(folder, stage.ledger_login("curfew_proxy")))
                while not shipping.done():
                    await asyncio.sleep(chance.uniform(0.02, 0.3))
                    if crashes < _CRASHES and not shipping.done():
                        crashes += 1
                        await asyncio.to_thread(_crash, place)
                        await asyncio.to_thread(_start_again, place, running)
            assert crashes == _CRASHES
            await check_all_there(stage, records)
