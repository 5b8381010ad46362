"""Sessions on a standby are ended too, and a standby that cannot be asked holds the removal up."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from broker.domain.grant import GrantState
from broker.service.broker import Broker
from broker.service.grants import GrantDetails
from tests.integration.test_removal import open_alarms, retry
from tests.support.people import get_grant, get_person
from tests.support.servers import Server, Source
from tests.support.stage import DEV, PASSWORD, Stage, prepare, set_up
from tests.support.standby import run_with_standby


@pytest.fixture(scope="module")
def pair(source: Source) -> Iterator[tuple[Server, Server]]:
    with run_with_standby(source) as both:
        yield both


@pytest.fixture
async def stage_with_standby(
    pair: tuple[Server, Server], tmp_path: Path
) -> AsyncIterator[tuple[Stage, Server]]:
    primary, standby = pair
    await prepare(primary)
    async with set_up(primary, tmp_path) as stage:
        _write(stage, [{"host": standby.host, "port": standby.port}])
        while not await _has_replayed(standby, stage.target_database):
            await asyncio.sleep(0.02)
        yield stage, standby


async def _has_replayed(standby: Server, database: str) -> bool:
    db = await standby.connect()
    try:
        found = await db.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", database)
        return bool(found)
    finally:
        await db.close()


def _write(stage: Stage, standbys: list[dict[str, Any]]) -> None:
    orders = stage.settings()["targets"]["orders"]
    stage.write_settings(targets={"orders": {**orders, "standbys": standbys}})


async def _session_on(
    standby: Server, stage: Stage, login: str | None
) -> "asyncpg.Connection[Any]":
    await stage.query(f"""ALTER ROLE "{login}" PASSWORD '{PASSWORD}'""")
    while True:  # until the standby has replayed it
        try:
            return await standby.connect(stage.target_database, user=login, password=PASSWORD)
        except asyncpg.PostgresError:
            continue


async def _give_back(broker: Broker, details: GrantDetails) -> GrantDetails:
    return await broker.relinquish(details.grant.id, await get_person(broker, DEV))


async def test_a_session_on_a_standby_ends_with_its_grant(
    stage_with_standby: tuple[Stage, Server],
) -> None:
    """The primary does not even see it. Its open transaction would hold up what is replayed."""
    stage, standby = stage_with_standby
    async with stage.broker() as broker:
        details = await get_grant(broker)
        session = await _session_on(standby, stage, details.login)
        await session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        assert await session.fetchval("SELECT count(*) FROM shop.orders") == 100
        ended = await _give_back(broker, details)
        receipt = await broker.grants.get_receipt(details.grant.id, await get_person(broker, DEV))
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await session.fetchval("SELECT count(*) FROM shop.orders")
    assert ended.grant.state is GrantState.ENDED
    assert receipt.facts["sessions_ended"] == 1
    where = f"standby {standby.host}:{standby.port}: no session of it"
    assert [line["count"] for line in receipt.facts["lines"] if line["claim"] == where] == [0]


async def test_a_standby_out_of_reach_holds_the_removal_up_until_it_is_back(
    stage_with_standby: tuple[Stage, Server],
) -> None:
    stage, standby = stage_with_standby
    _write(stage, [{"host": standby.host, "port": 1}])
    async with stage.broker() as broker:
        details = await get_grant(broker)
        held = await _give_back(broker, details)
        (alarm,) = await open_alarms(stage)
    assert held.grant.state is GrantState.QUARANTINED
    assert f"standby {standby.host}:1 cannot be reached" in alarm
    _write(stage, [{"host": standby.host, "port": standby.port}])
    async with stage.broker() as broker:
        ended = await retry(broker, details)
    assert ended.grant.state is GrantState.ENDED
    assert await open_alarms(stage) == []
