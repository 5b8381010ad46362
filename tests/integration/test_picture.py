"""Pictures of a real catalog: what a login leaves is named once, in one line, and can be undone."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest

from broker.domain.picture import (
    Action,
    Change,
    FindingKind,
    Ours,
    Picture,
    describe,
    diff,
    merge,
)
from broker.domain.sqltext import ident, literal
from broker.domain.undo import SweepRules, judge, settle, undo_plan
from broker.target.picture import picture_of_database, picture_of_server, take_picture
from tests.support.deeds import DEEDS, FROM_16_ON
from tests.support.servers import Server
from tests.support.stage import PASSWORD, Stage

UNDO_ALL = SweepRules(undo=frozenset(FindingKind))
_TRUSTED = """
    SELECT name, version FROM pg_available_extension_versions v
      JOIN pg_available_extensions USING (name)
     WHERE trusted AND version = default_version AND name IN ('citext', 'hstore')
     ORDER BY name LIMIT 1
"""
_SUBSCRIPTIONS = """
    SELECT count(*) FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
     WHERE d.datname = current_database()
"""
_MARKS = """
    CREATE SCHEMA curfew;
    CREATE FUNCTION curfew.password_marks()
        RETURNS TABLE (role_name text, kind text, mark text)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$ SELECT rolname::text, 'scram',
                     encode(sha256(convert_to(rolpassword, 'UTF8')), 'hex') FROM pg_authid $$;
    REVOKE ALL ON FUNCTION curfew.password_marks() FROM PUBLIC;
    GRANT USAGE ON SCHEMA curfew TO curfew_admin;
    GRANT EXECUTE ON FUNCTION curfew.password_marks() TO curfew_admin;
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """A stage, its superuser's connection, a login with the owner's group, and somebody else."""

    stage: Stage
    main: "asyncpg.Connection[asyncpg.Record]"
    login: str
    alice: str

    async def run(self, *statements: str) -> None:
        """Run as the superuser."""
        for statement in statements:
            await self.main.execute(statement.format(alice=self.alice, login=self.login))

    async def run_as_login(self, *statements: str) -> None:
        await self.main.execute(f"SET SESSION AUTHORIZATION {self.login}")
        try:
            await self.run(*statements)
        finally:
            await self.main.execute("RESET SESSION AUTHORIZATION")

    async def look(self) -> Picture:
        """Take a picture as the broker would, in one database."""
        async with self.admin() as db:
            return merge(await picture_of_server(db), await picture_of_database(db))

    @asynccontextmanager
    async def admin(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        server: Server = self.stage.server
        db = await server.connect(
            self.stage.target_database, user="curfew_broker_1", password=PASSWORD
        )
        try:
            await db.execute("SET ROLE curfew_admin; SET search_path = pg_catalog, pg_temp")
            yield db
        finally:
            await db.close()

    @property
    def ours(self) -> Ours:
        return Ours(logins={self.login})

    def changes(self, before: Picture, after: Picture) -> tuple[Change, ...]:
        """As the ledger gives the first picture back."""
        stored = Picture.from_json(json.loads(json.dumps(before.to_json())), before.taken_at)
        return diff(stored, after, ours=self.ours, login=self.login)


@pytest.fixture
async def scene(stage: Stage) -> AsyncIterator[Scene]:
    main = await stage.server.connect(stage.target_database)
    login, alice = f"jit_dev_{stage.target_database}", f"alice_{stage.target_database}"
    granular = stage.server.major >= 16
    for role in (login, alice):
        await main.execute(f"CREATE ROLE {role} LOGIN")
        # So that the stage removes them at the end.
        await main.execute(f"COMMENT ON ROLE {role} IS {literal(stage.installation)}")
    await main.execute(
        f"GRANT orders_owner TO {login};"
        f"GRANT {login} TO curfew_admin {'WITH SET TRUE, INHERIT FALSE' if granular else ''};"
        f"GRANT CREATE ON DATABASE {stage.target_database} TO orders_owner;"
        "CREATE FOREIGN DATA WRAPPER wrapper;"
        "GRANT USAGE ON FOREIGN DATA WRAPPER wrapper TO orders_owner"
    )
    if granular:
        await main.execute("GRANT pg_create_subscription TO orders_owner")
    yield Scene(stage, main, login, alice)
    if await main.fetchval(_SUBSCRIPTIONS):
        # A database with one cannot be dropped.
        await main.execute("ALTER SUBSCRIPTION inward SET (slot_name = NONE)")
        await main.execute("DROP SUBSCRIPTION inward")
    await main.close()


async def do_all_deeds(scene: Scene) -> list[str]:
    """Do everything as the login; return the lines that tell of it."""
    deeds = [*DEEDS, *(FROM_16_ON if scene.stage.server.major >= 16 else ())]
    extension = await scene.main.fetchrow(_TRUSTED)
    if extension is not None:
        name, version = extension
        line = (
            f"added extension {name} (version {version}, schema annex, owner orders_owner): flagged"
        )
        deeds.append((f"CREATE EXTENSION {name} SCHEMA annex", line))
    await scene.run_as_login(*(deed for deed, _ in deeds if deed is not None))
    return [line.format(alice=scene.alice) for _, line in deeds]


def lines(changes: tuple[Change, ...]) -> list[str]:
    return [describe(finding) for finding in judge(changes, SweepRules())]


async def undo(scene: Scene, changes: tuple[Change, ...]) -> dict[Change, str]:
    """Run the plan as the broker does: as the login, each step in a savepoint, in rounds."""
    answers: dict[Change, str] = {}
    waiting = list(undo_plan(changes, UNDO_ALL))
    async with scene.admin() as db, db.transaction():
        await db.execute(f"SET LOCAL ROLE {ident(scene.login)}")
        for _ in range(5):
            for step in tuple(waiting):
                try:
                    async with db.transaction():
                        for statement in step.statements:
                            await db.execute(statement)
                except asyncpg.PostgresError as error:
                    answers[step.change] = str(error)
                else:
                    answers[step.change] = ""
                    waiting.remove(step)
    return answers


async def test_everything_that_a_login_leaves_is_named_once_and_in_one_line(scene: Scene) -> None:
    before = await scene.look()
    expected = await do_all_deeds(scene)
    await scene.run("REASSIGN OWNED BY {login} TO orders_owner")
    after = await scene.look()
    assert sorted(lines(scene.changes(before, after))) == sorted(expected)
    told = json.dumps(after.to_json())
    assert "not for us" not in told
    assert "unseen" not in told.replace('"unseen": [', "")


async def test_a_login_can_undo_all_that_it_left_without_anybody_elses_rights(
    scene: Scene,
) -> None:
    before = await scene.look()
    await do_all_deeds(scene)
    changes = scene.changes(before, await scene.look())
    answers = await undo(scene, changes)
    after = await scene.look()
    assert {change.identity: answer for change, answer in answers.items() if answer} == {}
    assert lines(scene.changes(before, after)) == []
    assert after.items == before.items
    assert {f.disposition.value for f in settle(answers, (), UNDO_ALL)} == {"undone"}


async def test_what_takes_a_superuser_is_found_too_and_is_out_of_the_logins_reach(
    scene: Scene,
) -> None:
    before = await scene.look()
    database, alice = scene.stage.target_database, scene.alice
    await scene.run(
        "CREATE FUNCTION shop.watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
        "CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE TABLE') "
        "EXECUTE FUNCTION shop.watch()",
        "ALTER EVENT TRIGGER watch DISABLE",
        f"ALTER DATABASE {database} SET search_path = 'evil', public",
        "ALTER ROLE {alice} SET work_mem = '64kB'",
        f"ALTER ROLE {{alice}} IN DATABASE {database} SET work_mem = '65kB'",
        "ALTER ROLE {alice} CREATEROLE VALID UNTIL '2030-01-01 00:00Z' CONNECTION LIMIT 3",
        "GRANT orders_reader TO {alice}",
        "GRANT orders_writer TO {alice} WITH ADMIN OPTION",
        f"GRANT CREATE ON DATABASE {database} TO PUBLIC",
        "CREATE SUBSCRIPTION inward CONNECTION 'host=nowhere.example' PUBLICATION theirs "
        "WITH (connect = false)",
    )
    changes = scene.changes(before, await scene.look())
    by, options = "", ""
    if scene.stage.server.major >= 16:
        by, options = " granted by postgres", " (INHERIT, SET)"
    assert lines(changes) == [
        f"added ADMIN option of {alice} on orders_writer{by}: flagged",
        f"added membership of {alice} in orders_reader{by}{options}: flagged",
        f"added membership of {alice} in orders_writer{by}{options}: flagged",
        f"added privileges of PUBLIC on database {database} (CREATE, owner postgres): flagged",
        f"changed role {alice} (was: LOGIN; is: LOGIN, CREATEROLE, connection limit 3, "
        "valid until 2030-01-01T00:00:00.000000Z): flagged",
        f"added setting search_path of database {database} (evil, public): flagged",
        f"added setting work_mem of role {alice} (64kB): flagged",
        f"added setting work_mem of role {alice} in database {database} (65kB): flagged",
        "added event trigger watch (on ddl_command_end, calls shop.watch(), disabled, "
        "for CREATE TABLE, owner postgres): flagged",
        "added function shop.watch() (language plpgsql, owner postgres): flagged",
        "added subscription inward (disabled, to theirs, slot inward, owner postgres): flagged",
    ]
    answers = await undo(scene, changes)
    assert scene.changes(before, await scene.look()) == changes
    found = settle(answers, changes, UNDO_ALL)
    assert [f.disposition.value for f in found].count("undo_failed") == len(changes) - 1
    assert describe(found[8]).endswith(": undo failed (must be owner of event trigger watch)")


async def test_what_is_gone_or_different_shows_as_such_and_is_for_a_human(scene: Scene) -> None:
    await scene.run(
        "CREATE FUNCTION shop.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION shop.g() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION shop.t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'",
        "CREATE TRIGGER audit AFTER UPDATE ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.t()",
        "CREATE VIEW shop.v AS SELECT id FROM shop.orders",
        "CREATE TABLE shop.old ()",
        "ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE shop.old OWNER TO orders_writer",
    )
    before = await scene.look()
    await scene.run(
        "CREATE OR REPLACE FUNCTION shop.f() RETURNS integer LANGUAGE sql AS 'SELECT 2'",
        "ALTER FUNCTION shop.g() SECURITY DEFINER",
        "ALTER TABLE shop.orders DISABLE TRIGGER audit",
        "ALTER TABLE shop.orders DISABLE ROW LEVEL SECURITY",
        "CREATE OR REPLACE VIEW shop.v AS SELECT id + 1 AS id FROM shop.orders",
        "ALTER TABLE shop.old OWNER TO {alice}",
        "REVOKE SELECT ON shop.orders FROM orders_reader",
        "REVOKE INSERT ON shop.orders FROM orders_writer; "
        "GRANT TRUNCATE ON shop.orders TO orders_writer",
    )
    after = await scene.look()
    changes = scene.changes(before, after)
    described = [change.identity for change in changes], [change.action for change in changes]
    assert all(change.undo == () for change in changes)
    told = [line.partition(", content")[0] for line in lines(changes)]
    assert told == [
        "changed function shop.f() (was: language sql",
        f"changed table shop.old (was: owner orders_writer; is: owner {scene.alice}): flagged",
        "changed table shop.orders (was: row security; is: -): flagged",
        "changed view shop.v (was: content " + lines(changes)[3].partition("content ")[2],
        "removed privileges of orders_reader on table shop.orders "
        "(SELECT, owner orders_owner): flagged",
        "changed privileges of orders_writer on table shop.orders "
        "(was: DELETE, INSERT, SELECT, UPDATE; is: DELETE, SELECT, TRUNCATE, UPDATE): flagged",
        "changed function shop.g() (was: language sql; is: SECURITY DEFINER, "
        "executable by PUBLIC, language sql): flagged",
        "changed trigger audit on shop.orders (was: AFTER UPDATE, calls shop.t(); "
        "is: AFTER UPDATE, calls shop.t(), disabled): flagged",
    ], described


async def test_names_may_hold_anything(scene: Scene) -> None:
    before = await scene.look()
    odd = ident("a \"b' \n;é%s -- DROP\\")
    await scene.run_as_login(
        f"CREATE SCHEMA {odd}",
        f"CREATE TABLE {odd}.{odd} ({odd} integer DEFAULT 1)",
        f"CREATE FUNCTION {odd}.{odd}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
        f"CREATE TRIGGER {odd} BEFORE DELETE ON {odd}.{odd} EXECUTE FUNCTION {odd}.{odd}()",
        f"CREATE RULE {odd} AS ON DELETE TO {odd}.{odd} DO INSTEAD NOTHING",
        f"CREATE POLICY {odd} ON {odd}.{odd}",
        f"CREATE PUBLICATION {odd} FOR TABLE {odd}.{odd}",
        f"CREATE SERVER {odd} FOREIGN DATA WRAPPER wrapper",
        f"CREATE USER MAPPING FOR {scene.login} SERVER {odd}",
        f"CREATE USER MAPPING FOR PUBLIC SERVER {odd}",
        f"GRANT SELECT ({odd}), UPDATE ({odd}) ON {odd}.{odd} TO PUBLIC",
        f"GRANT EXECUTE ON FUNCTION {odd}.{odd}() TO orders_reader",
        "ALTER DEFAULT PRIVILEGES FOR ROLE orders_owner "
        f"IN SCHEMA {odd} GRANT USAGE ON SEQUENCES TO orders_reader",
    )
    changes = scene.changes(before, await scene.look())
    assert len(changes) == 12
    assert lines(changes)[3].startswith(r"""added schema "a ""b' \n;é%s -- DROP\" (owner""")
    answers = await undo(scene, changes)
    assert [answer for answer in answers.values() if answer] == []
    assert scene.changes(before, await scene.look()) == ()


async def test_a_membership_that_a_login_gave_outlives_it_and_is_found(scene: Scene) -> None:
    """Up to 15 the catalog may name the login as its grantor; that does not make it ours."""
    group = f"extra_{scene.stage.target_database}"
    await scene.run(
        f"CREATE ROLE {group}",
        f"COMMENT ON ROLE {group} IS {literal(scene.stage.installation)}",
        f"GRANT {group} TO {{login}} WITH ADMIN OPTION",
    )
    before = await scene.look()
    await scene.run_as_login(f"GRANT {group} TO {{alice}} WITH ADMIN OPTION")
    changes = scene.changes(before, await scene.look())
    if scene.stage.server.major < 16:
        assert lines(changes) == [
            f"added ADMIN option of {scene.alice} on {group}: flagged",
            f"added membership of {scene.alice} in {group}: flagged",
        ]
    assert [change.kind for change in changes] == ["admin_option", "membership"]
    answers = await undo(scene, changes)
    assert set(answers.values()) == {""}
    assert scene.changes(before, await scene.look()) == ()


async def test_what_pgcurfew_itself_makes_is_no_finding(scene: Scene) -> None:
    """Another grant's login comes, owns, sets and grants, and gives all to its group; a person is
    a member for a while."""
    before = await scene.look()
    other = f"jit_other_{scene.stage.target_database}"
    await scene.run(
        f"CREATE ROLE {other} LOGIN",
        f"COMMENT ON ROLE {other} IS {literal(scene.stage.installation)}",
        f"GRANT orders_owner TO {other}",
        f"ALTER ROLE {other} SET work_mem = '64kB'",
        "GRANT orders_reader TO {alice}",
        f"CREATE TABLE shop.theirs (id integer); ALTER TABLE shop.theirs OWNER TO {other}",
        "GRANT SELECT ON shop.theirs TO {alice}",
        f"GRANT SELECT ON shop.orders TO {other}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {other} GRANT SELECT ON TABLES TO PUBLIC",
    )
    during = await scene.look()
    ours = Ours({scene.login, other}, {("orders_reader", scene.alice)})
    assert diff(before, during, ours=ours, login=scene.login) == ()
    assert during.without(ours).items != during.items
    await scene.run(f"REASSIGN OWNED BY {other} TO orders_owner; DROP OWNED BY {other}")
    after = await scene.look()
    assert diff(during, after, ours=ours, login=scene.login) == ()


async def test_a_changed_password_shows_without_showing_the_password(scene: Scene) -> None:
    assert FindingKind.PASSWORD in (await scene.look()).unseen
    await scene.run(_MARKS)
    before = await scene.look()
    await scene.run("ALTER ROLE {alice} PASSWORD 'evil'")
    after = await scene.look()
    assert after.unseen == frozenset()
    [change] = scene.changes(before, after)
    assert change.action is Action.CHANGED
    assert change.kind is FindingKind.PASSWORD
    assert change.identity == f"password of {scene.alice}"
    assert change.undo == ()


async def test_marks_of_passwords_come_only_from_a_superusers_function(scene: Scene) -> None:
    """A function of anybody else's would run with the broker's rights, or lie."""
    await scene.run(_MARKS)
    assert (await scene.look()).unseen == frozenset()
    await scene.run("ALTER FUNCTION curfew.password_marks() OWNER TO orders_owner")
    assert FindingKind.PASSWORD in (await scene.look()).unseen
    await scene.run(
        "ALTER FUNCTION curfew.password_marks() OWNER TO postgres",
        "ALTER SCHEMA curfew OWNER TO orders_owner",
    )
    assert FindingKind.PASSWORD in (await scene.look()).unseen


async def test_a_picture_waits_for_nobodys_lock(scene: Scene) -> None:
    await do_all_deeds(scene)
    async with scene.main.transaction():
        await scene.run("LOCK TABLE shop.orders, shop.notes, shop.seen IN ACCESS EXCLUSIVE MODE")
        async with scene.admin() as db:
            await db.execute("SET lock_timeout = '100ms'")
            picture = await picture_of_database(db)
    assert "table shop.notes" in {item.identity for item in picture.items}


async def test_nothing_hides_behind_an_extension(scene: Scene) -> None:
    before = await scene.look()
    await scene.run(
        "CREATE FUNCTION shop.hidden() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "ALTER EXTENSION plpgsql ADD FUNCTION shop.hidden()",
    )
    [change] = scene.changes(before, await scene.look())
    assert (change.action, change.identity) == (Action.CHANGED, "extension plpgsql")


async def test_so_many_large_objects_that_they_are_data_are_not_listed(scene: Scene) -> None:
    before = await scene.look()
    await scene.run("SELECT lo_create(n) FROM generate_series(1, 1001) AS n")
    after = await scene.look()
    assert FindingKind.LARGE_OBJECT in after.unseen
    assert scene.changes(before, after) == ()


async def test_what_cannot_be_read_is_unseen_and_stops_nothing(scene: Scene) -> None:
    """PostgreSQL keeps a role's settings in the encoding of the database they were made in."""
    latin = f"latin_{scene.stage.target_database}"
    await scene.run(
        f"CREATE DATABASE {latin} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    there = await scene.stage.server.connect(latin)
    try:
        await there.execute(f"ALTER ROLE {scene.login} SET search_path = 'é'")
        async with scene.admin() as db:
            assert (await picture_of_server(db)).unseen == frozenset(FindingKind)
            await scene.run("ALTER ROLE {login} RESET search_path")
            assert (await picture_of_server(db)).unseen == {FindingKind.PASSWORD}
    finally:
        await there.close()
        await scene.run(f"DROP DATABASE {latin}")


async def test_a_database_without_an_encoding_may_hold_what_cannot_be_read(scene: Scene) -> None:
    name = f"ascii_{scene.stage.target_database}"
    await scene.run(
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' "
        "LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    there = await scene.stage.server.connect(name)
    try:
        await there.execute("DO $$ BEGIN EXECUTE format('CREATE TABLE %I ()', chr(233)); END $$")
        assert (await picture_of_database(there)).unseen == frozenset(FindingKind)
    finally:
        await there.close()
        await scene.run(f"DROP DATABASE {name}")


async def test_the_broker_sees_every_database_that_it_asks_for(scene: Scene) -> None:
    stage = scene.stage
    async with stage.broker() as broker:
        target = broker.context.targets["orders"]
        before = await take_picture(target, stage.target_database, "postgres")
        await scene.run("CREATE TABLE shop.here ()")
        main = await stage.server.connect()
        await main.execute("SELECT lo_create(42)")
        after = await take_picture(target, stage.target_database, "postgres")
        await main.execute("SELECT lo_unlink(42)")
        await main.close()
    assert after.databases == {stage.target_database, "postgres"}
    assert {(change.database, change.identity) for change in diff(before, after)} == {
        (stage.target_database, "table shop.here"),
        ("postgres", "large object 42"),
    }
