"""A call that is sent again with its idempotency key is done once, whatever happens in between."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from multidict import CIMultiDictProxy

from api.app import make_app
from broker.domain.errors import OutcomeUnknown
from broker.domain.idempotency import KEPT_FOR, LONGEST_CALL, Answer, Call, fingerprint
from broker.ledger import idempotency_keys
from broker.ledger.connection import Db, transaction
from broker.service.broker import Broker
from broker.service.idempotency import Begun
from tests.support.house import House, house_on
from tests.support.stage import DEV, OTHER_DEV, SECOND_REVIEWER, Stage

pytestmark = pytest.mark.newest  # about the ledger, whose PostgreSQL is the operator's choice

ASKED = {"target": "orders", "role": "orders_reader", "duration": "PT1H"}
_KEPT = "SELECT coalesce(string_agg(k::text, ''), '') FROM curfew.idempotency_keys AS k"
_COUNT = "SELECT count(*) FROM curfew.{}"


@dataclass(frozen=True, slots=True)
class Answered:
    status: int
    said: Any
    headers: CIMultiDictProxy[str]

    @property
    def is_replayed(self) -> bool:
        return self.headers.get("Idempotency-Replayed") == "true"


@pytest.fixture
async def house(stage: Stage) -> AsyncIterator[House]:
    async with house_on(stage) as made:
        yield made


async def post(
    house: House, path: str, key: str, body: dict[str, Any] | None = None, *, who: str = DEV
) -> Answered:
    headers = {"Authorization": f"Bearer {await house.token(who)}", "Idempotency-Key": key}
    async with house.client.post(path, json=body or {}, headers=headers) as response:
        return Answered(response.status, await response.json(), response.headers)


async def call_of(house: House, key: str, path: str = "/v1/requests") -> Call:
    """Return the call that `post` makes with ASKED."""
    body = json.dumps(ASKED).encode()
    return Call((await house.person(DEV)).id, key, fingerprint("POST", path, body))


async def begin(broker: Broker, call: Call) -> Begun:
    begun = await broker.idempotency.begin(call)
    assert isinstance(begun, Begun)
    return begun


def later(broker: Broker, by: timedelta) -> Broker:
    """The same broker, some time later."""
    now = broker.context.now
    return Broker(replace(broker.context, now=lambda: now() + by))


async def test_the_same_call_gets_the_same_answer_and_is_done_once(
    stage: Stage, house: House
) -> None:
    first = await post(house, "/v1/requests", "one", ASKED)
    # The draft's way to write it, and the plain one, are the same key.
    again = await post(house, "/v1/requests", '"one"', ASKED)
    assert (first.status, again.status) == (201, 201)
    assert (first.is_replayed, again.is_replayed) == (False, True)
    assert again.said == first.said
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert await stage.query_ledger(_COUNT.format("requests")) == 1


async def test_a_key_is_of_one_call_by_one_person(stage: Stage, house: House) -> None:
    first = await post(house, "/v1/requests", "one", ASKED)
    request = f"/v1/requests/{first.said['id']}"
    for path, body in (
        ("/v1/requests", {**ASKED, "reason": "another"}),
        ("/v1/requests?x=1", ASKED),
        (f"{request}/cancellation", {}),
    ):
        other = await post(house, path, "one", body)
        assert (other.status, other.said["code"]) == (422, "idempotency-key-reused")
    theirs = await post(house, "/v1/requests", "one", ASKED, who=OTHER_DEV)
    assert (theirs.status, theirs.is_replayed) == (201, False)
    assert await stage.query_ledger(_COUNT.format("requests")) == 2


@pytest.mark.parametrize("key", ["x" * 256, '""', "\xe9"])
async def test_what_is_no_key_is_refused_before_anything_is_done(
    stage: Stage, house: House, key: str
) -> None:
    refused = await post(house, "/v1/requests", key, ASKED)
    assert (refused.status, refused.said["code"]) == (422, "idempotency-key-malformed")
    assert await stage.query_ledger(_COUNT.format("requests")) == 0


async def test_a_refused_call_leaves_its_key_to_the_next_attempt(house: House) -> None:
    refused = await post(house, "/v1/requests", "one", {**ASKED, "role": "orders_king"})
    assert refused.status == 422
    assert (await post(house, "/v1/requests", "one", ASKED)).status == 201


async def test_what_only_reads_is_done_again(stage: Stage, house: House) -> None:
    for _ in range(2):
        asked = await post(house, "/v1/policies/test", "one", ASKED)
        assert (asked.status, asked.is_replayed) == (200, False)
    assert await stage.query_ledger(_COUNT.format("idempotency_keys")) == 0


async def test_one_of_two_processes_with_the_same_call_does_it(
    stage: Stage, house: House, race_rounds: int
) -> None:
    @asynccontextmanager
    async def other_process() -> AsyncIterator[House]:
        async with stage.broker() as broker:
            await broker.policies.begin()
            async with TestClient(TestServer(make_app(broker))) as client:
                yield House(broker, client, house.tokens)

    await house.token(DEV)
    async with other_process() as other:
        for key in map(str, range(race_rounds)):
            answers = await asyncio.gather(
                *(post(each, "/v1/requests", key, ASKED) for each in (house, other) * 3)
            )
            done = [each for each in answers if each.status == 201]
            left = [each for each in answers if each.status != 201]
            assert [each.is_replayed for each in done].count(False) == 1
            assert len({each.said["id"] for each in done}) == 1
            assert {each.said["code"] for each in left} <= {"idempotency-key-in-use"}
    assert await stage.query_ledger(_COUNT.format("requests")) == race_rounds


async def test_a_process_that_dies_leaves_its_call_as_one_of_which_nobody_knows(
    house: House,
) -> None:
    begun = await begin(house.broker, await call_of(house, "one"))
    busy = await post(house, "/v1/requests", "one", ASKED)
    assert (busy.status, busy.said["code"]) == (409, "idempotency-key-in-use")
    with pytest.raises(OutcomeUnknown):
        await later(house.broker, LONGEST_CALL).idempotency.begin(begun.call)


async def test_a_call_that_fails_after_it_did_something_is_not_done_again(
    house: House,
) -> None:
    """The ledger may be lost on the answer to COMMIT, too: so what was begun counts as done."""
    for key, writes, code in (("one", True, "idempotency-outcome-unknown"), ("two", False, None)):
        begun = await begin(house.broker, await call_of(house, key))
        with begun.under_way():
            if writes:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(_write(house.broker))
        await house.broker.idempotency.failed(begun, refused=False)
        again = await post(house, "/v1/requests", key, ASKED)
        assert again.said.get("code") == code


async def _write(broker: Broker) -> None:
    async with transaction(broker.context.ledger) as db:
        await db.execute("SELECT 1")


async def test_a_secret_is_never_kept(stage: Stage, house: House) -> None:
    asked = await post(house, "/v1/requests", "ask", ASKED)
    approval = f"/v1/requests/{asked.said['id']}/approval"
    approved = await post(house, approval, "approve", who=SECOND_REVIEWER)
    credential = f"/v1/grants/{approved.said['grant']['id']}/credential"
    secrets = []
    for path, body, secret_in in (
        (credential, {}, "password"),
        ("/v1/tokens", {"label": "x"}, "token"),
    ):
        first = await post(house, path, path, body)
        assert first.status == 201
        assert "no-store" in first.headers["Cache-Control"]
        secrets.append(first.said[secret_in])
        again = await post(house, path, path, body)
        assert (again.status, again.said["code"]) == (409, "idempotency-answer-not-kept")
    kept = await stage.query_ledger(_KEPT)
    assert asked.said["id"] in kept
    assert not [each for each in secrets if each in kept]


async def test_after_a_day_a_key_is_forgotten(stage: Stage, house: House) -> None:
    calls = [await call_of(house, key) for key in ("one", "two")]
    for call in calls:
        begun = await begin(house.broker, call)
        await house.broker.idempotency.answered(begun, Answer(201, "application/json", "{}"))
    tomorrow = later(house.broker, KEPT_FOR)
    # Also before anybody has tidied up.
    await begin(tomorrow, calls[0])
    await tomorrow.idempotency.forget_old()
    assert await stage.query_ledger("SELECT array_agg(key) FROM curfew.idempotency_keys") == ["one"]


async def test_no_note_of_a_call_waits_for_the_disk(house: House) -> None:
    """What is done for the call is committed after it, and takes it there."""
    ledger, now = house.broker.context.ledger, house.broker.context.now()
    call = await call_of(house, "quick")

    async def waits(db: Db) -> str:
        return str(await db.fetchval("SELECT current_setting('synchronous_commit')"))

    async with transaction(ledger) as db:
        assert await waits(db) == "on"
        assert await idempotency_keys.begin(db, call, now, now - KEPT_FOR)
        assert await waits(db) == "off"
    async with transaction(ledger) as db:
        await idempotency_keys.end(db, call, now, now, Answer(200, "text/plain", "done"))
        assert await waits(db) == "off"
    async with transaction(ledger) as db:
        await idempotency_keys.release(db, call, now)
        assert await waits(db) == "off"
    async with transaction(ledger) as db:
        assert await waits(db) == "on"
