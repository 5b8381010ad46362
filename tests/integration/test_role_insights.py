"""What roles may do, what approving risks, and who and what is on a target: PostgreSQL says."""

import asyncio
import itertools
import os
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from broker.domain.leftovers import LeftoverKind
from broker.domain.role.facts import READS, Unseen
from broker.domain.role.holdings import Extent, Holdings, holdings_of
from broker.domain.role.meaning import meaning_of
from broker.domain.role.membership import WhoIsInWhat
from broker.domain.role.risk import Level, risk_of
from broker.service.broker import Broker
from broker.service.role_insights import Assessment
from broker.target.privileges import fetch_abilities
from broker.target.role_look import look_at_roles
from tests.integration.test_record import cli
from tests.support.house import AUDITOR, house_on
from tests.support.people import get_person, wish
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, Stage

GROUPS = ("orders_owner", "orders_reader", "orders_writer")
TAGS = ["shop.customers.email", "*.*.PASSWORD*"]
_MORE = """
    CREATE TABLE shop.customers (id int, email text, note text, password_hash text);
    COMMENT ON COLUMN shop.customers.note IS 'PII: what they told us';
    COMMENT ON COLUMN shop.customers.id IS 'piin and unpersonal: words are words';
    ALTER TABLE shop.customers ENABLE ROW LEVEL SECURITY;
    GRANT SELECT (id, email, note) ON shop.customers TO orders_reader;
    GRANT SELECT, UPDATE ON shop.customers TO orders_writer;
    CREATE TABLE shop.events (at date, what text) PARTITION BY RANGE (at);
    CREATE TABLE shop.events_1 PARTITION OF shop.events
        FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
    INSERT INTO shop.events SELECT '2020-02-02', 'x' FROM generate_series(1, 1000);
    GRANT SELECT ON shop.events TO orders_reader, orders_writer;
    ANALYZE shop.events; ANALYZE shop.orders;
    CREATE SEQUENCE shop.numbers;
    GRANT USAGE ON SEQUENCE shop.numbers TO orders_writer;
    CREATE VIEW shop.cheap AS SELECT id FROM shop.orders;
    GRANT SELECT ON shop.cheap TO orders_reader, orders_writer;
    CREATE FUNCTION shop.recount() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
    REVOKE EXECUTE ON FUNCTION shop.recount FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION shop.recount TO orders_writer;
    GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_waldir() TO orders_writer;
    GRANT CREATE ON SCHEMA shop TO orders_writer;
    CREATE SCHEMA hidden; CREATE TABLE hidden.t (); GRANT SELECT ON hidden.t TO PUBLIC;
    ALTER DEFAULT PRIVILEGES FOR ROLE orders_owner IN SCHEMA shop
        GRANT SELECT ON TABLES TO orders_reader;
    CREATE TYPE shop.mood AS ENUM ('good'); ALTER TYPE shop.mood OWNER TO orders_owner
"""

_MANY = 5_000
# In several transactions, as each table is a lock. Every hundredth has privileges of its own.
_MANY_TABLES = f"""
    DO $$ BEGIN
        EXECUTE 'ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO orders_reader';
        FOR n IN 1..{_MANY} LOOP
            EXECUTE format('CREATE UNLOGGED TABLE shop.t%s (id int, email text)', n);
            IF n % 100 = 0 THEN
                EXECUTE format('GRANT UPDATE (email) ON shop.t%s TO orders_writer', n);
            END IF;
            IF n % 500 = 0 THEN COMMIT; END IF;
        END LOOP;
    END $$
"""


@asynccontextmanager
async def broker_with_tags(stage: Stage) -> AsyncIterator[Broker]:
    orders = {**stage.settings()["targets"]["orders"], "sensitive_columns": TAGS}
    stage.write_settings(targets={"orders": orders})
    async with stage.broker() as broker:
        yield broker


def holdings(assessed: Assessment | Unseen) -> Holdings:
    assert isinstance(assessed, Assessment)
    return assessed.holdings


