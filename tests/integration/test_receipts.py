"""Receipts: what was read after the fact, in a chain that shows every change."""

import hashlib
import json

import pytest

from broker.domain.grant import GrantState
from broker.service.broker import Broker
from broker.service.grants import GrantDetails
from tests.support.people import get_grant, get_person
from tests.support.stage import DEV, Stage


async def end(broker: Broker, details: GrantDetails) -> None:
    await broker.relinquish(details.grant.id, await get_person(broker, DEV))


async def test_a_receipt_says_what_was_asked_when_and_what_was_done(stage: Stage) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker, "orders_owner")
        session = await stage.connect_as(details.login)
        await session.execute("CREATE TABLE shop.made (id int)")
        await end(broker, details)
        receipt = await broker.grants.get_receipt(details.grant.id, await get_person(broker, DEV))
    facts = receipt.facts
    assert [(line["claim"], line["count"]) for line in facts["lines"]] == [
        ("the login is gone", 0),
        ("no session of it", 0),
        ("no membership in it or of it", 0),
        ("it owns nothing in any database", 0),
        ("no privilege, default privilege or policy names it in any database", 0),
        ("no parameter is set for it", 0),
        ("no prepared transaction of it", 0),
        ("no proxy has a session of it", 0),
    ]
    assert all(line["proved"] and line["read_at"] for line in facts["lines"])
    done = [step["statement"] for step in facts["steps"]]
    assert done[0].startswith(f'ALTER ROLE "{details.login}" NOLOGIN PASSWORD NULL')
    assert f'REASSIGN OWNED BY "{details.login}" TO "orders_owner"' in done
    assert done[-1] == f'DROP ROLE "{details.login}"'
    assert facts["findings"] == ["added table shop.made (owner orders_owner): flagged"]


@pytest.mark.sample
async def test_receipts_form_a_chain_that_anybody_can_check(stage: Stage) -> None:
    async with stage.broker() as broker:
        dev = await get_person(broker, DEV)
        previous = bytes(32)
        for number in (1, 2, 3):
            details = await get_grant(broker)
            await end(broker, details)
            receipt = await broker.grants.get_receipt(details.grant.id, dev)
            body = json.dumps(
                receipt.facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False
            )
            digest = hashlib.sha256(previous + number.to_bytes(8, "big") + body.encode())
            assert (receipt.link.number, receipt.link.previous) == (number, previous)
            assert receipt.link.hash == digest.digest()
            previous = receipt.link.hash
        chain = await broker.receipts.check_chain()
    assert (chain.receipts, chain.broken) == (3, None)


@pytest.mark.sample
@pytest.mark.parametrize(
    ("tampering", "number", "why"),
    [
        (
            "UPDATE curfew.receipts SET body = replace(body, 'orders', 'others') WHERE number = 2",
            2,
            "receipt 2 was changed",
        ),
        ("DELETE FROM curfew.receipts WHERE number = 2", 2, "receipt 2 is missing"),
        ("DELETE FROM curfew.receipts WHERE number = 3", 3, "the trail knows a receipt 3"),
        (
            "UPDATE curfew.receipts SET hash = sha256('x') WHERE number = 1",
            1,
            "receipt 1 was changed",
        ),
    ],
)
async def test_a_receipt_that_was_tampered_with_is_named(
    stage: Stage, tampering: str, number: int, why: str
) -> None:
    async with stage.broker() as broker:
        for _ in range(3):
            await end(broker, await get_grant(broker))
        await stage.query_ledger("ALTER TABLE curfew.receipts DISABLE TRIGGER append_only")
        await stage.query_ledger(tampering)
        chain = await broker.receipts.check_chain()
    assert chain.broken is not None
    assert (chain.broken.number, chain.broken.why) == (number, why)


@pytest.mark.sample
async def test_the_ledgers_own_user_cannot_change_a_receipt(stage: Stage) -> None:
    async with stage.broker() as broker:
        await end(broker, await get_grant(broker))
    with pytest.raises(Exception, match="append-only"):
        await stage.query_ledger("UPDATE curfew.receipts SET body = ''")


@pytest.mark.sample
async def test_a_session_that_no_proxy_has_closed_is_not_claimed_closed(stage: Stage) -> None:
    """The receipt never says more than was read, and an alarm goes out."""
    async with stage.broker() as broker:
        details = await get_grant(broker)
        await stage.query_ledger(
            "INSERT INTO curfew.sessions (id, grant_id, worker_id, client_address, "
            "client_application, started_at) VALUES ('ses_1', $1, 'wrk_1', '192.0.2.1', '', now())",
            details.grant.id,
        )
        await end(broker, details)
        dev = await get_person(broker, DEV)
        found = await broker.grants.get(details.grant.id, dev)
        receipt = await broker.grants.get_receipt(details.grant.id, dev)
    assert found.grant.state is GrantState.ENDED
    assert not receipt.facts["proved"]
    assert [line["claim"] for line in receipt.facts["lines"] if not line["proved"]] == [
        "no proxy has a session of it"
    ]
    alarm = await stage.query_ledger("SELECT message FROM curfew.alarms")
    assert alarm.endswith("its receipt cannot prove: no proxy has a session of it")
