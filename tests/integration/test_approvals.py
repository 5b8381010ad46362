"""Who has to agree before something is given, and what comes of it."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.domain.errors import (
    AlreadyDecided,
    BrokerError,
    IllegalTransition,
    NotApprover,
    NotEscalatable,
    NotFound,
    NothingInCommon,
    PageFailed,
    PolicyDenied,
    ReviewOverdue,
    SelfApproval,
)
from broker.domain.grant import GrantEvent, GrantState
from broker.domain.network import parse_network
from broker.domain.on_call import OnCallNow, Page, Paged
from broker.domain.request import RequestState
from broker.reaper import do_what_is_due
from broker.service.allowances import Foresight
from broker.service.approvals import Consent
from broker.service.broker import Broker
from tests.integration.test_lifecycle import at, later
from tests.support.people import HOUR, get_person, wish
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, SECOND_REVIEWER, Stage

pytestmark = pytest.mark.newest

TWO_REVIEWERS = {"approval": {"from": [{"groups": ["dba"], "count": 2}]}}


class OnCallBook:
    """A schedule that says who is on call, and a pager that remembers."""

    def __init__(self, **schedules: str) -> None:
        self._schedules = schedules
        self.paged: list[tuple[str, Page]] = []
        self.fails = False

    async def who(self, schedules: Iterable[str]) -> OnCallNow:
        return OnCallNow(
            {
                each: frozenset({self._schedules[each]} if each in self._schedules else ())
                for each in schedules
            }
        )

    async def page(self, schedule: str, page: Page) -> Paged:
        if self.fails:
            raise PageFailed(schedule, "the vendor is down")
        self.paged.append((schedule, page))
        return Paged("by telephone")


def with_on_call(broker: Broker, book: OnCallBook) -> Broker:
    return Broker(replace(broker.context, on_call=book, pager=book))


def rota_of(email: str) -> dict[str, Any]:
    rota = {"people": [email], "first": "2026-01-05T09:00", "zone": "Europe/Berlin"}
    return {"schedules": {"primary": {"rota": rota}}}


async def test_as_many_must_agree_as_the_policy_says(stage: Stage) -> None:
    stage.write_policies(TWO_REVIEWERS)
    async with stage.broker() as broker:
        dev, first = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        asked = (await broker.ask(wish(), dev)).request
        half = await broker.approve(asked.id, first, Consent(duration=timedelta(minutes=30)))
        assert half.grant is None
        assert half.request.request.state is RequestState.PENDING
        assert [(each.have, each.need) for each in half.request.progress] == [(1, 2)]
        with pytest.raises(AlreadyDecided):
            await broker.approve(asked.id, first, Consent())
        assert await stage.logins_left() == []
        second = await get_person(broker, SECOND_REVIEWER)
        given = (await broker.approve(asked.id, second, Consent())).given
        assert given.grant.state is GrantState.ACTIVE
        assert given.grant.duration == timedelta(minutes=30)  # the strictest holds


async def test_networks_of_two_approvers_have_to_meet(stage: Stage) -> None:
    stage.write_policies(TWO_REVIEWERS)
    async with stage.broker() as broker:
        dev, first = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        second = await get_person(broker, SECOND_REVIEWER)
        asked = (await broker.ask(wish(), dev)).request
        office, home = parse_network("10.0.0.0/8"), parse_network("192.0.2.0/24")
        await broker.approve(asked.id, first, Consent(networks=(office,)))
        with pytest.raises(NothingInCommon):
            await broker.approve(asked.id, second, Consent(networks=(home,)))
        desk = parse_network("10.1.0.0/16")
        given = (await broker.approve(asked.id, second, Consent(networks=(desk, home)))).given
    assert given.grant.networks == (desk,)


async def test_who_has_left_the_group_no_longer_counts(stage: Stage) -> None:
    stage.write_policies(TWO_REVIEWERS)
    async with stage.broker() as broker:
        dev, first = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        asked = (await broker.ask(wish(), dev)).request
        await broker.approve(asked.id, first, Consent())
    people = stage.settings()["identity"]["people"]
    people[2]["groups"] = []
    stage.write_settings(identity={"people": people, "groups": ["dba"]})
    stage.write_policies(TWO_REVIEWERS)
    async with stage.broker() as broker:
        second = await get_person(broker, SECOND_REVIEWER)
        half = await broker.approve(asked.id, second, Consent())
        assert half.grant is None
        assert [(each.have, each.need) for each in half.request.progress] == [(1, 2)]
        with pytest.raises(NotFound):
            await broker.approve(asked.id, await get_person(broker, REVIEWER), Consent())


async def test_one_denial_ends_what_another_has_approved(stage: Stage) -> None:
    stage.write_policies(TWO_REVIEWERS)
    async with stage.broker() as broker:
        dev, first = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        asked = (await broker.ask(wish(), dev)).request
        await broker.approve(asked.id, first, Consent(comment="fine"))
        second = await get_person(broker, SECOND_REVIEWER)
        denied = await broker.deny(asked.id, second, reason="not on a Friday")
        assert denied.request.state is RequestState.DENIED
        assert [(each.verdict, each.comment) for each in denied.decisions] == [
            ("approval", "fine"),
            ("denial", "not on a Friday"),
        ]
        with pytest.raises(IllegalTransition):
            await broker.approve(asked.id, second, Consent())


async def test_a_standing_policy_gives_at_once(stage: Stage) -> None:
    stage.write_policies({"approval": "standing", "session": {"settings": {"work_mem": "7MB"}}})
    async with stage.broker() as broker:
        dev = await get_person(broker, DEV)
        asked = await broker.ask(wish(), dev)
        assert asked.request.state is RequestState.APPROVED
        assert asked.request.grant_id is not None
        found = await broker.grants.get(asked.request.grant_id, dev)
        assert found.grant.state is GrantState.ACTIVE
        database = await stage.connect_as(found.login)
        try:
            assert await database.fetchval("SHOW work_mem") == "7MB"
        finally:
            await database.close()
        # Who reviews elsewhere looks after what nobody had to approve.
        await broker.revoke(found.grant.id, await get_person(broker, REVIEWER), reason="enough")


async def test_what_is_refused_is_on_record_with_its_reason(stage: Stage) -> None:
    stage.write_policies({"name": "never", "approval": "deny"}, {"approval": "standing"})
    async with stage.broker() as broker:
        with pytest.raises(PolicyDenied, match="'never' denies"):
            await broker.ask(wish(), await get_person(broker, DEV))
    said = await stage.query_ledger(
        "SELECT data ->> 'code' || ': ' || (data ->> 'why') FROM curfew.audit_events "
        "WHERE kind = 'request.refused'"
    )
    assert said.startswith("policy-denied: policy 'never' denies 'orders_reader'")


async def test_the_clock_starts_with_the_first_use(stage: Stage) -> None:
    stage.write_policies({"starts": "first_use", "activate_within": "2h"})
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        asked = (await broker.ask(wish(), dev)).request
        waiting = (await broker.approve(asked.id, reviewer, Consent())).given
        assert waiting.grant.state is GrantState.WAITING
        assert waiting.grant.expires_at == waiting.grant.granted_at + timedelta(hours=2)
        assert await stage.logins_left() == []  # nothing of it is on the target
        in_a_while = at(broker, waiting.grant.granted_at + HOUR)
        credential = await in_a_while.hand_out(waiting.grant.id, dev, source=None)
        assert credential.expires_at == waiting.grant.granted_at + 2 * HOUR
        again = await in_a_while.hand_out(waiting.grant.id, dev, source=None)
        assert again.expires_at == credential.expires_at
        assert len(await stage.logins_left()) == 1


async def test_the_policy_is_asked_again_at_the_first_use(stage: Stage) -> None:
    stage.write_policies({"starts": "first_use", "activate_within": "2h"})
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        asked = (await broker.ask(wish(), dev)).request
        waiting = (await broker.approve(asked.id, reviewer, Consent())).given
    stage.write_policies({"starts": "first_use", "enabled": False}, {"name": "other"})
    async with stage.broker() as broker:
        with pytest.raises(PolicyDenied, match="'p1', under which this was asked for, is disabled"):
            await broker.hand_out(waiting.grant.id, dev, source=None)
        found = await broker.grants.get(waiting.grant.id, dev)
        assert found.grant.state is GrantState.WAITING
        await do_what_is_due(at(broker, waiting.grant.expires_at))
        ended = await broker.grants.get(waiting.grant.id, dev)
    assert (ended.grant.state, ended.grant.end_reason) == (GrantState.ENDED, GrantEvent.EXPIRED)
    assert await stage.logins_left() == []


async def test_somebody_asks_for_somebody_else_and_neither_approves(stage: Stage) -> None:
    stage.write_policies({"on_behalf": {"groups": ["dba"]}})
    async with stage.broker() as broker:
        dev, lead = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        other = await get_person(broker, OTHER_DEV)
        with pytest.raises(PolicyDenied):
            await broker.ask(replace(wish(), person=DEV), other)
        asked = (await broker.ask(replace(wish(), person=DEV.upper()), lead)).request
        assert (asked.person.email, asked.requester.email) == (DEV, REVIEWER)
        with pytest.raises(SelfApproval):
            await broker.approve(asked.id, lead, Consent())
        second = await get_person(broker, SECOND_REVIEWER)
        given = (await broker.approve(asked.id, second, Consent())).given
        assert given.grant.person.email == DEV
        await broker.hand_out(given.grant.id, dev, source=None)
        with pytest.raises(NotFound):
            await broker.hand_out(given.grant.id, lead, source=None)


async def test_what_people_say_stays_with_the_request(stage: Stage) -> None:
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        asked = (await broker.ask(wish(), dev)).request
        await broker.requests.comment(asked.id, reviewer, "which order?")
        await broker.requests.comment(asked.id, dev, "17")
        await broker.deny(asked.id, reviewer, reason="it is public")
        details = await broker.requests.comment(asked.id, dev, "thanks")
        assert [each.text for each in details.comments] == ["which order?", "17", "thanks"]
        with pytest.raises(NotFound):
            await broker.requests.comment(asked.id, await get_person(broker, OTHER_DEV), "me, too")


async def test_who_is_on_call_gets_it_at_once_for_a_while(stage: Stage) -> None:
    on_call = {"on_call": {"schedules": ["primary"], "at_most": "30m"}}
    stage.write_settings(oncall=rota_of(DEV))
    stage.write_policies({"approval": {**on_call, "from": [{"reviewers": True}]}})
    async with stage.broker() as broker:
        dev, other = await get_person(broker, DEV), await get_person(broker, OTHER_DEV)
        assert (await broker.ask(wish(), other)).request.state is RequestState.PENDING
        given = (await broker.ask(wish(), dev)).request
        grant = (await broker.grants.get(given.grant_id or "", dev)).grant
    assert grant.duration == timedelta(minutes=30)
    assert any("is on call (primary)" in each for each in given.why)
    said = await stage.query_ledger(
        "SELECT data -> 'cuts' ->> 0 FROM curfew.audit_events WHERE kind = 'request.approved'"
    )
    assert said == "30m: dev@example.com is on call (primary)"


async def test_an_escalated_request_is_for_the_people_on_call(stage: Stage) -> None:
    api = {"public_url": "https://curfew.example.com"}
    stage.write_settings(oncall=rota_of(REVIEWER), api=api)
    stage.write_policies(
        {
            "approval": {
                "from": [{"groups": ["dba"], "count": 2}],
                "escalation": {"schedules": ["primary"]},
            }
        },
        {"resources": [{"target": "orders", "role": "orders_writer"}]},
    )
    async with stage.broker() as plain:
        book = OnCallBook(primary=OTHER_DEV)
        broker = with_on_call(plain, book)
        dev, other = await get_person(broker, DEV), await get_person(broker, OTHER_DEV)
        plain_request = (await broker.ask(wish("orders_writer"), dev)).request
        with pytest.raises(NotEscalatable):
            await broker.requests.escalate(plain_request.id, dev)
        asked = (await broker.ask(wish(), dev)).request
        with pytest.raises(NotFound):
            await broker.approve(asked.id, other, Consent())
        await broker.requests.escalate(asked.id, dev)
        assert [each.id for each in await seen_by(broker, OTHER_DEV)] == [asked.id]
        book.fails = True
        await broker.paging.page_due()
        book.fails = False
        await later(broker, timedelta(seconds=9)).paging.page_due()
        assert book.paged == []
        for _ in range(2):
            await later(broker, timedelta(seconds=11)).paging.page_due()
        link = f"https://curfew.example.com/requests/{asked.id}"
        paged = [(name, page.person, page.link) for name, page in book.paged]
        assert paged == [("primary", DEV, link)]
        given = (await broker.approve(asked.id, other, Consent())).given
        assert given.grant.state is GrantState.ACTIVE
    said = await stage.query_ledger(
        "SELECT data ->> 'said' FROM curfew.audit_events WHERE kind = 'request.paged'"
    )
    assert said == "by telephone"


async def seen_by(broker: Broker, email: str) -> list[Any]:
    person = await get_person(broker, email)
    return list((await broker.requests.list(person, limit=10)).items)


async def test_breaking_the_glass_is_loud_and_has_to_be_reviewed(stage: Stage) -> None:
    stage.write_policies(
        {
            "approval": {
                "from": [{"groups": ["dba"], "count": 2}],
                "break_glass": {"people": [SECOND_REVIEWER]},
            }
        }
    )
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        breaker = await get_person(broker, SECOND_REVIEWER)
        asked = (await broker.ask(wish(), dev)).request
        with pytest.raises(NotApprover, match="does not name you as somebody who breaks"):
            await broker.approve(asked.id, reviewer, Consent(break_glass=True))
        given = (await broker.approve(asked.id, breaker, Consent(break_glass=True))).given
        assert given.grant.break_glass
        (alarm,) = await broker.alarms.list(reviewer, cleared_too=False, before=None, limit=9)
        assert f"{SECOND_REVIEWER} alone gave {DEV} orders_reader on orders for 1h" in alarm.message
        overdue = later(broker, timedelta(days=4))
        again = (await overdue.ask(wish(), dev)).request
        with pytest.raises(ReviewOverdue, match=given.grant.id):
            await overdue.approve(again.id, breaker, Consent(break_glass=True))
        with pytest.raises(NotApprover, match="not who had the grant"):
            await broker.reviews.write(given.grant.id, dev, "it was me")
        written = await broker.reviews.write(given.grant.id, reviewer, "The disk was full.")
        assert (written.writer, written.text) == (REVIEWER, "The disk was full.")
        assert not await broker.alarms.list(reviewer, cleared_too=False, before=None, limit=9)
        freed = await overdue.approve(again.id, breaker, Consent(break_glass=True))
        assert freed.given.grant.break_glass


def foresight(**changes: Any) -> Foresight:
    usual: dict[str, Any] = {
        "person": DEV,
        "target": "orders",
        "role": "orders_reader",
        "database": None,
        "duration": HOUR,
        "starts_at": None,
        "ends_at": datetime.now(UTC) + 5 * HOUR,
        "reason": "the migration",
    }
    return Foresight(**{**usual, **changes})


async def test_what_is_agreed_beforehand_is_given_at_once(stage: Stage) -> None:
    stage.write_policies({"require": ["pre_approval"]})
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        with pytest.raises(BrokerError, match="wants an approval in advance"):
            await broker.ask(wish(), dev)
        with pytest.raises(NotFound):
            await broker.allowances.revoke("alw_06gzgmx2b2v3s0ps", reviewer)
        allowance = await broker.allowances.make(foresight(), reviewer)
        asked = await broker.ask(wish(duration=2 * HOUR), dev)
        assert asked.request.state is RequestState.APPROVED
        grant = (await broker.grants.get(asked.request.grant_id or "", dev)).grant
        assert grant.duration == HOUR
        assert [each.allowance_id for each in asked.decisions] == [allowance.id]
        await broker.allowances.revoke(allowance.id, reviewer)
        with pytest.raises(BrokerError, match="wants an approval in advance"):
            await broker.ask(wish(), dev)


async def test_an_allowance_is_one_of_the_consents_that_are_needed(stage: Stage) -> None:
    stage.write_policies(TWO_REVIEWERS)
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        await broker.allowances.make(foresight(), reviewer)
        asked = await broker.ask(wish(), dev)
        assert asked.request.state is RequestState.PENDING
        assert [(each.have, each.need) for each in asked.progress] == [(1, 2)]
        second = await get_person(broker, SECOND_REVIEWER)
        given = (await broker.approve(asked.request.id, second, Consent())).given
        assert given.grant.state is GrantState.ACTIVE


async def test_nobody_allows_themselves_or_what_they_do_not_approve(stage: Stage) -> None:
    async with stage.broker() as broker:
        dev, other = await get_person(broker, DEV), await get_person(broker, OTHER_DEV)
        for who in (dev, other):
            with pytest.raises((NotApprover, SelfApproval)):
                await broker.allowances.make(foresight(), who)
        reviewer = await get_person(broker, REVIEWER)
        past = foresight(ends_at=datetime.now(UTC) - HOUR)
        with pytest.raises(BrokerError, match="ends after it begins"):
            await broker.allowances.make(past, reviewer)