async def test_what_each_role_may_do_is_said_in_plain_words(stage: Stage) -> None:
    for sql in filter(str.strip, _MORE.split(";")):
        await stage.query(sql)
    async with broker_with_tags(stage) as broker:
        dev = await get_person(broker, DEV)
        asking = [broker.role_insights.roles("orders", dev) for _ in range(3)]
        insights, *others = await asyncio.gather(*asking)
        assessed = {each.role.name: each.assessed for each in insights}
        owner, reader, writer = (holdings(assessed[role]) for role in GROUPS)
        assert (reader.look.complete, reader.look.server_version // 10000) == (
            True,
            stage.server.major,
        )
        # One looked, for all of them.
        assert all(holdings(each.assessed).look is reader.look for each in itertools.chain(*others))
        assert [each.text for each in meaning_of(reader).lines] == [
            "reads 2 tables in schema shop",
            "reads some columns of 1 table in schema shop: customers.email, customers.id, "
            "customers.note",
            "uses 1 view in schema shop, which shows what its owner may read",
            "sees only some rows of 1 table: row security holds there",
            "will have SELECT on tables that orders_owner makes in schema shop",
        ]
        assert [each.text for each in meaning_of(writer).lines] == [
            "runs 1 function as a superuser in schema shop: recount",
            "reads 3 tables in schema shop, changes 2 of them (DELETE, INSERT, UPDATE)",
            "uses 1 view in schema shop, which shows what its owner may read",
            "uses 1 sequence in schema shop",
            "runs 1 function, not for everybody in schema pg_catalog: pg_ls_waldir",
            "may create tables and functions in 1 schema: shop",
            "sees only some rows of 1 table: row security holds there",
        ]
        assert "owns 1 table in schema shop: it may alter and drop it" in [
            each.text for each in meaning_of(owner).lines
        ]
        risk = risk_of(reader, meaning_of(reader))
        assert (risk.level, risk.sensitive_count) == (Level.HIGH, 2)
        assert [each.name for each in risk.sensitive] == [
            "shop.customers.email",
            "shop.customers.note",
        ]
        assert [each.name for each in risk_of(writer, meaning_of(writer)).sensitive] == [
            "shop.customers.email",
            "shop.customers.note",
            "shop.customers.password_hash",
        ]
        size = await stage.query(
            "SELECT sum(pg_total_relation_size(each)) FROM unnest(ARRAY['shop.orders',"
            " 'shop.events_1', 'shop.customers']::regclass[]) AS each"
        )
        assert risk.reads == Extent(tables=3, rows=1100, rows_unknown=1, size=size)
        async with broker.context.targets["orders"].admin() as db:
            for name, abilities in (await fetch_abilities(db, GROUPS)).items():
                counts = {each.privilege.value: 0 for each in abilities}
                for each in abilities:
                    counts[each.privilege.value] += each.relation.name not in ("cheap", "events_1")
                ours = holdings(assessed[name]).tables_by_privilege()
                assert {each: ours.get(each, 0) for each in counts} == counts


async def test_who_is_in_what_and_what_should_not_be_there(stage: Stage) -> None:
    """Somebody's own login through a group of theirs, and one that only looks like ours."""
    tail = f"{os.getpid()}_{stage.server.major}"
    team, nurse, fake = f"team_{tail}", f"nurse_{tail}", f"jit_fake_{tail}"
    await stage.query(f"CREATE ROLE {team} NOLOGIN")
    await stage.query(f"CREATE ROLE {nurse} LOGIN IN ROLE {team} VALID UNTIL '2100-01-01 00:00Z'")
    await stage.query(f"CREATE ROLE {fake} LOGIN IN ROLE orders_reader")
    await stage.query(f"GRANT orders_reader TO {team}")
    try:
        async with stage.broker() as broker:
            found = await broker.role_insights.members("orders")
            asked = await broker.ask(wish(), await get_person(broker, DEV))
            reviewer = await get_person(broker, REVIEWER)
            radius = await broker.blast_radius.of(asked.request.id, reviewer)
            left = await broker.leftovers.of("orders")
    finally:
        await stage.query(f"DROP ROLE {nurse}, {fake}, {team}")
    assert isinstance(found, WhoIsInWhat)
    (reader,) = (each for each in found.groups if each.role.name == "orders_reader")
    members = {each.role.name: each for each in reader.members}
    assert reader.in_catalog
    assert (members[nurse].through, members[nurse].inherits) == ((team,), True)
    assert members[nurse].role.valid_until == datetime(2100, 1, 1, tzinfo=UTC)
    assert (members[fake].stranger, members[fake].through) == (True, ())
    admin = members["curfew_admin"]
    assert (admin.admin, admin.inherits, admin.sets) == (True, False, stage.server.major < 16)
    assert stage.server.superuser in [each.name for each in found.superusers]
    assert radius.role is not None
    assert {nurse, fake} <= {each.name for each in radius.role.members}
    assert "curfew_broker_1" not in [each.name for each in radius.role.members]
    (stranger,) = (each for each in left.items if each.name == fake)
    assert (stranger.kind, stranger.sql[0]) == (
        LeftoverKind.BY_HAND,
        f'ALTER ROLE "{fake}" NOLOGIN',
    )


