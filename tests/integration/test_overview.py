"""How much of everything there is, and what needs attention, for whoever may see it."""

from datetime import UTC, datetime, timedelta

import pytest

from api.client import ApiError
from api.schemas.overview import OverviewView
from broker.domain.overview import Urgency
from broker.service.approvals import Consent
from broker.service.overview import Overviews
from tests.integration.test_lifecycle import at
from tests.support.house import AUDITOR, OPERATOR, House, house_on
from tests.support.people import wish
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, SECOND_REVIEWER, Stage

pytestmark = pytest.mark.newest


async def seen_by(house: House, who: str, days: int = 30) -> OverviewView:
    async with house.client_of(who) as client:
        return await client.get_overview(days=days)


def codes(view: OverviewView) -> set[str]:
    return {each.code for each in view.attention}


async def test_everybody_sees_sums_of_what_is_theirs_to_see(stage: Stage) -> None:
    async with house_on(stage) as house:
        holding = await house.holding_of(DEV)
        denied = await house.broker.ask(wish(), await house.person(OTHER_DEV))
        reviewer = await house.person(REVIEWER)
        await house.broker.deny(denied.request.id, reviewer, reason="no")
        await house.broker.relinquish(holding.grant, await house.person(DEV))
        sums = {who: await seen_by(house, who) for who in (DEV, OTHER_DEV, REVIEWER, AUDITOR)}
        for who, approved, refused in ((DEV, 1, 0), (OTHER_DEV, 0, 1), (REVIEWER, 1, 1)):
            assert (sums[who].requests["approved"], sums[who].requests["denied"]) == (
                approved,
                refused,
            )
        assert sums[AUDITOR].requests == sums[REVIEWER].requests
        today = sums[REVIEWER].buckets[-1]
        assert today.requests["denied"] == 1
        assert today.grants == sums[AUDITOR].buckets[-1].grants == 1
        assert [each.grants for each in sums[OTHER_DEV].buckets[-2:]] == [0, 0]
        assert (today.waits.by_people, today.waits.by_itself) == (1, 0)
        assert sums[REVIEWER].waits.median_s is not None
        assert [each.of_everybody for each in sums.values()] == [False, False, False, True]
        (top,) = sums[DEV].top
        assert (top.target, top.role, top.requests) == ("orders", "orders_reader", 1)


async def test_statements_are_counted_for_who_sees_everybodys(stage: Stage) -> None:
    async with house_on(stage) as house:
        now = datetime.now(UTC)
        await put_on_record(stage, 1, now - timedelta(days=60), 1000)
        await put_on_record(stage, 2, now, 7)
        overviews = Overviews(house.broker.context, house.broker.health, house.broker.instruments)
        operator = await house.person(OPERATOR)
        first = await overviews.of(operator, 2)
        assert sum(each.statements or 0 for each in first.figures.buckets) == 7
        await put_on_record(stage, 3, now, 5)
        counted = [
            sum(
                each.statements or 0
                for each in (await overviews.of(operator, days)).figures.buckets
            )
            for days in (30, 90)
        ]
        assert counted == [12, 1012]
        kept = await overviews.of(operator, 2)
        assert kept.figures is first.figures
        view = await seen_by(house, REVIEWER)
        assert {each.statements for each in view.buckets} == {None}


async def test_what_needs_attention_is_for_whoever_can_see_to_it(stage: Stage) -> None:
    async with house_on(stage) as house:
        holding = await house.holding_of(DEV)
        await house.broker.ask(wish(), await house.person(OTHER_DEV))
        await house.held_commit(holding)
        await house.alarm(holding.grant)
        await house.ban()
        await house.review_due(holding.grant)
        found = {
            who: codes(await seen_by(house, who))
            for who in (DEV, OTHER_DEV, REVIEWER, OPERATOR, AUDITOR)
        }
        assert found[DEV] == {"commits-held"}
        assert found[OTHER_DEV] == {"requests-pending"}
        assert found[REVIEWER] == {"requests-to-decide", "alarms-open", "reviews-due"}
        assert found[OPERATOR] == found[AUDITOR] == {"alarms-open", "reviews-due", "bans"}


async def test_who_agreed_already_is_not_called_again(stage: Stage) -> None:
    two = {"reviewers": True, "count": 2}
    async with house_on(stage, {"readers": two}) as house:
        asked = await house.broker.ask(wish(), await house.person(DEV))
        await house.broker.approve(asked.request.id, await house.person(REVIEWER), Consent())
        assert "requests-to-decide" not in codes(await seen_by(house, REVIEWER))
        assert "requests-to-decide" in codes(await seen_by(house, SECOND_REVIEWER))


async def test_access_that_is_about_to_end_is_said_to_who_has_it(stage: Stage) -> None:
    async with house_on(stage) as house:
        await house.holding_of(DEV)
        later = at(house.broker, datetime.now(UTC) + timedelta(minutes=50))
        (ending,) = await later.overview.attention(await house.person(DEV))
        assert (ending.code, ending.urgency) == ("access-ending", Urgency.WARNING)
        assert await later.overview.attention(await house.person(REVIEWER)) == ()


async def test_a_number_of_days_out_of_range_is_refused(stage: Stage) -> None:
    async with house_on(stage) as house:
        for days in (0, 367):
            with pytest.raises(ApiError, match="days") as refused:
                await seen_by(house, DEV, days)
            assert refused.value.status == 422


async def put_on_record(stage: Stage, number: int, when: datetime, rows: int) -> None:
    """Store a block of statements, without them."""
    await stage.query_ledger(
        "INSERT INTO curfew.statement_blocks (number, day, sealed_at, worker_id, rows, digest,"
        " leaves, previous, hash) VALUES ($1, $2, $3, 'w', $4, '', '', '', '')",
        *(number, when.date(), when, rows),
    )
