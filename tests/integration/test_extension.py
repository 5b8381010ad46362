"""A grant that ends later than it was to: PostgreSQL, the ledger and open sessions agree."""

from datetime import UTC, datetime, timedelta

import pytest

from broker.domain.errors import (
    DurationTooLong,
    IllegalTransition,
    NotFound,
    SelfApproval,
    TargetRefused,
)
from broker.domain.grant import GrantState
from broker.domain.request import RequestState
from broker.reaper import do_what_is_due
from broker.service.approvals import Consent
from broker.service.extensions import More
from tests.integration.test_lifecycle import at
from tests.support.people import get_grant, get_person
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, Stage

pytestmark = pytest.mark.sample  # much the same on every major

QUARTER = timedelta(minutes=15)


def more(reason: str = "") -> More:
    return More(duration=QUARTER, reason=reason, source=None)


_UNTIL = "SELECT rolvaliduntil FROM pg_roles WHERE rolname = $1"


async def test_an_approver_moves_the_curfew_of_postgresql_and_of_the_ledger(stage: Stage) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker)
        reviewer = await get_person(broker, REVIEWER)
        extended = (await broker.extend(details.grant.id, reviewer, more("not done yet"))).given
        until = details.grant.expires_at + QUARTER
        assert extended.grant.expires_at == until
        assert await stage.query(_UNTIL, details.login) == until
        await do_what_is_due(at(broker, until - timedelta(seconds=1)))
        assert await stage.logins_left() == [details.login]
        await do_what_is_due(at(broker, until))
    assert await stage.logins_left() == []
    said = await stage.query_ledger(
        "SELECT actor || ': ' || (data ->> 'reason') FROM curfew.audit_events "
        "WHERE kind = 'grant.extended'"
    )
    assert said == f"{REVIEWER}: not done yet"


async def test_the_holder_asks_and_an_approver_agrees(stage: Stage) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker)
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        asked = await broker.extend(details.grant.id, dev, more("not done yet"))
        assert asked.request.request.state is RequestState.PENDING
        assert asked.given.grant.expires_at == details.grant.expires_at
        with pytest.raises(SelfApproval):
            await broker.approve(asked.request.request.id, dev, Consent())
        agreed = await broker.approve(asked.request.request.id, reviewer, Consent())
        assert agreed.given.grant.expires_at == details.grant.expires_at + QUARTER
        assert agreed.request.request.grant_id == details.grant.id
    assert await stage.query(_UNTIL, details.login) == details.grant.expires_at + QUARTER


async def test_nobody_extends_a_grant_that_they_have_no_part_in(stage: Stage) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker)
        with pytest.raises(NotFound):
            await broker.extend(details.grant.id, await get_person(broker, OTHER_DEV), more())


async def test_no_more_is_ever_left_than_the_policy_gives_at_once(stage: Stage) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker, "orders_writer")  # for an hour, which is the most
        reviewer = await get_person(broker, REVIEWER)
        with pytest.raises(DurationTooLong, match="'writers' allows at most 1h"):
            await broker.extend(details.grant.id, reviewer, more("not done yet"))
        later = at(broker, datetime.now(UTC) + QUARTER)
        await later.extend(details.grant.id, reviewer, more("not done yet"))


async def test_a_grant_that_has_ended_is_not_extended(stage: Stage) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker)
        await broker.relinquish(details.grant.id, await get_person(broker, DEV))
        with pytest.raises(IllegalTransition, match="is ended: it cannot be extended now"):
            await broker.extend(details.grant.id, await get_person(broker, REVIEWER), more())


async def test_an_extension_that_the_target_refuses_changes_nothing(stage: Stage) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker)
        await stage.query("ALTER ROLE curfew_admin NOCREATEROLE")
        try:
            with pytest.raises(TargetRefused):
                await broker.extend(details.grant.id, await get_person(broker, REVIEWER), more())
        finally:
            await stage.query("ALTER ROLE curfew_admin CREATEROLE")
        found = await broker.grants.get(details.grant.id, await get_person(broker, DEV))
    assert found.grant.state is GrantState.ACTIVE
    assert found.grant.expires_at == details.grant.expires_at
    assert await stage.query(_UNTIL, details.login) == details.grant.expires_at
