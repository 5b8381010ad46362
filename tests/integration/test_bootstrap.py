"""`pgcurfew bootstrap` on real servers, by a superuser and by a master that is none."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from broker.domain.bootstrap.script import bootstrap_script
from broker.domain.errors import TargetRefused, TargetUnreachable
from broker.domain.grant import GrantState
from broker.target.bootstrap import Applied, NotADsn, NotNeeded, apply_bootstrap
from tests.support.bootstrapped import Bare, bare_target
from tests.support.command_line import run_pgcurfew
from tests.support.people import get_grant, get_person
from tests.support.service import clean_environment
from tests.support.stage import DEV, PASSWORD, Stage

_MARKS = "SELECT kind, mark FROM curfew.password_marks() WHERE role_name = $1"


@pytest.fixture
async def bare(stage: Stage) -> AsyncIterator[Bare]:
    async with bare_target(stage) as ready:
        yield ready


def done(applied: Applied) -> list[str]:
    return [each.text for each in applied.said if not each.warning]


def warnings(applied: Applied) -> list[str]:
    return [each.text for each in applied.said if each.warning]


async def live_and_end(bare: Bare, role: str) -> None:
    """Ask, approve, hand out, use, give back."""
    async with bare.stage.broker() as broker:
        details = await get_grant(broker, role)
        assert details.grant.state is GrantState.ACTIVE, details.grant.last_error
        dev = await get_person(broker, DEV)
        await broker.grants.hand_out(details.grant.id, dev, source=None)
        # What the login has made must be given away at the end.
        table = f"shop.{details.login}"
        if await bare.sql(f"SELECT has_schema_privilege('{details.login}', 'shop', 'CREATE')"):
            await bare.sql(f"CREATE TABLE {table} ()")
            await bare.sql(f"ALTER TABLE {table} OWNER TO {details.login}")
        ended = await broker.relinquish(details.grant.id, dev)
        assert ended.grant.state is GrantState.ENDED, ended.grant.last_error
    assert await bare.stage.logins_left() == []


async def test_a_superuser_prepares_a_target_once_and_for_all(bare: Bare) -> None:
    first = await bare.apply()
    assert f"made role {bare.admin}" in done(first)
    assert f"{bare.admin} may grant {bare.reader}" in done(first)
    assert warnings(first) == []
    second = await bare.apply()
    assert second.said == (), "running it again adds nothing"
    bare.write_settings()
    await live_and_end(bare, bare.reader)
    await live_and_end(bare, bare.owner)


async def test_a_master_that_is_no_superuser_prepares_a_target(stage: Stage) -> None:
    """As on RDS: it made the catalog roles and owns the database, and may grant little else."""
    async with bare_target(stage, master=True) as bare:
        if stage.server.major >= 16:
            await bare.sql(f"GRANT pg_signal_backend TO {bare.runner} WITH ADMIN OPTION")
        first = await bare.apply()
        assert warnings(first) == []
        assert f"{bare.admin} may grant {bare.owner}" in done(first)
        assert any("may not read pg_authid" in text for text in done(first))
        assert any("doctor cannot check its rules" in text for text in done(first))
        second = await bare.apply()
        assert not [text for text in done(second) if text.startswith(("made", "altered"))]
        bare.write_settings()
        await live_and_end(bare, bare.reader)
        await live_and_end(bare, bare.owner)


@pytest.mark.pg(">= 16")
async def test_what_a_master_may_not_grant_is_said_and_the_rest_is_done(stage: Stage) -> None:
    async with bare_target(stage, master=True) as bare:
        await bare.sql(f"CREATE ROLE {bare.owner}_strange")
        try:
            said = warnings(await bare.apply(f"{bare.owner}_strange"))
        finally:
            await bare.sql(f"DROP ROLE {bare.owner}_strange")
        assert len(said) == 2
        assert "may not grant" in said[0]
        assert "pg_signal_backend" in said[1]
        bare.write_settings()
        await live_and_end(bare, bare.reader)


async def test_the_printed_script_does_the_same_when_pasted(bare: Bare) -> None:
    script = bootstrap_script(bare.plan())
    assert PASSWORD not in script
    for _ in range(2):
        connection = await bare.stage.server.connect(bare.stage.target_database)
        await connection.execute(script)
        await connection.close()
    assert (await bare.apply()).said == ()
    bare.write_settings()
    await live_and_end(bare, bare.reader)


async def test_the_script_runs_only_where_it_belongs(bare: Bare) -> None:
    elsewhere = await bare.stage.server.connect("postgres")
    with pytest.raises(asyncpg.RaiseError, match="connect to orders_"):
        await elsewhere.execute(bootstrap_script(bare.plan()))
    await elsewhere.close()
    nobody = await bare.stage.server.connect(
        bare.stage.target_database, user="curfew_broker_1", password=PASSWORD
    )
    with pytest.raises(asyncpg.RaiseError, match="curfew_broker_1 may not make roles"):
        await nobody.execute(bootstrap_script(bare.plan()))
    await nobody.close()
    assert not await bare.sql("SELECT count(*) FROM pg_roles WHERE rolname = $1", bare.admin)


async def test_a_catalog_role_that_comes_later_is_added(bare: Bare) -> None:
    later = f"{bare.owner}_later"
    (said,) = warnings(await bare.apply(later))
    assert said.startswith(f"role {later} does not exist")
    await bare.sql(f"CREATE ROLE {later}")
    try:
        assert done(await bare.apply(later)) == [f"{bare.admin} may grant {later}"]
    finally:
        await bare.sql(f"DROP OWNED BY {later}")
        await bare.sql(f"DROP ROLE {later}")


async def test_attributes_that_somebody_changed_are_put_right(bare: Bare) -> None:
    await bare.apply()
    await bare.sql(f"ALTER ROLE {bare.admin} LOGIN NOCREATEROLE INHERIT")
    await bare.sql(f"ALTER ROLE {bare.login} INHERIT PASSWORD NULL")
    assert len(done(await bare.apply())) == 2
    bare.write_settings()
    await live_and_end(bare, bare.reader)


async def test_names_that_need_quotes(stage: Stage) -> None:
    async with bare_target(stage) as bare:
        odd = replace(
            bare,
            admin=f"{bare.admin} $curfew$ 'x\"",
            login=f"{bare.login}.%I\\Y",
            reader="Re'ad\"er",
        )
        quoted = [name.replace('"', '""') for name in (odd.admin, odd.login, odd.reader)]
        await bare.sql(f'CREATE ROLE "{quoted[2]}"')
        try:
            assert warnings(await odd.apply()) == []
            assert (await odd.apply()).said == ()
        finally:
            await bare.sql(f'DROP OWNED BY "{quoted[0]}", "{quoted[1]}" CASCADE')
            for name in (quoted[1], quoted[0], quoted[2]):
                await bare.sql(f'DROP ROLE "{name}"')


async def test_the_admin_role_sees_marks_of_passwords_and_nobody_else_does(bare: Bare) -> None:
    await bare.apply()
    await bare.sql(f"ALTER ROLE {bare.reader} PASSWORD NULL")
    stored = "encode(sha256(convert_to(rolpassword, 'UTF8')), 'hex')"
    mark = await bare.sql(f"SELECT {stored} FROM pg_authid WHERE rolname = $1", bare.login)
    db = await bare.stage.server.connect(
        bare.stage.target_database, user=bare.login, password=PASSWORD
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.fetch(_MARKS, bare.login)
    await db.execute(f"SET ROLE {bare.admin}")
    assert tuple((await db.fetch(_MARKS, bare.login))[0]) == ("scram", mark)
    assert tuple((await db.fetch(_MARKS, bare.reader))[0]) == ("none", None)
    assert await db.fetchval("SELECT count(*) FROM pg_hba_file_rules") > 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.execute("SELECT rolpassword FROM pg_authid")
    await db.close()


async def test_no_mark_is_shown_of_an_md5_hash_which_could_be_guessed_from(bare: Bare) -> None:
    await bare.apply()
    await bare.sql(f"ALTER ROLE {bare.reader} PASSWORD 'md5{'0' * 32}'")
    row = await bare.sql(
        "SELECT (kind, mark) FROM curfew.password_marks() WHERE role_name = $1", bare.reader
    )
    assert tuple(row) == ("md5", None)


async def test_a_schema_that_somebody_else_owns_is_not_trusted(bare: Bare) -> None:
    """Its owner could replace what the broker calls."""
    await bare.sql(f"CREATE SCHEMA curfew AUTHORIZATION {bare.owner}")
    with pytest.raises(TargetRefused, match=f"schema curfew belongs to {bare.owner}"):
        await bare.apply()
    assert not await bare.sql("SELECT count(*) FROM pg_roles WHERE rolname = $1", bare.admin)


async def test_what_is_wrong_with_the_connection_string_is_said_without_repeating_it(
    bare: Bare,
) -> None:
    for dsn in ("s3cret", "mysql://me:s3cret@host/", "postgresql://me:s3cret@host:port/"):
        with pytest.raises(NotADsn) as refused:
            await apply_bootstrap(dsn, bare.address, bare.plan())
        assert "s3cret" not in str(refused.value)
    wrong = bare.dsn.replace(f":{bare.runner_password}@", ":s3cret@")
    with pytest.raises(TargetRefused, match="password authentication failed"):
        await apply_bootstrap(wrong, bare.address, bare.plan())
    with pytest.raises(TargetUnreachable):
        await apply_bootstrap("postgresql://me@127.0.0.1:1/", bare.address, bare.plan())


@pytest.mark.pg(">= 16")
async def test_the_restricted_form_is_not_needed_where_createrole_is_limited(bare: Bare) -> None:
    with pytest.raises(NotNeeded, match="already limited"):
        await bare.apply(restricted=True)
    connection = await bare.stage.server.connect(bare.stage.target_database)
    with pytest.raises(asyncpg.RaiseError, match="already limited"):
        await connection.execute(bootstrap_script(bare.plan(restricted=True)))
    await connection.close()


def run(bare: Bare, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PGCURFEW_CONFIG": str(bare.stage.config), **more}
    return run_pgcurfew({**clean_environment(), **environment}, "bootstrap", *arguments)


@pytest.mark.sample
async def test_the_command_prints_or_applies(bare: Bare) -> None:
    bare.write_settings()
    printed = await asyncio.to_thread(run, bare, "orders")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert "SCRAM-SHA-256$4096:" in printed.stdout
    assert PASSWORD not in printed.stdout
    applied = await asyncio.to_thread(run, bare, "orders", "--apply", "env:DSN", DSN=bare.dsn)
    assert (applied.returncode, applied.stderr) == (0, "")
    assert f"Prepared database {bare.stage.target_database} (PostgreSQL " in applied.stdout
    assert f"  made role {bare.admin}\n" in applied.stdout
    assert applied.stdout.endswith("Next: pgcurfew doctor orders\n")
    again = await asyncio.to_thread(run, bare, "orders", "--apply", bare.dsn)
    assert again.stdout.startswith("Nothing to add: ")
    await live_and_end(bare, bare.reader)


@pytest.mark.sample
async def test_without_the_secret_the_command_says_how_to_set_the_password(bare: Bare) -> None:
    bare.write_settings(admin={"password": "env:NOWHERE"})
    printed = await asyncio.to_thread(run, bare, "orders")
    assert printed.returncode == 0
    assert "Its password is not set here: env:NOWHERE cannot be read here" in printed.stdout
    connection = await bare.stage.server.connect(bare.stage.target_database)
    await connection.execute(printed.stdout)
    await connection.close()


@pytest.mark.sample
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nowhere",), 3, "has no target nowhere; it has orders"),
        (("orders", "--apply", "s3cret"), 2, "not a connection string"),
        (("orders", "--apply", "env:NOWHERE"), 1, "environment variable NOWHERE is not set"),
        (("orders", "--apply", "postgresql://x@127.0.0.1:1/"), 1, "cannot be reached"),
    ],
)
@pytest.mark.newest
async def test_a_mistake_is_explained(
    bare: Bare, arguments: tuple[str, ...], code: int, said: str
) -> None:
    bare.write_settings()
    finished = await asyncio.to_thread(run, bare, *arguments)
    assert finished.returncode == code
    assert said in finished.stderr
    assert "s3cret" not in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.newest
@pytest.mark.pg(">= 16")
async def test_the_restricted_form_on_a_new_server_is_a_wrong_use(bare: Bare) -> None:
    bare.write_settings()
    finished = await asyncio.to_thread(run, bare, "orders", "--restricted", "--apply", bare.dsn)
    assert (finished.returncode, len(finished.stderr.splitlines())) == (2, 1)
    assert "already limited" in finished.stderr
