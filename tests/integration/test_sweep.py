"""What did they leave? Found, accepted, flagged or undone, as the policy says."""

from typing import Any

import yaml

from broker.domain.grant import GrantState
from broker.service.broker import Broker
from broker.service.grants import GrantDetails
from tests.support.people import get_grant, get_person
from tests.support.stage import DEV, Stage

_TROJAN = """
    CREATE FUNCTION shop.evil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
    CREATE TRIGGER audit BEFORE INSERT ON shop.orders
        FOR EACH ROW EXECUTE FUNCTION shop.evil();
"""


def _sweep(stage: Stage, **rules: list[str]) -> None:
    path = stage.folder / "policies.yaml"
    policies: dict[str, Any] = yaml.safe_load(path.read_text())
    policies["policies"][1]["sweep"] = rules
    path.write_text(yaml.safe_dump(policies))


async def _use(stage: Stage, broker: Broker, sql: str) -> tuple[GrantDetails, list[str]]:
    """Let a login of orders_owner run `sql`; return the ended grant and its findings."""
    details = await get_grant(broker, "orders_owner")
    session = await stage.connect_as(details.login)
    await session.execute(sql)
    await session.close()
    dev = await get_person(broker, DEV)
    ended = await broker.relinquish(details.grant.id, dev)
    found = await broker.grants.get_findings(details.grant.id, dev)
    return ended, [finding.description for finding in found]


async def test_a_grant_that_changed_nothing_has_no_findings(stage: Stage) -> None:
    async with stage.broker() as broker:
        ended, found = await _use(stage, broker, "SELECT count(*) FROM shop.orders")
    assert ended.grant.state is GrantState.ENDED
    assert found == []


async def test_what_no_rule_names_is_flagged(stage: Stage) -> None:
    async with stage.broker() as broker:
        _ended, found = await _use(stage, broker, _TROJAN)
        receipt = await broker.grants.get_receipt(_ended.grant.id, await get_person(broker, DEV))
    assert [line.rpartition(": ")[2] for line in found] == ["flagged", "flagged"]
    assert any("added trigger audit on shop.orders" in line for line in found)
    assert any("added function shop.evil()" in line for line in found)
    assert receipt.facts["findings"] == found


async def test_what_a_policy_wants_undone_is_gone_and_the_rest_stays(stage: Stage) -> None:
    _sweep(stage, undo=["trigger", "object"], accept=["large_object"])
    async with stage.broker() as broker:
        ended, found = await _use(
            stage, broker, _TROJAN + "CREATE TABLE shop.made (id int); SELECT lo_create(0);"
        )
    assert ended.grant.state is GrantState.ENDED
    dispositions = sorted(line.rpartition(": ")[2] for line in found)
    assert dispositions == ["accepted", "undone", "undone", "undone"]
    assert await stage.query("SELECT count(*) FROM pg_trigger WHERE tgname = 'audit'") == 0
    assert await stage.query("SELECT count(*) FROM pg_tables WHERE tablename = 'made'") == 0
    assert await stage.query("SELECT count(*) FROM pg_largeobject_metadata") == 1
    assert await stage.query("SELECT count(*) FROM shop.orders") == 100


async def test_what_cannot_be_undone_says_so_and_removal_goes_on(stage: Stage) -> None:
    """Somebody else's view hangs on the table: no CASCADE, ever."""
    _sweep(stage, undo=["object"])
    async with stage.broker() as broker:
        details = await get_grant(broker, "orders_owner")
        session = await stage.connect_as(details.login)
        await session.execute("CREATE TABLE shop.made (id int)")
        await stage.query("CREATE VIEW public.theirs AS TABLE shop.made")
        dev = await get_person(broker, DEV)
        ended = await broker.relinquish(details.grant.id, dev)
        found = await broker.grants.get_findings(details.grant.id, dev)
        session.terminate()
    assert ended.grant.state is GrantState.ENDED
    by_name = {finding.data["identity"]: finding for finding in found}
    failed = by_name["table shop.made"]
    assert failed.disposition == "undo_failed"
    assert "other objects depend on it" in failed.data["note"]
    alarm = await stage.query_ledger("SELECT message FROM curfew.alarms WHERE cleared_at IS NULL")
    assert "what was to be undone stays: added table shop.made" in alarm
    assert await stage.query("SELECT count(*) FROM public.theirs") == 0


async def test_what_another_grant_may_have_done_is_never_undone(stage: Stage) -> None:
    """A picture cannot tell who. Two grants of the role at once: a human must look."""
    _sweep(stage, undo=["object"])
    async with stage.broker() as broker:
        other = await get_grant(broker, "orders_owner")
        ended, found = await _use(stage, broker, "CREATE TABLE shop.made (id int)")
        await broker.relinquish(other.grant.id, await get_person(broker, DEV))
    assert ended.grant.state is GrantState.ENDED
    assert found == ["added table shop.made (owner orders_owner): flagged"]
    assert await stage.query("SELECT count(*) FROM pg_tables WHERE tablename = 'made'") == 1


async def test_other_grants_logins_are_no_findings(stage: Stage) -> None:
    async with stage.broker() as broker:
        first = await get_grant(broker, "orders_owner")
        second = await get_grant(broker)
        dev = await get_person(broker, DEV)
        await broker.relinquish(first.grant.id, dev)
        third = await get_grant(broker)
        for each in (second, third):
            await broker.relinquish(each.grant.id, dev)
        found = [
            await broker.grants.get_findings(each.grant.id, dev) for each in (first, second, third)
        ]
    assert found == [[], [], []]


async def test_an_event_trigger_of_the_group_never_runs_with_our_rights(stage: Stage) -> None:
    """Its function would run in the broker's session while that acts as the login: there it could
    become the admin role. So nothing is run, and a human is called."""
    main = await stage.server.connect(stage.target_database)
    try:
        await main.execute(
            "CREATE FUNCTION shop.spy() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
            "ALTER FUNCTION shop.spy() OWNER TO orders_owner;"
            "CREATE EVENT TRIGGER spy ON ddl_command_start EXECUTE FUNCTION shop.spy()"
        )
        async with stage.broker() as broker:
            details = await get_grant(broker, "orders_owner")
            session = await stage.connect_as(details.login)
            await session.execute(
                "CREATE OR REPLACE FUNCTION shop.spy() RETURNS event_trigger LANGUAGE plpgsql AS "
                "'BEGIN PERFORM set_config(''role'', ''none'', false); "
                "PERFORM set_config(''role'', ''curfew_admin'', false); "
                "CREATE ROLE jit_stolen; END'"
            )
            await session.execute("SELECT lo_create(0)")
            await session.close()
            held = await broker.relinquish(details.grant.id, await get_person(broker, DEV))
            stolen = await main.fetchval(
                "SELECT count(*) FROM pg_roles WHERE rolname = 'jit_stolen'"
            )
            await main.execute("ALTER EVENT TRIGGER spy DISABLE")
    finally:
        await main.execute("DROP EVENT TRIGGER spy")
        await main.close()
    assert stolen == 0
    assert held.grant.state is GrantState.QUARANTINED
    assert "event trigger spy calls shop.spy() of orders_owner" in (held.grant.last_error or "")