@pytest.mark.newest
async def test_an_approver_sees_who_else_has_it_and_which_role_would_do(stage: Stage) -> None:
    async with house_on(stage) as house:
        await house.holding_of(OTHER_DEV)
        status, asked = await house.call(
            DEV,
            "POST",
            "/v1/requests",
            {"target": "orders", "role": "orders_writer", "duration": "PT1H", "reason": "now"},
        )
        assert status == 201, asked
        other = await house.holding_of(DEV)
        path = f"/v1/requests/{asked['id']}/blast-radius"
        status, approvers = await house.call(REVIEWER, "GET", path)
        assert (status, approvers["assessment"]["level"]) == (200, "medium")
        assert approvers["assessment"]["reasons"][0].startswith("changes 1 table with")
        assert [(each["name"], each["may_ask"]) for each in approvers["smaller"]] == [
            ("orders_reader", True)
        ]
        (status, own), (_, about_reader) = (
            await house.call(DEV, "GET", path),
            await house.call(REVIEWER, "GET", f"/v1/requests/{other.request}/blast-radius"),
        )
        assert (status, own["holders"], own["members"]) == (200, None, None)
        assert [each["person"] for each in about_reader["holders"]] == [OTHER_DEV]
        assert (await house.call(OTHER_DEV, "GET", path))[0] == 404
        async with house.client_of(DEV) as dev:
            roles = (await dev.list_roles("orders")).items
            target = await dev.get_target("orders")
        assert [(each.name, each.may_ask, each.living_grants) for each in roles] == [
            ("orders_owner", True, 0),
            ("orders_reader", True, 2),
            ("orders_writer", True, 0),
        ]
        assert (target.operating, target.database) == (None, stage.target_database)
        async with house.client_of(AUDITOR) as auditor:
            members = await auditor.list_members("orders")
            operating = (await auditor.get_target("orders")).operating
        assert operating is not None
        assert operating.login == "curfew_broker_1"
        shown = await cli(house, DEV, "roles", "show", "orders", "orders_writer")
        assert "reads 1 table in schema shop, changes it" in shown.stdout
        listed = await cli(house, DEV, "roles", "ls", "orders")
        assert "reads 1 table, changes none" in listed.stdout
        for command in ("members", "leftovers"):
            assert (await cli(house, AUDITOR, "roles", command, "orders")).stdout
        risk = await cli(house, REVIEWER, "show", asked["id"], "--blast-radius")
        assert "medium" in risk.stdout
        logins = [each for group in members.groups for each in group.members if each.grant_id]
        assert {each.person for each in logins} == {DEV, OTHER_DEV}


@pytest.mark.newest
async def test_a_target_that_is_away_is_said_to_be_and_fails_no_list(stage: Stage) -> None:
    async with house_on(stage) as house:
        holding = await house.holding_of(DEV)
        await stage.query("ALTER ROLE curfew_broker_1 CONNECTION LIMIT 0")
        try:
            async with house.client_of(AUDITOR) as auditor:
                (first, *_) = (await auditor.list_roles("orders")).items
                members = await auditor.list_members("orders")
                left = await auditor.list_leftovers("orders")
                radius = await auditor.get_blast_radius(holding.request)
        finally:
            await stage.query("ALTER ROLE curfew_broker_1 CONNECTION LIMIT -1")
    assert first.assessment is None
    assert first.unseen
    assert (members.unseen, radius.unseen) == (first.unseen, first.unseen)
    assert radius.smaller is None
    assert left.complete


@pytest.mark.newest
async def test_a_database_of_many_thousand_tables_is_looked_at_within_its_time(
    stage: Stage,
) -> None:
    await stage.query(_MANY_TABLES)
    async with stage.broker() as broker:
        target = broker.context.targets["orders"]
        tracemalloc.start()
        began = time.monotonic()
        try:
            look = await look_at_roles(
                target, stage.target_database, GROUPS, TAGS, lambda: datetime.now(UTC)
            )
            took = time.monotonic() - began
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert look.complete
    reader = holdings_of(look, "orders_reader", may_set_role=False)
    assert reader is not None
    assert reader.extent(READS).tables == _MANY + 1
    assert took < 8
    assert peak < 8 * 1024**2
