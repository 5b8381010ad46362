"""kill -9 of a broker before every single statement, or before every third where PostgreSQL is not
the newest: the ledger stays consistent and, after a restart, no login is left that should not be
there."""

import asyncio
import itertools
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broker.domain.grant import GrantState
from broker.domain.request import RequestState
from broker.reaper import do_what_is_due
from broker.service.broker import Broker
from tests.support.crash import mortal_broker
from tests.support.people import get_grant, get_person, wish
from tests.support.stage import DEV, REVIEWER, Stage

pytestmark = pytest.mark.sample

_MOST_STEPS = 100


@pytest.fixture
def steps(*, is_thorough: bool) -> Iterable[int]:
    return itertools.count(1, 1 if is_thorough else 3)


async def _recover(broker: Broker) -> None:
    """What a restarted broker does, at a time when every retry is due, until nothing is."""
    later = datetime.now(UTC) + timedelta(minutes=6)
    restarted = Broker(replace(broker.context, now=lambda: later))
    async with asyncio.timeout(20):
        while True:
            await do_what_is_due(restarted)
            # The dead broker's ledger connection may hold its lock for another moment.
            if not await restarted.work.fetch_due():
                break
    await restarted.reconciliation.reconcile(restarted.context.targets["orders"])


async def test_a_crash_while_provisioning_leaves_an_active_grant_or_none(
    stage: Stage, steps: Iterable[int]
) -> None:
    seen = set()
    async with stage.broker() as broker, mortal_broker(stage.config) as mortal:
        dev = await get_person(broker, DEV)
        for step in steps:
            assert step < _MOST_STEPS
            asked = await broker.ask(wish(), dev)
            finished = await mortal.run_until(step, "approve", asked.request.id, REVIEWER)
            await _recover(broker)
            found = (await broker.requests.get(asked.request.id, dev)).request
            seen.add(found.state)
            if found.grant_id is None:
                assert found.state is RequestState.PENDING
                assert await stage.logins_left() == []
                continue
            details = await broker.grants.get(found.grant_id, dev)
            assert details.grant.state is GrantState.ACTIVE
            assert await stage.logins_left() == [details.login]
            await broker.grants.hand_out(details.grant.id, dev, source=None)
            await broker.relinquish(details.grant.id, dev)
            assert await stage.logins_left() == []
            if finished:
                break
    assert seen == {RequestState.PENDING, RequestState.APPROVED}
    assert step > 15, "the trap did not count the statements of a whole approval"


async def test_a_crash_while_removing_leaves_no_login(stage: Stage, steps: Iterable[int]) -> None:
    async with stage.broker() as broker, mortal_broker(stage.config) as mortal:
        dev = await get_person(broker, DEV)
        for step in steps:
            assert step < _MOST_STEPS
            details = await get_grant(broker, "orders_owner")
            await stage.query(f"""ALTER ROLE "{details.login}" PASSWORD 'known'""")
            session = await stage.server.connect(
                stage.target_database, user=details.login, password="known"
            )
            await session.execute(f"CREATE TABLE shop.made_{step} (id int)")
            finished = await mortal.run_until(step, "relinquish", details.grant.id, DEV)
            await _recover(broker)
            found = await broker.grants.get(details.grant.id, dev)
            if found.grant.state is GrantState.ACTIVE:
                # It died before the intent was written: the grant goes on, and ends as usual.
                assert await session.fetchval("SELECT 1") == 1
                found = await broker.relinquish(details.grant.id, dev)
            session.terminate()
            assert found.grant.state is GrantState.ENDED
            receipt = await broker.grants.get_receipt(details.grant.id, dev)
            assert receipt.facts["proved"]
            assert await stage.logins_left() == []
            if finished:
                break
    assert step > 20, "the trap did not count the statements of a whole removal"


async def test_a_crash_while_handing_out_is_mended_by_asking_again(
    stage: Stage, steps: Iterable[int]
) -> None:
    async with stage.broker() as broker, mortal_broker(stage.config) as mortal:
        dev = await get_person(broker, DEV)
        details = await get_grant(broker)
        for step in steps:
            assert step < _MOST_STEPS
            finished = await mortal.run_until(step, "hand_out", details.grant.id, DEV)
            credential = await broker.grants.hand_out(details.grant.id, dev, source=None)
            assert credential.user == details.login
            if finished:
                break
    assert step > 10, "the trap did not count the statements of a whole hand-out"
