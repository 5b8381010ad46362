"""`bootstrap --restricted` on 13 to 15: a broker that works without CREATEROLE, and what nobody can
do with the functions that it has instead."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from broker.domain.credential import password_verifier
from broker.domain.grant import GrantState
from broker.reaper import do_what_is_due
from tests.support.bootstrapped import Bare, bare_target
from tests.support.people import get_grant, get_person
from tests.support.stage import DEV, PASSWORD, Stage

pytestmark = pytest.mark.pg("<= 15")

MARK = json.dumps({"pgcurfew": "somebody", "grant": "grt_1"})
LATER = datetime.now(UTC) + timedelta(hours=1)
VERIFIER = password_verifier("x", bytes(16)).replace("$4096:", "$1:")
MAKE = "SELECT curfew.make_login($1, $2, $3, $4, $5, $6, $7, $8::jsonb)"


@pytest.fixture
async def bare(stage: Stage) -> AsyncIterator[Bare]:
    async with bare_target(stage) as ready:
        said = (await ready.apply(restricted=True)).said
        assert not [each for each in said if each.warning]
        yield ready


@pytest.fixture
async def broker(bare: Bare) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """What an attacker has who holds the broker's login: its bare session and the admin role."""
    db = await bare.stage.server.connect(
        bare.stage.target_database, user=bare.login, password=PASSWORD
    )
    await db.execute(f"SET ROLE {bare.admin}")
    try:
        yield db
    finally:
        await db.close()
        for login in (
            await bare.sql(
                "SELECT array_agg(rolname::text) FROM pg_roles WHERE rolname LIKE 'jit_esc%'"
            )
            or []
        ):
            await bare.sql(f"DROP ROLE {login}")


def wanted(bare: Bare, **changes: object) -> list[object]:
    arguments = {
        "login": "jit_esc_1",
        "role": bare.reader,
        "until": LATER,
        "limit": 2,
        "comment": MARK,
        "inherit": True,
        "set_role": False,
        "parameters": "{}",
    }
    return list((arguments | changes).values())


async def test_a_whole_grant_life_without_createrole(bare: Bare) -> None:
    bare.write_settings(
        admin={"restricted": True},
        roles={
            bare.reader: {
                "statement_timeout": "60s",
                "search_path": ["shop", "Odd, name"],
                "settings": {"work_mem": "8MB"},
            },
            bare.owner: {},
        },
    )
    for role in (bare.reader, bare.owner):
        async with bare.stage.broker() as broker:
            details = await get_grant(broker, role)
            assert details.grant.state is GrantState.ACTIVE, details.grant.last_error
            dev = await get_person(broker, DEV)
            await broker.grants.hand_out(details.grant.id, dev, source=None)
            stored = await bare.sql(
                "SELECT rolpassword FROM pg_authid WHERE rolname = $1", details.login
            )
            assert stored.startswith("SCRAM-SHA-256$1:")
            if role == bare.owner:
                await bare.sql(f"CREATE TABLE shop.{details.login} ()")
                await bare.sql(f"ALTER TABLE shop.{details.login} OWNER TO {details.login}")
            else:
                settings = await bare.sql(
                    "SELECT setconfig FROM pg_db_role_setting WHERE setrole = $1::text::regrole",
                    details.login,
                )
                assert set(settings) == {
                    "statement_timeout=60000ms",
                    'search_path=shop, "Odd, name"',
                    "work_mem=8MB",
                }
            ended = await broker.relinquish(details.grant.id, dev)
            assert ended.grant.state is GrantState.ENDED, ended.grant.last_error
            await do_what_is_due(broker)
        assert await bare.stage.logins_left() == []


