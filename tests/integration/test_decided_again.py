"""What was decided once is decided again when it matters, by one state of the policies."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broker.domain.errors import (
    ApprovalNeeded,
    IllegalTransition,
    Invalid,
    NotReady,
    PolicyDenied,
    SelfApproval,
    TooManyAtOnce,
)
from broker.domain.grant import GrantState
from broker.domain.network import parse_network
from broker.domain.request import RequestState
from broker.ledger.connection import transaction
from broker.service.approvals import Consent
from broker.service.broker import Broker
from tests.integration.test_approvals import TWO_REVIEWERS, OnCallBook, foresight, with_on_call
from tests.integration.test_extension import QUARTER, more
from tests.integration.test_lifecycle import at
from tests.support.people import HOUR, get_grant, get_person, wish
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, SECOND_REVIEWER, Stage

pytestmark = pytest.mark.newest

FIRST_USE = {"starts": "first_use", "activate_within": "2h"}
ON_CALL = {
    "approval": {
        "from": [{"reviewers": True}],
        "on_call": {"schedules": ["primary"], "at_most": "30m"},
    }
}
SCHEDULES = {
    "schedules": {
        "primary": {
            "rota": {"people": [OTHER_DEV], "first": "2026-01-05T09:00", "zone": "Europe/Berlin"}
        }
    }
}


async def waiting_grant(broker: Broker) -> str:
    """Ask as DEV, approve as REVIEWER if somebody has to, and do not use it."""
    dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
    asked = (await broker.ask(wish(), dev)).request
    if asked.state is RequestState.PENDING:
        return (await broker.approve(asked.id, reviewer, Consent())).given.grant.id
    assert asked.grant_id is not None
    return asked.grant_id


async def test_who_asked_for_somebody_else_does_not_prolong_it_alone(stage: Stage) -> None:
    stage.write_policies({"on_behalf": {"groups": ["dba"]}})
    async with stage.broker() as broker:
        lead, second = await get_person(broker, REVIEWER), await get_person(broker, SECOND_REVIEWER)
        asked = (await broker.ask(replace(wish(), person=DEV), lead)).request
        grant = (await broker.approve(asked.id, second, Consent())).given.grant
        with pytest.raises(SelfApproval):
            await broker.extend(grant.id, lead, more())
        wanted = await broker.extend(grant.id, await get_person(broker, DEV), more())
        with pytest.raises(SelfApproval):
            await broker.approve(wanted.request.request.id, lead, Consent())
        extended = await broker.extend(grant.id, second, more())
        assert extended.given.grant.expires_at == grant.expires_at + QUARTER


async def test_what_was_asked_for_on_behalf_can_be_used_first(stage: Stage) -> None:
    stage.write_policies({"on_behalf": {"groups": ["dba"]}, **FIRST_USE})
    async with stage.broker() as broker:
        lead, second = await get_person(broker, REVIEWER), await get_person(broker, SECOND_REVIEWER)
        asked = (await broker.ask(replace(wish(), person=DEV), lead)).request
        grant = (await broker.approve(asked.id, second, Consent())).given.grant
        await broker.hand_out(grant.id, await get_person(broker, DEV), source=None)


async def test_what_nobody_agreed_to_is_not_begun_once_somebody_has_to(stage: Stage) -> None:
    stage.write_policies({"approval": "standing", **FIRST_USE})
    async with stage.broker() as broker:
        grant_id = await waiting_grant(broker)
    stage.write_policies(FIRST_USE)
    async with stage.broker() as broker:
        dev = await get_person(broker, DEV)
        with pytest.raises(ApprovalNeeded):
            await broker.hand_out(grant_id, dev, source=None)
    assert await stage.logins_left() == []


async def test_networks_that_a_policy_has_come_to_have_bound_what_begins_or_is_prolonged(
    stage: Stage,
) -> None:
    stage.write_policies(FIRST_USE)
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        begun, waiting = await waiting_grant(broker), await waiting_grant(broker)
        await broker.hand_out(begun, dev, source=None)
    stage.write_policies({**FIRST_USE, "networks": ["10.0.0.0/8"]})
    async with stage.broker() as broker:
        await broker.hand_out(waiting, dev, source=None)
        found = await broker.grants.get(waiting, dev)
        assert found.grant.networks == (parse_network("10.0.0.0/8"),)
        with pytest.raises(PolicyDenied, match="has come to bound networks"):
            await broker.extend(begun, reviewer, more())


async def test_what_has_waited_too_long_is_not_begun_even_if_the_clock_is_late(
    stage: Stage,
) -> None:
    stage.write_policies(FIRST_USE)
    async with stage.broker() as broker:
        dev, grant_id = await get_person(broker, DEV), await waiting_grant(broker)
        late = at(broker, (await broker.grants.get(grant_id, dev)).grant.expires_at)
        with pytest.raises(NotReady, match="has ended: make a new request"):
            await late.hand_out(grant_id, dev, source=None)
    assert await stage.logins_left() == []


async def test_a_request_is_not_approved_after_its_time_even_if_the_clock_is_late(
    stage: Stage,
) -> None:
    stage.write_policies({"approvable_for": "1h"})
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        asked = (await broker.ask(wish(), dev)).request
        with pytest.raises(IllegalTransition, match="is lapsed: it cannot be approved now"):
            await at(broker, asked.lapses_at).approve(asked.id, reviewer, Consent())


async def test_an_approval_is_for_as_long_as_was_agreed_and_not_as_who_is_on_call_gets(
    stage: Stage,
) -> None:
    """Who is on call gets half an hour at once; a prolongation used to cut longer grants to it."""
    stage.write_settings(oncall=SCHEDULES)
    stage.write_policies(ON_CALL)
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        asked = (await broker.ask(wish(duration=2 * HOUR), dev)).request
        on_call = with_on_call(broker, OnCallBook(primary=DEV))
        grant = (await on_call.approve(asked.id, reviewer, Consent())).given.grant
        assert grant.duration == 2 * HOUR
        wanted = await on_call.extend(grant.id, dev, more())
        assert wanted.request.request.state is RequestState.PENDING
        assert wanted.given.grant.expires_at == grant.expires_at
        extended = await on_call.extend(grant.id, reviewer, more())
        assert extended.given.grant.expires_at == grant.expires_at + QUARTER


async def test_what_cannot_end_later_is_not_prolonged(stage: Stage) -> None:
    stage.write_policies({"approval": "standing"})
    async with stage.broker() as broker:
        grant_id = await waiting_grant(broker)
    begins = datetime.now(UTC) + timedelta(minutes=5)
    span = f"{begins:%a %H:%M}-24:00".lower()
    freeze = {"approval": "deny", "hours": {"zone": "UTC", "open": [span]}}
    stage.write_policies({"approval": "standing"}, freeze)
    async with stage.broker() as broker:
        dev = await get_person(broker, DEV)
        before = (await broker.grants.get(grant_id, dev)).grant
        with pytest.raises(PolicyDenied, match=r"cannot end later than it does: .* denies it from"):
            await broker.extend(grant_id, dev, more())
        assert (await broker.grants.get(grant_id, dev)).grant == before


async def test_consent_to_a_later_curfew_takes_no_networks(stage: Stage) -> None:
    """Nothing would hold the sessions that are open to them."""
    async with stage.broker() as broker:
        grant = (await get_grant(broker)).grant
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        wanted = await broker.extend(grant.id, dev, more())
        for consent in (Consent(networks=()), Consent(pin_address=True)):
            with pytest.raises(Invalid, match="an extension moves the curfew and nothing else"):
                await broker.approve(wanted.request.request.id, reviewer, consent)


async def test_glass_that_is_broken_twice_for_a_grant_has_to_be_reviewed_twice(
    stage: Stage,
) -> None:
    approval = {"from": [{"groups": ["dba"], "count": 2}], "break_glass": {"groups": ["dba"]}}
    stage.write_policies({"approval": approval})
    async with stage.broker() as broker:
        dev, breaker = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        alone = Consent(break_glass=True)
        asked = (await broker.ask(wish(), dev)).request
        grant = (await broker.approve(asked.id, breaker, alone)).given.grant
        for text in ("The disk was full.", "It was still full."):
            wanted = (await broker.extend(grant.id, dev, more())).request.request
            await broker.approve(wanted.id, breaker, alone)
            assert (await broker.reviews.get(grant.id, breaker)).text is None
            await broker.reviews.write(grant.id, breaker, text)
    said = await stage.query_ledger(
        "SELECT array_agg(data ->> 'text' ORDER BY seq) FROM curfew.audit_events "
        "WHERE kind = 'grant.reviewed'"
    )
    assert said == ["The disk was full.", "It was still full."]


async def test_whoever_is_not_vouched_for_any_more_does_not_count(stage: Stage) -> None:
    """A policy may go on naming them."""
    approval = {"from": [{"people": [REVIEWER, SECOND_REVIEWER], "count": 2}]}
    stage.write_policies({"approval": approval})
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        second = await get_person(broker, SECOND_REVIEWER)
        asked = (await broker.ask(wish(), dev)).request
        await broker.approve(asked.id, reviewer, Consent())
        await broker.allowances.make(foresight(), reviewer)
    people = stage.settings()["identity"]["people"]
    gone = [each for each in people if each["email"] != REVIEWER]
    stage.write_settings(identity={"people": gone})
    stage.write_policies({"approval": approval})
    async with stage.broker() as broker:
        assert (await broker.approve(asked.id, second, Consent())).grant is None
        again = (await broker.ask(wish(), dev)).request
        assert (await broker.approve(again.id, second, Consent())).grant is None


async def test_an_allowance_gives_no_longer_than_was_asked_for(stage: Stage) -> None:
    stage.write_policies(TWO_REVIEWERS)
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        await broker.allowances.make(foresight(duration=4 * HOUR), reviewer)
        asked = (await broker.ask(wish(), dev)).request
        second = await get_person(broker, SECOND_REVIEWER)
        given = (await broker.approve(asked.id, second, Consent())).given
    assert given.grant.duration == HOUR


async def test_a_machine_that_asks_twice_at_once_has_no_more_than_it_may(stage: Stage) -> None:
    machines = [{"name": "nightly", "groups": ["deployers"]}]
    people = stage.settings()["identity"]["people"]
    stage.write_settings(identity={"people": people, "machines": machines})
    stage.write_policies(
        {"requesters": {"groups": ["deployers"]}, "approval": "standing", "at_once": 1}
    )
    async with stage.broker() as broker:
        machine = await get_person(broker, "nightly@service.machine")
        refused = []

        async def ask() -> None:
            try:
                await broker.ask(wish(), machine)
            except TooManyAtOnce as refusal:
                refused.append(refusal)

        async with asyncio.TaskGroup() as tasks, transaction(broker.context.ledger) as db:
            # Both could count what there is before either adds to it.
            await db.execute("LOCK TABLE curfew.grants IN SHARE MODE")
            for _ in range(2):
                tasks.create_task(ask())
            await asyncio.sleep(1)
        assert len(refused) == 1
        (details,) = await broker.grants.list(
            machine, only_own=True, state=None, before=None, limit=9
        )
    assert details.grant.state is GrantState.ACTIVE
    assert await stage.logins_left() == [details.login]


async def test_who_may_ask_for_nobody_hears_nothing_of_others(stage: Stage) -> None:
    async with stage.broker() as broker:
        dev = await get_person(broker, DEV)
        for email in (OTHER_DEV, "nobody@example.com"):
            with pytest.raises(PolicyDenied, match=f"no policy lets you ask for {email}"):
                await broker.ask(replace(wish("no-such-role"), person=email), dev)
    said = await stage.query_ledger(
        "SELECT array_agg(data ->> 'person' ORDER BY seq) FROM curfew.audit_events "
        "WHERE kind = 'request.refused'"
    )
    assert said == [OTHER_DEV, "nobody@example.com"]
