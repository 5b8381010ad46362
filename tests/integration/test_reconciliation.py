"""A target and the ledger compared: what should not be there, and what should."""

from collections.abc import AsyncIterator

import pytest

from broker.domain.grant import GrantEvent, GrantState
from broker.service.broker import Broker
from tests.support.people import get_grant, get_person
from tests.support.stage import DEV, Stage

pytestmark = pytest.mark.sample  # much the same on every major


async def reconcile(broker: Broker) -> None:
    await broker.reconciliation.reconcile(broker.context.targets["orders"])


async def alarms_about(stage: Stage, text: str) -> list[str]:
    return list(
        await stage.query_ledger(
            "SELECT array_agg(message) FROM curfew.alarms "
            "WHERE cleared_at IS NULL AND strpos(message, $1) > 0",
            text,
        )
        or []
    )


@pytest.fixture
async def stranger(stage: Stage) -> AsyncIterator[str]:
    """A role that somebody made by hand, and that looks like a login of ours."""
    name = f"jit_by_hand_{stage.target_database}"
    await stage.query(f"CREATE ROLE {name} LOGIN")
    yield name
    await stage.query(f"DROP ROLE IF EXISTS {name}")


async def test_a_hand_made_login_is_reported_once_and_left_alone(
    stage: Stage, stranger: str
) -> None:
    async with stage.broker() as broker:
        await reconcile(broker)
        await reconcile(broker)
        assert await stage.query("SELECT count(*) FROM pg_roles WHERE rolname = $1", stranger) == 1
        (message,) = await alarms_about(stage, stranger)
        assert "carries no mark of pgcurfew: it was made by hand" in message
        assert "unknown_logins: remove" in message
        await stage.query(f"DROP ROLE {stranger}")
        await reconcile(broker)
    assert await alarms_about(stage, stranger) == []


async def test_another_brokers_login_is_named_as_such(stage: Stage, stranger: str) -> None:
    mark = '{"pgcurfew": "another installation", "grant": "grt_1"}'
    await stage.query(f"COMMENT ON ROLE {stranger} IS '{mark}'")
    async with stage.broker() as broker:
        await reconcile(broker)
    (message,) = await alarms_about(stage, stranger)
    assert "was made by another pgcurfew (another installation)" in message


async def test_a_hand_made_login_is_removed_where_the_settings_say_so(
    stage: Stage, stranger: str
) -> None:
    orders = stage.settings()["targets"]["orders"]
    stage.write_settings(targets={"orders": {**orders, "unknown_logins": "remove"}})
    if stage.server.major >= 16:
        # Who has ADMIN on it may drop it; nobody else's roles are ours to touch there.
        await stage.query(f"GRANT {stranger} TO curfew_admin WITH ADMIN TRUE, SET TRUE")
    async with stage.broker() as broker:
        await stage.query(f"GRANT {stranger} TO curfew_admin")
        await reconcile(broker)
    assert await stage.query("SELECT count(*) FROM pg_roles WHERE rolname = $1", stranger) == 0
    assert await alarms_about(stage, stranger) == []
    removed = await stage.query_ledger(
        "SELECT data ->> 'login' FROM curfew.audit_events WHERE kind = 'login.leftover_removed'"
    )
    assert removed == stranger


@pytest.mark.pg(">= 16")
async def test_a_login_that_we_may_not_remove_is_an_alarm_with_the_statement(
    stage: Stage, stranger: str
) -> None:
    orders = stage.settings()["targets"]["orders"]
    stage.write_settings(targets={"orders": {**orders, "unknown_logins": "remove"}})
    async with stage.broker() as broker:
        await reconcile(broker)
        (message,) = await alarms_about(stage, stranger)
    assert f'ALTER ROLE "{stranger}" NOLOGIN' in message
    assert "a superuser must give the privilege back" in message


async def test_a_login_of_a_restored_target_is_removed_with_what_it_owns(stage: Stage) -> None:
    """The ledger has forgotten the grant; the login's only membership says where things belong."""
    async with stage.broker() as broker:
        details = await get_grant(broker, "orders_owner")
        session = await stage.connect_as(details.login)
        await session.execute("CREATE TABLE shop.restored (id int)")
        await stage.query_ledger("DELETE FROM curfew.logins")
        await stage.query_ledger(
            "UPDATE curfew.grants SET state = 'ended', ended_at = now(), end_reason = 'expired'"
        )
        await reconcile(broker)
        session.terminate()
    assert await stage.logins_left() == []
    owner = await stage.query("SELECT tableowner FROM pg_tables WHERE tablename = 'restored'")
    assert owner == "orders_owner"


async def test_a_grant_whose_login_vanished_ends_and_says_so(stage: Stage) -> None:
    async with stage.broker() as broker:
        details, other = await get_grant(broker), await get_grant(broker)
        await stage.query(f'DROP ROLE "{details.login}"')
        await reconcile(broker)
        await broker.work.work_on(details.grant.id)
        dev = await get_person(broker, DEV)
        ended = await broker.grants.get(details.grant.id, dev)
        receipt = await broker.grants.get_receipt(details.grant.id, dev)
        assert (await broker.grants.get(other.grant.id, dev)).grant.state is GrantState.ACTIVE
    assert ended.grant.state is GrantState.ENDED
    assert ended.grant.end_reason is GrantEvent.VANISHED
    assert receipt.facts["proved"]
    assert len(await alarms_about(stage, "gone from the target, and not by us")) == 1
