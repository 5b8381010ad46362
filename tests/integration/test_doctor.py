"""`pgcurfew doctor`: take a right away, see it named, run the SQL that is offered, see it gone."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from broker.domain.doctor.finding import Finding, Severity
from broker.service.doctor import Checkup, Doctor
from tests.support.bootstrapped import Bare, bare_target
from tests.support.command_line import run_pgcurfew
from tests.support.people import get_grant
from tests.support.servers import Server, Source
from tests.support.service import clean_environment
from tests.support.stage import Stage, prepare, set_up
from tests.support.standby import run_with_standby


@pytest.fixture
async def bare(stage: Stage) -> AsyncIterator[Bare]:
    """A target that has just been prepared."""
    async with bare_target(stage) as ready:
        await ready.apply()
        ready.write_settings()
        yield ready


async def check(bare: Bare, **more: Any) -> Checkup:
    async with bare.stage.broker() as broker:
        return await Doctor(replace(broker.context, **more)).check("orders")


async def find(bare: Bare, code: str, **more: Any) -> list[Finding]:
    return [each for each in (await check(bare, **more)).findings if each.code == code]


async def mends(bare: Bare, code: str, severity: Severity) -> Finding:
    """See the finding, run its SQL as a superuser, see it gone."""
    (finding,) = await find(bare, code)
    assert finding.severity is severity
    assert finding.sql
    for statement in finding.sql:
        await bare.sql(statement)
    assert await find(bare, code) == []
    return finding


async def test_a_target_fresh_from_bootstrap_is_healthy(bare: Bare) -> None:
    checkup = await check(bare)
    assert checkup.is_usable
    assert checkup.server_version is not None
    risks = {each.code for each in checkup.findings if each.severity is Severity.RISK}
    # Where the server under test is somebody else's, its pg_hba.conf is too.
    assert risks - {"hba-trust", "hba-wide"} == (
        {"createrole"} if bare.stage.server.major < 16 else set()
    )


@pytest.mark.pg("<= 15")
async def test_a_restricted_target_is_healthy_without_createrole(bare: Bare) -> None:
    await bare.apply(restricted=True)
    bare.write_settings(admin={"restricted": True})
    checkup = await check(bare)
    assert checkup.is_usable
    assert "createrole" not in {each.code for each in checkup.findings}


BROKEN = [
    ("REVOKE TEMPORARY ON DATABASE {database} FROM {admin}", "no-temporary", "blocks"),
    ("REVOKE CONNECT ON DATABASE {database} FROM {login}", "no-connect", "blocks"),
    ("REVOKE {admin} FROM {login}", "no-admin-role", "blocks"),
    ("ALTER ROLE {admin} NOCREATEROLE", "no-createrole", "blocks"),
    ("ALTER ROLE {admin} SUPERUSER", "superuser", "risk"),
    ("ALTER ROLE {login} SUPERUSER", "superuser", "risk"),
    ("REVOKE pg_signal_backend FROM {admin}", "no-signal", "risk"),
    ("ALTER ROLE {reader} LOGIN", "role-login", "blocks"),
    ("REVOKE CONNECT ON DATABASE {database} FROM {reader}", "role-no-connect", "blocks"),
    ("GRANT CREATE ON SCHEMA public TO PUBLIC", "public-create", "risk"),
    ("ALTER ROLE {login} SET default_transaction_read_only = on", "read-only", "blocks"),
    (
        'CREATE FUNCTION shop."odd Name"(a text) RETURNS int LANGUAGE sql SECURITY DEFINER '
        "AS 'SELECT 1'",
        "public-definer",
        "risk",
    ),
    (
        "CREATE FUNCTION public.theirs() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        "ALTER FUNCTION public.theirs() OWNER TO {reader};"
        "CREATE EVENT TRIGGER theirs ON ddl_command_start EXECUTE FUNCTION public.theirs()",
        "event-trigger",
        "blocks",
    ),
    (
        "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() FROM {admin}",
        "hba-unreadable",
        "note",
    ),
]


@pytest.mark.sample
@pytest.mark.parametrize(("breaking", "code", "severity"), BROKEN)
async def test_what_is_broken_is_found_and_mended_by_the_sql_that_is_offered(
    bare: Bare, breaking: str, code: str, severity: str
) -> None:
    words = {
        "database": bare.stage.target_database,
        "admin": bare.admin,
        "login": bare.login,
        "reader": bare.reader,
    }
    for statement in breaking.format(**words).split(";"):
        await bare.sql(statement)
    await mends(bare, code, Severity(severity))
    assert (await check(bare)).is_usable


async def test_databases_that_are_open_to_everybody(bare: Bare) -> None:
    database = bare.stage.target_database
    await bare.sql(f"GRANT CONNECT ON DATABASE {database} TO PUBLIC")
    (finding,) = await find(bare, "public-connect")
    (ours,) = [each for each in finding.sql if f'"{database}"' in each]
    await bare.sql(ours)  # and not on the databases of other tests
    assert all(ours not in each.sql for each in await find(bare, "public-connect"))


async def test_a_role_that_may_not_be_granted(bare: Bare) -> None:
    await bare.sql(f"REVOKE {bare.reader} FROM {bare.admin}")
    if bare.stage.server.major >= 16:
        await mends(bare, "role-not-grantable", Severity.BLOCKS)
    else:
        finding = await mends(bare, "no-admin-option", Severity.NOTE)
        assert bare.reader in finding.sentence
    assert (await check(bare)).is_usable


@pytest.mark.pg("<= 15")
async def test_functions_that_may_not_be_called_or_are_missing(bare: Bare) -> None:
    bare.write_settings(admin={"restricted": True})
    (finding,) = await find(bare, "no-functions")
    assert "curfew.catalog_roles" in finding.sentence
    await bare.apply(restricted=True)
    assert await find(bare, "no-functions") == []
    await bare.sql(f"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA curfew FROM {bare.admin}")
    await mends(bare, "functions-forbidden", Severity.BLOCKS)
    await bare.sql(f"REVOKE ALL ON SCHEMA curfew FROM {bare.admin}")
    await mends(bare, "functions-forbidden", Severity.BLOCKS)
    assert (await check(bare)).is_usable


async def test_other_databases_that_logins_reach_and_the_broker_does_not(bare: Bare) -> None:
    other = f"{bare.stage.target_database}_too"
    await bare.sql(f"CREATE DATABASE {other}")
    try:
        await bare.sql(f"REVOKE ALL ON DATABASE {other} FROM PUBLIC")
        assert await find(bare, "no-connect") == [], "nobody gets there"
        await bare.sql(f"GRANT CONNECT ON DATABASE {other} TO {bare.reader}")
        finding = await mends(bare, "no-connect", Severity.BLOCKS)
        assert other in finding.sentence

        await bare.sql("CREATE ROLE jit_doctor_owner")
        connection = await bare.stage.server.connect(other)
        await connection.execute("CREATE SCHEMA theirs AUTHORIZATION jit_doctor_owner")
        await connection.close()
        await bare.sql(f"ALTER DATABASE {other} ALLOW_CONNECTIONS false")
        await mends(bare, "locked-database", Severity.BLOCKS)
    finally:
        await bare.sql(f"DROP DATABASE {other}")
        await bare.sql("DROP ROLE IF EXISTS jit_doctor_owner")


async def test_logins_that_nobody_knows(bare: Bare) -> None:
    async with bare.stage.broker() as broker:
        login = str((await get_grant(broker, bare.reader)).login)
    codes = {each.code for each in (await check(bare)).findings}
    assert not codes & {"unmarked-login", "leftover", "other-pgcurfew"}, "it is alive"

    mark = {"pgcurfew": bare.stage.installation, "grant": "grt_0000000000000000"}
    await bare.sql(f"COMMENT ON ROLE {login} IS '{json.dumps(mark)}'")
    (leftover,) = await find(bare, "leftover")
    assert login in leftover.sentence

    await bare.sql(f"COMMENT ON ROLE {login} IS '{json.dumps(mark | {'pgcurfew': 'x'})}'")
    (other,) = await find(bare, "other-pgcurfew")
    assert login in other.sentence

    await bare.sql(f"COMMENT ON ROLE {login} IS NULL")
    finding = await mends(bare, "unmarked-login", Severity.RISK)
    assert login in finding.sentence


async def test_people_whose_own_roles_cannot_be_used(bare: Bare) -> None:
    person = f"{bare.reader}_person"
    kinds = {bare.reader: {"kinds": ["login", "membership"]}, bare.owner: {}}
    people = [{"email": "dev@example.com", "personal_roles": {"orders": person}}]
    bare.write_settings()
    assert await find(bare, "no-personal-role") == []
    identity = {"people": people, "groups": ["dba"]}
    bare.write_settings(roles=kinds, sections={"identity": identity})
    try:
        await mends(bare, "no-personal-role", Severity.BLOCKS)
        await bare.sql(f"ALTER ROLE {person} NOLOGIN")
        await mends(bare, "personal-nologin", Severity.BLOCKS)
        await bare.sql(f"ALTER ROLE {person} SUPERUSER")
        await mends(bare, "personal-superuser", Severity.BLOCKS)
        await bare.sql(f"REVOKE pg_signal_backend FROM {bare.admin}")
        await mends(bare, "no-signal", Severity.BLOCKS)
    finally:
        await bare.sql(f"DROP ROLE IF EXISTS {person}")


async def test_md5_passwords_are_named(bare: Bare) -> None:
    await bare.sql(f"ALTER ROLE {bare.owner} PASSWORD 'md5{'0' * 32}'")
    (finding,) = await find(bare, "md5-passwords")
    assert bare.owner in finding.sentence
    await bare.sql(f"ALTER ROLE {bare.login} SET password_encryption = 'md5'")
    assert await find(bare, "password-encryption") != []
    await bare.sql("DROP FUNCTION curfew.password_marks()")
    assert await find(bare, "no-password-marks") != []


async def test_rules_of_pg_hba_conf_are_compared_with_where_proxies_are(bare: Bare) -> None:
    """Every server that tests run against lets 127.0.0.1 in, or the whole world."""
    rules = await bare.sql("SELECT count(*) FROM pg_hba_file_rules WHERE type <> 'local'")
    assert rules > 0
    world = tuple(ip_network(each) for each in ("0.0.0.0/0", "::/0"))
    assert await find(bare, "hba-wide", egress=world) == []


async def test_clocks_that_differ(bare: Bare) -> None:
    async with bare.stage.broker() as broker:
        for seconds, severity in ((-5, Severity.RISK), (5, Severity.RISK), (90, Severity.BLOCKS)):

            def skewed(by: int = seconds) -> datetime:
                return datetime.now(UTC) + timedelta(seconds=by)

            found = await Doctor(replace(broker.context, now=skewed)).check("orders")
            (clock,) = [each for each in found.findings if each.code == "clock"]
            assert clock.severity is severity


async def test_a_server_that_is_not_there_and_a_login_that_is_not_let_in(bare: Bare) -> None:
    bare.write_settings(port=1)
    (finding,) = (await check(bare)).findings
    assert finding.code == "unreachable"
    bare.write_settings()
    await bare.sql(f"ALTER ROLE {bare.login} PASSWORD NULL")
    (finding,) = (await check(bare)).findings
    assert finding.code == "login-refused"
    assert "password authentication failed" in finding.sentence
    bare.write_settings(database="nowhere")
    await bare.apply()
    (finding,) = (await check(bare)).findings
    assert "does not exist" in finding.sentence


async def test_standbys_are_asked_too(bare: Bare) -> None:
    server = bare.stage.server
    bare.write_settings(
        standbys=[
            {"host": server.host, "port": server.port},
            {"host": server.host, "port": 1},
        ]
    )
    (primary,) = await find(bare, "standby-is-primary")
    assert f"{server.host}:{server.port}" in primary.sentence
    (gone,) = await find(bare, "standby-unreachable")
    assert f"{server.host}:1" in gone.sentence
    assert not (await check(bare)).is_usable


def run(bare: Bare, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PGCURFEW_CONFIG": str(bare.stage.config), "COLUMNS": "80"}
    return run_pgcurfew({**clean_environment(), **environment}, "doctor", *arguments)


@pytest.mark.newest
async def test_the_command_for_people_and_for_programs(bare: Bare) -> None:
    healthy = await asyncio.to_thread(run, bare, "orders")
    assert (healthy.returncode, healthy.stderr) == (0, "")
    assert healthy.stdout.startswith(f"orders · {bare.stage.server.host}:")
    assert "Grants and removals work here." in healthy.stdout
    assert not [line for line in healthy.stdout.splitlines() if line != line.rstrip()]

    await bare.sql(f"REVOKE TEMPORARY ON DATABASE {bare.stage.target_database} FROM {bare.admin}")
    broken = await asyncio.to_thread(run, bare)
    assert broken.returncode == 1
    grant = f'GRANT TEMPORARY ON DATABASE "{bare.stage.target_database}" TO "{bare.admin}"'
    assert f"          {grant};\n" in broken.stdout, "it is never broken into lines"
    assert "Grants or removals would fail here. (1 thing blocks" in broken.stdout

    as_json = await asyncio.to_thread(run, bare, "--json")
    assert as_json.returncode == 1
    (checkup,) = json.loads(as_json.stdout)
    assert (checkup["target"], checkup["usable"]) == ("orders", False)
    assert checkup["server_version"] // 10000 == bare.stage.server.major
    assert checkup["findings"][0]["severity"] == "blocks"
    assert checkup["findings"][0]["code"] == "no-temporary"
    assert checkup["findings"][0]["sql"] == [grant]


@pytest.mark.newest
async def test_a_target_that_the_settings_lack(bare: Bare) -> None:
    nowhere = await asyncio.to_thread(run, bare, "nowhere")
    assert nowhere.returncode == 3
    assert "has no target nowhere; it has orders" in nowhere.stderr


@pytest.mark.newest
async def test_a_standby_that_follows_is_fine_and_one_that_is_not_named_is_a_risk(
    source: Source, tmp_path: Path
) -> None:
    with run_with_standby(source) as (primary, standby):
        await prepare(primary)
        async with set_up(primary, tmp_path) as stage, bare_target(stage) as bare:
            await bare.apply()
            bare.write_settings()
            (unnamed,) = await find(bare, "unnamed-standbys")
            assert unnamed.severity is Severity.RISK
            bare.write_settings(standbys=[{"host": standby.host, "port": standby.port}])
            await _has_replayed(primary, standby)
            checkup = await check(bare)
            assert checkup.is_usable
            assert not [each for each in checkup.findings if "standby" in each.code]

            # The standby by itself takes no grants.
            bare.write_settings(host=standby.host, port=standby.port)
            (blocks,) = await find(bare, "in-recovery")
            assert blocks.severity is Severity.BLOCKS


async def _has_replayed(primary: Server, standby: Server) -> None:
    on_primary, on_standby = await primary.connect(), await standby.connect()
    try:
        written = await on_primary.fetchval("SELECT pg_current_wal_lsn()::text")
        replayed = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
        async with asyncio.timeout(20):
            while not await on_standby.fetchval(replayed, written):
                await asyncio.sleep(0.05)
    finally:
        await on_primary.close()
        await on_standby.close()
