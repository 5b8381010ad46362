"""The broker's own password on a target is replaced by the broker, without a gap."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from broker.service.broker import Broker
from broker.service.rotation import NotReplaceable
from broker.target.connect import Target
from broker.target.rotation import accepts
from tests.support.people import get_grant
from tests.support.stage import PASSWORD, Stage

pytestmark = pytest.mark.sample  # much the same on every major


@pytest.fixture
async def secret(stage: Stage) -> AsyncIterator[Path]:
    """The file with the admin password; the login has its usual one again afterwards."""
    path = stage.folder / "admin-password"
    path.write_text(PASSWORD)
    _write(stage, password=f"file:{path.name}")
    yield path
    await stage.query(f"ALTER ROLE curfew_broker_1 PASSWORD '{PASSWORD}'")


def _write(stage: Stage, **admin: str) -> None:
    orders = stage.settings()["targets"]["orders"]
    stage.write_settings(targets={"orders": {**orders, "admin": {**orders["admin"], **admin}}})


def _target(broker: Broker) -> Target:
    return broker.context.targets["orders"]


async def _logs_in(stage: Stage, password: str) -> bool:
    try:
        db = await stage.server.connect(
            stage.target_database, user="curfew_broker_1", password=password
        )
    except asyncpg.InvalidPasswordError:
        return False
    await db.close()
    return True


async def test_the_new_password_works_and_the_old_one_is_dead(stage: Stage, secret: Path) -> None:
    async with stage.broker() as broker:
        await broker.rotation.rotate(_target(broker))
        new = secret.read_text()
        assert new != PASSWORD
        assert await _logs_in(stage, new)
        assert not await _logs_in(stage, PASSWORD)
        assert (await get_grant(broker)).login is not None
    assert oct(secret.stat().st_mode & 0o777) == "0o600"
    assert [path.name for path in secret.parent.glob("admin-password*")] == ["admin-password"]
    rotated = await stage.query_ledger(
        "SELECT data FROM curfew.audit_events WHERE kind = 'admin.rotated'"
    )
    assert new not in rotated


async def test_there_is_no_gap_while_passwords_change(stage: Stage, secret: Path) -> None:
    """Fresh connections all the while, from another broker too, during ten rotations."""
    failures: list[BaseException] = []
    opened = 0
    async with stage.broker() as broker, stage.broker() as other:
        done = asyncio.Event()

        async def connect_all_the_time(target: Target) -> None:
            nonlocal opened
            while not done.is_set():
                try:
                    async with target.admin_at(target.address) as db:
                        await db.execute("SELECT 1")
                    opened += 1
                except Exception as error:
                    failures.append(error)

        async with asyncio.TaskGroup() as tasks:
            for each in (broker, other):
                tasks.create_task(connect_all_the_time(_target(each)))
            for _ in range(10):
                await broker.rotation.rotate(_target(broker))
            done.set()
    assert failures == []
    assert opened > 20


async def test_a_password_that_is_old_enough_is_rotated_on_schedule(
    stage: Stage, secret: Path
) -> None:
    _write(stage, password=f"file:{secret.name}", rotate_every="30d")
    async with stage.broker() as broker:
        await broker.rotation.rotate_if_due(_target(broker))
        assert secret.read_text() == PASSWORD
        a_month_ago = time.time() - 31 * 86400
        os.utime(secret, (a_month_ago, a_month_ago))
        await broker.rotation.rotate_if_due(_target(broker))
        new = secret.read_text()
        assert new != PASSWORD
        await broker.rotation.rotate_if_due(_target(broker))
    assert secret.read_text() == new


@pytest.mark.parametrize("target_knows", [True, False])
async def test_a_crash_in_the_middle_leaves_a_password_that_works(
    stage: Stage, secret: Path, *, target_knows: bool
) -> None:
    """The next password lies beside the old one; the target knows it already, or not yet."""
    secret.with_name("admin-password.next").write_text("the next one")
    if target_knows:
        await stage.query("ALTER ROLE curfew_broker_1 PASSWORD 'the next one'")
    async with stage.broker() as broker:
        assert (await get_grant(broker)).login is not None
        await broker.rotation.rotate(_target(broker))
        assert await accepts(_target(broker), secret.read_text())
        assert not await accepts(_target(broker), "the next one")
    assert not secret.with_name("admin-password.next").exists()


async def test_a_password_in_the_environment_is_not_replaceable(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_ADMIN_PASSWORD", PASSWORD)
    _write(stage, password="env:ORDERS_ADMIN_PASSWORD")
    async with stage.broker() as broker:
        with pytest.raises(NotReplaceable, match=r"admin\.password: file:secrets/orders-admin"):
            await broker.rotation.rotate(_target(broker))


async def test_no_password_reaches_the_server_log(stage: Stage, secret: Path) -> None:
    if stage.server.log is None:
        pytest.skip("this server's log is out of our reach")
    for setting in ("log_statement = 'all'", "log_min_duration_statement = 0"):
        await stage.query(f"ALTER ROLE curfew_broker_1 SET {setting}")
    try:
        async with stage.broker() as broker:
            await broker.rotation.rotate(_target(broker))
    finally:
        await stage.query("ALTER ROLE curfew_broker_1 RESET ALL")
    log = stage.server.log.read_text()
    verifier = await stage.query(
        "SELECT rolpassword FROM pg_authid WHERE rolname = 'curfew_broker_1'"
    )
    assert "COPY" in log, "the log was not what we think it is"
    assert verifier.rpartition("$")[2] not in log
    assert secret.read_text() not in log