async def test_the_login_itself_sets_what_no_such_function_may(
    bare: Bare, broker: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with broker.transaction():
        await broker.execute(MAKE, *wanted(bare, set_role=True))
        await broker.execute("SET LOCAL ROLE jit_esc_1")
        await broker.execute(f"ALTER ROLE jit_esc_1 SET role = '{bare.reader}'")
    assert await broker.fetchval("SELECT current_user") == bare.admin
    assert await bare.sql(
        "SELECT setconfig FROM pg_db_role_setting WHERE setrole = 'jit_esc_1'::regrole"
    ) == [f"role={bare.reader}"]


async def test_running_it_again_changes_nothing_and_both_ways_lead_back(bare: Bare) -> None:
    assert (await bare.apply(restricted=True)).said == ()
    assert await bare.sql("SELECT NOT rolcreaterole FROM pg_roles WHERE rolname = $1", bare.admin)
    await bare.apply()
    assert await bare.sql("SELECT rolcreaterole FROM pg_roles WHERE rolname = $1", bare.admin)
    said = [each.text for each in (await bare.apply(restricted=True)).said]
    assert f"altered role {bare.admin} to NOLOGIN NOCREATEROLE NOINHERIT" in said
    assert f"{bare.admin} may no longer grant {bare.reader} by itself" in said


async def test_a_master_that_is_no_superuser_installs_it(stage: Stage) -> None:
    async with bare_target(stage, master=True) as bare:
        applied = await bare.apply(restricted=True)
        assert not [each.text for each in applied.said if each.warning]
        bare.write_settings(admin={"restricted": True})
        async with stage.broker() as broker:
            details = await get_grant(broker, bare.reader)
            assert details.grant.state is GrantState.ACTIVE, details.grant.last_error
            dev = await get_person(broker, DEV)
            await broker.grants.hand_out(details.grant.id, dev, source=None)
            ended = await broker.relinquish(details.grant.id, dev)
            assert ended.grant.state is GrantState.ENDED, ended.grant.last_error


FORBIDDEN = [
    "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'",
    "COPY pg_class FROM '/etc/passwd'",
    "GRANT pg_execute_server_program TO CURRENT_USER",
    "GRANT {reader} TO CURRENT_USER",
    "SET ROLE {owner}",
    "ALTER ROLE {admin} CREATEROLE",
    "ALTER ROLE {admin} SUPERUSER",
    "ALTER ROLE {login} CREATEROLE",
    "ALTER ROLE orders_reader LOGIN PASSWORD 'mine'",
    "ALTER ROLE curfew_broker_1 PASSWORD 'mine'",
    "CREATE ROLE jit_esc_2 LOGIN",
    "CREATE ROLE somebody LOGIN",
    'COMMENT ON ROLE orders_reader IS \'{{"pgcurfew": "x"}}\'',
    "CREATE FUNCTION curfew.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION curfew.catalog_roles() RETURNS SETOF text LANGUAGE sql AS "
    "'SELECT ''postgres'''",
    "SELECT curfew.set_parameter('jit_esc_1', 'work_mem', '\"1MB\"')",
    "SELECT curfew.require_login('jit_esc_1')",
    "SELECT rolpassword FROM pg_authid",
    "SELECT * FROM shop.orders",
    "ALTER SYSTEM SET log_statement = 'none'",
]


async def test_the_admin_role_can_do_none_of_what_createrole_would_give_it(
    bare: Bare, broker: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    names = {"reader": bare.reader, "owner": bare.owner, "admin": bare.admin, "login": bare.login}
    for role in (bare.admin, "NONE"):  # nor as the bare login
        await broker.execute(f"SET ROLE {role}")
        for statement in FORBIDDEN:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await broker.execute(statement.format(**names))


async def test_functions_are_for_the_admin_role_alone(bare: Bare) -> None:
    db = await bare.stage.server.connect(
        bare.stage.target_database, user="curfew_broker_1", password=PASSWORD
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.execute(MAKE, *wanted(bare))
    await db.close()
    functions = await bare.sql(
        "SELECT count(*) FROM pg_proc p WHERE pronamespace = 'curfew'::regnamespace AND EXISTS "
        "(SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) a "
        "WHERE a.grantee = 0)"
    )
    assert functions == 0
    open_paths = await bare.sql(
        "SELECT count(*) FROM pg_proc WHERE pronamespace = 'curfew'::regnamespace "
        "AND proconfig IS DISTINCT FROM ARRAY['search_path=pg_catalog, pg_temp']"
    )
    assert open_paths == 0


NO_LOGIN: list[dict[str, object]] = [
    {"login": "postgres"},
    {"login": "esc_1"},
    {"login": "jit_esc_1\n"},
    {"login": "jit_esc_1 SUPERUSER"},
    {"login": 'jit_esc_1" SUPERUSER; --'},
    {"login": "jit_Esc"},
    {"login": "jit_"},
    {"login": "jit_" + "e" * 60},
    {"login": None},
    {"role": "pg_execute_server_program"},
    {"role": "postgres"},
    {"role": "orders_reader"},
    {"role": "{admin}"},
    {"role": None},
    {"role": '{reader}" TO postgres; --'},
    {"comment": "no mark"},
    {"comment": '["pgcurfew"]'},
    {"comment": '{"x": "pgcurfew"}'},
    {"comment": "[" * 5000},
    {"comment": None},
    {"limit": -1},
    {"limit": None},
    {"until": None},
    {"inherit": None},
    {"set_role": None},
    {"parameters": None},
    {"parameters": "[]"},
    {"parameters": '{"role": "postgres"}'},
    {"parameters": '{"session_authorization": "postgres"}'},
    {"parameters": '{"session_preload_libraries": "evil"}'},
    {"parameters": '{"log_statement": "none"}'},
    {"parameters": '{"work_mem\\" = 1; --": "64MB"}'},
    {"parameters": '{"app.user": "me"}'},
    {"parameters": '{"WORK_MEM": "64MB"}'},
    {"parameters": '{"work_mem": 64}'},
    {"parameters": '{"work_mem": null}'},
    {"parameters": '{"work_mem": {"a": "b"}}'},
    {"parameters": '{"search_path": []}'},
]


async def test_a_login_is_made_only_as_pgcurfew_makes_them(
    bare: Bare, broker: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    for changes in NO_LOGIN:
        filled = {
            key: value.replace("{reader}", bare.reader).replace("{admin}", bare.admin)
            if isinstance(value, str)
            else value
            for key, value in changes.items()
        }
        with pytest.raises(
            (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError)
        ):
            await broker.execute(MAKE, *wanted(bare, **filled))
    assert not await bare.sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'jit\\_esc%'")


async def test_values_with_quotes_stay_values(
    bare: Bare, broker: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    evil = "x'; ALTER ROLE jit_esc_1 SUPERUSER; --"
    parameters = json.dumps(
        {"application_name": evil, "search_path": ['a"; ALTER ROLE jit_esc_1 SUPERUSER; --']}
    )
    comment = json.dumps({"pgcurfew": evil})
    await broker.execute(MAKE, *wanted(bare, parameters=parameters, comment=comment))
    assert not await bare.sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'jit_esc_1'")
    assert f"application_name={evil}" in await bare.sql(
        "SELECT setconfig FROM pg_db_role_setting WHERE setrole = 'jit_esc_1'::regrole"
    )


async def test_a_role_that_only_looks_like_a_login_is_left_alone(
    bare: Bare, broker: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await bare.sql("CREATE ROLE jit_esc_hand LOGIN PASSWORD 'theirs'")
    await bare.sql("CREATE ROLE jit_esc_strong LOGIN CREATEROLE")
    await bare.sql(f"COMMENT ON ROLE jit_esc_strong IS '{MARK}'")
    for login in ("jit_esc_hand", "jit_esc_strong", "postgres", "orders_reader", bare.login, None):
        for call, more in (
            ("set_verifier($1, $2)", (VERIFIER,)),
            ("disable_login($1)", ()),
            ("set_valid_until($1, $2)", (LATER,)),
            ("lend_role($1, $2)", (bare.reader,)),
            ("revoke_memberships($1)", ()),
            ("quarantine_login($1, $2, $3)", ("jit_esc_new", MARK)),
            ("drop_login($1)", ()),
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await broker.execute(f"SELECT curfew.{call}", login, *more)


async def test_a_login_cannot_be_renamed_or_remarked_out_of_reach(
    bare: Bare, broker: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await broker.execute(MAKE, *wanted(bare))
    for new_name, comment in (("somebody", MARK), ("jit_esc_2", "not ours"), (None, MARK)):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await broker.execute(
                "SELECT curfew.quarantine_login('jit_esc_1', $1, $2)", new_name, comment
            )
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await broker.execute("SELECT curfew.set_valid_until('jit_esc_1', 'infinity')")


async def test_a_wrong_verifier_is_refused_and_appears_in_no_error(
    bare: Bare, broker: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await broker.execute(MAKE, *wanted(bare))
    for verifier in ("plain-password", f"{VERIFIER}x", f" {VERIFIER}", "", None):
        with pytest.raises(asyncpg.InvalidParameterValueError) as refused:
            await broker.execute("SELECT curfew.set_verifier('jit_esc_1', $1)", verifier)
        said = json.dumps(refused.value.as_dict())
        assert "plain-password" not in said
        assert "SCRAM" not in said
    await broker.execute("SELECT curfew.set_verifier('jit_esc_1', $1)", VERIFIER)
    stored = await bare.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'jit_esc_1'")
    assert stored == VERIFIER


async def test_memberships_go_to_people_only(
    bare: Bare, broker: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await broker.execute(MAKE, *wanted(bare))
    for role, member in (
        (bare.reader, "postgres"),
        (bare.reader, bare.login),
        (bare.reader, bare.admin),
        (bare.reader, bare.owner),
        (bare.reader, "jit_esc_1"),
        (bare.reader, "nobody_here"),
        (bare.reader, 'curfew"; --'),
        (bare.reader, None),
        ("pg_execute_server_program", "curfew"),
        ("orders_reader", "curfew"),
        (None, "curfew"),
    ):
        for call in ("grant_membership", "revoke_membership"):
            if (call, member) == ("revoke_membership", bare.owner):
                continue  # taking away from a role that cannot log in is harmless, and needed
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await broker.execute(f"SELECT curfew.{call}($1, $2)", role, member)
    await broker.execute("SELECT curfew.grant_membership($1, 'curfew')", bare.reader)
    member_of = f"SELECT pg_has_role('curfew', '{bare.reader}', 'MEMBER')"
    assert await bare.sql(member_of)
    await broker.execute("SELECT curfew.revoke_membership($1, 'curfew')", bare.reader)
    assert not await bare.sql(member_of)


async def test_a_catalog_role_that_became_powerful_is_no_longer_given(
    bare: Bare, broker: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    for power, undo in (
        ("GRANT pg_read_server_files TO {}", "REVOKE pg_read_server_files FROM {}"),
        ("ALTER ROLE {} CREATEROLE", "ALTER ROLE {} NOCREATEROLE"),
        (f"GRANT {bare.admin} TO {{}}", f"REVOKE {bare.admin} FROM {{}}"),
    ):
        await bare.sql(power.format(bare.reader))
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="too powerful"):
            await broker.execute(MAKE, *wanted(bare))
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="too powerful"):
            await broker.execute("SELECT curfew.grant_membership($1, 'curfew')", bare.reader)
        await bare.sql(undo.format(bare.reader))


async def test_temporary_objects_shadow_nothing(
    bare: Bare, broker: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """A session may make what it likes in pg_temp, and put that first in its own search_path."""
    await broker.execute(
        """
        CREATE TEMP TABLE pg_roles AS SELECT * FROM pg_catalog.pg_roles;
        UPDATE pg_roles SET rolsuper = false, rolcanlogin = true;
        CREATE TEMP TABLE pg_settings AS SELECT * FROM pg_catalog.pg_settings;
        UPDATE pg_settings SET context = 'user';
        CREATE FUNCTION pg_temp.starts_with(text, text) RETURNS boolean LANGUAGE sql AS
            'SELECT false';
        CREATE FUNCTION pg_temp.format(text, text, text) RETURNS text LANGUAGE sql AS
            'SELECT ''GRANT pg_execute_server_program TO PUBLIC''';
        SET search_path = pg_temp, pg_catalog;
        """
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await broker.execute("SELECT curfew.grant_membership($1, 'postgres')", bare.reader)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await broker.execute(MAKE, *wanted(bare, parameters='{"log_statement": "none"}'))
    await broker.execute(MAKE, *wanted(bare))
    await broker.execute("SELECT curfew.drop_login('jit_esc_1')")
