"""How access ends, and does not end, as people see it: in psql, on the command line."""

import asyncio
import json
import subprocess
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from api.client import ApiError
from tests.support.command_line import run_pgcurfew
from tests.support.service import Service
from tests.support.stage import DEV, REVIEWER

pytestmark = pytest.mark.newest  # about our own words

SHORT = timedelta(seconds=4)


def run(service: Service, email: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return run_pgcurfew(service.environment(email), *arguments)


async def test_an_extension_reaches_open_sessions_and_postgresql(service: Service) -> None:
    """The session was to end after a few seconds; it goes on, without having reconnected."""
    access = await service.get_access(duration=SHORT)
    with access.connect() as session:
        pid = session.info.backend_pid
        async with service.client(REVIEWER) as reviewer:
            extended = await reviewer.extend(
                access.grant.id, duration=timedelta(minutes=10), reason="still at it"
            )
        assert extended.given.expires_at == access.grant.expires_at + timedelta(minutes=10)
        beyond = access.grant.expires_at - datetime.now(UTC) + timedelta(seconds=1.5)
        await asyncio.sleep(beyond.total_seconds())  # it is about the passing of time
        assert session.execute("SELECT 1").fetchone() == (1,)
        assert session.info.backend_pid == pid
    with access.connect() as another:  # PostgreSQL's own curfew has moved too
        assert another.execute("SELECT 1").fetchone() == (1,)


async def test_without_an_extension_the_same_session_ends(service: Service) -> None:
    access = await service.get_access(duration=SHORT)
    with access.connect() as session, pytest.raises(psycopg.OperationalError, match="expired at"):
        session.execute("SELECT pg_sleep(30)")


async def test_a_whole_story_is_shown_with_its_receipt(service: Service) -> None:
    access = await service.get_access("orders_owner")
    with access.connect() as session:
        session.execute("CREATE TABLE shop.left_behind (id int)")
    grant = access.grant.id
    early = run(service, DEV, "show", grant)
    assert "Receipt" not in early.stdout
    assert run(service, DEV, "relinquish", grant).returncode == 0
    shown = run(service, DEV, "show", grant)
    assert "! added table shop.left_behind (owner orders_owner): flagged" in shown.stdout
    assert "proved" in shown.stdout
    for claim in ("the login is gone", "no session of it", "no proxy has a session of it"):
        assert f"✓ {claim}" in shown.stdout
    told = json.loads(run(service, DEV, "show", grant, "--json").stdout)
    assert told["receipt"]["receipt"]["proved"] is True
    assert told["findings"][0]["kind"] == "object"


async def test_the_person_asks_for_more_time_and_an_approver_gives_it(service: Service) -> None:
    access = await service.get_access()
    asked = run(service, DEV, "extend", access.grant.id, "--for", "10m")
    assert asked.returncode == 0
    assert "Approvers: group dba" in asked.stdout
    done = run(service, REVIEWER, "extend", access.grant.id, "--for", "10m", "--reason", "more")
    assert done.returncode == 0
    assert "active" in done.stdout


async def test_alarms_are_listed_for_approvers_only(service: Service) -> None:
    stranger = f"jit_alarming_{service.stage.target_database}"
    await service.stage.query(f"CREATE ROLE {stranger}")
    try:
        async with service.stage.broker() as broker:  # the reaper looks only once a minute
            await broker.reconciliation.reconcile(broker.context.targets["orders"])
        assert stranger in run(service, REVIEWER, "alarms").stdout
        assert run(service, DEV, "alarms").stdout.strip() == "Alarms: none"
        async with service.client(REVIEWER) as reviewer, service.client(DEV) as dev:
            alarms = (await reviewer.list_alarms()).items
            (ours,) = [each for each in alarms if stranger in each.message]
            with pytest.raises(ApiError) as refused:
                await dev.acknowledge_alarm(ours.id)
            assert refused.value.status == 404
        assert run(service, REVIEWER, "acknowledge", ours.id).returncode == 0
        assert ours.id not in run(service, REVIEWER, "alarms").stdout
        assert ours.id in run(service, REVIEWER, "alarms", "--all").stdout
    finally:
        await service.stage.query(f"DROP ROLE {stranger}")


async def test_an_operator_verifies_the_receipts(service: Service) -> None:
    access = await service.get_access()
    assert run(service, DEV, "relinquish", access.grant.id).returncode == 0
    environment = {**service.environment(DEV), "PGCURFEW_CONFIG": str(service.stage.config)}
    done = run_pgcurfew(environment, "audit", "verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("The record holds.\n")
