"""What operators and auditors do over HTTP, and operators also on the ledger's machine."""

from datetime import UTC, datetime, timedelta

import pytest

from api.client import ApiError
from api.schemas.operating import AuditEventView
from broker.service.approvals import Consent
from tests.support.house import AUDITOR, OPERATOR, house_on
from tests.support.people import wish
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, SECOND_REVIEWER, Stage

pytestmark = pytest.mark.newest


async def test_an_operator_lifts_a_ban_that_an_auditor_only_sees(stage: Stage) -> None:
    async with (
        house_on(stage) as house,
        house.client_of(OPERATOR) as operator,
        house.client_of(AUDITOR) as auditor,
    ):
        key = await house.ban()
        assert [each.key for each in (await auditor.list_bans()).items] == [key]
        await operator.lift_ban(key)
        assert (await operator.list_bans()).items == ()
        for gone in (key, "login a\0b"):
            with pytest.raises(ApiError) as refused:
                await operator.lift_ban(gone)
            assert refused.value.code == "not-found"
        (event,) = (await auditor.list_audit_events(kind="ban.lifted")).items
        assert (event.actor, event.data) == (OPERATOR, {"whom": key})


async def test_a_target_is_looked_over_for_operators_and_auditors(stage: Stage) -> None:
    async with house_on(stage) as house, house.client_of(AUDITOR) as auditor:
        checkup = await auditor.check_target("orders")
        assert (checkup.target, checkup.usable) == ("orders", True)
        with pytest.raises(ApiError) as unknown:
            await auditor.check_target("billing/../orders")
        assert unknown.value.code == "not-found"
        everybody_sees = {}
        for who in (OPERATOR, REVIEWER):
            async with house.client_of(who) as client:
                (target,) = (await client.list_targets()).items
                everybody_sees[who] = [role.name for role in target.roles]
        assert everybody_sees == {
            OPERATOR: ["orders_owner", "orders_reader", "orders_writer"],
            REVIEWER: ["orders_reader"],
        }


async def test_the_trail_is_read_a_page_at_a_time(stage: Stage) -> None:
    async with house_on(stage) as house, house.client_of(AUDITOR) as auditor:
        await house.holding_of(DEV)
        everything = (await auditor.list_audit_events(limit=500)).items
        assert [each.seq for each in everything] == sorted(
            (each.seq for each in everything), reverse=True
        )
        paged: list[AuditEventView] = []
        after = None
        while True:
            page = await auditor.list_audit_events(limit=3, after=after)
            paged += page.items
            if page.next is None:
                break
            after = page.next
        newest_first = {each.seq: each for each in paged}
        assert [newest_first[each.seq] for each in everything] == list(everything)


async def test_the_trail_is_filtered_by_what_one_looks_for(stage: Stage) -> None:
    began = datetime.now(UTC)
    async with house_on(stage) as house, house.client_of(AUDITOR) as auditor:
        dev, other = await house.holding_of(DEV), await house.holding_of(OTHER_DEV)
        await house.broker.relinquish(other.grant, await house.person(OTHER_DEV))

        async def kinds(**wanted: object) -> list[str]:
            page = await auditor.list_audit_events(**wanted)  # type: ignore[arg-type]
            return [each.kind for each in reversed(page.items)]

        of_grant = ["request.approved", "grant.provisioned", "session.opened", "session.closed"]
        ending = ["grant.ending", "grant.ended"]
        assert await kinds(grant_id=dev.grant) == of_grant
        assert await kinds(grant_id=other.grant) == [*of_grant, *ending]
        assert await kinds(request_id=dev.request) == [
            "request.made",
            "request.consented",
            "request.approved",
            "grant.provisioned",
        ]
        # What was done to what is theirs too, whoever did it.
        assert await kinds(person=DEV) == ["request.made", "request.consented", *of_grant]
        decided = ["request.consented", "request.approved"]
        assert await kinds(person=SECOND_REVIEWER) == [*decided, *decided]
        assert await kinds(person=OTHER_DEV, kind="grant.ended") == ["grant.ended"]
        assert len(await kinds(kind="request.made", since=began)) == 2
        assert await kinds(since=datetime.now(UTC) + timedelta(hours=1)) == []


async def test_a_filter_that_makes_no_sense_is_explained(stage: Stage) -> None:
    async with house_on(stage) as house:
        for query in (
            "after=x",
            f"after={'9' * 19}",
            "limit=0",
            f"limit={'9' * 5000}",
            "grant='--",
            "kind=grant",
            "kind=grant.ended%00",
            "person=",
            "person=a%00b",
            "since=yesterday",
            "since=2026-08-01T00:00:00",
            "since=0001-01-01T00:00:00%2B14:00",
        ):
            status, problem = await house.call(AUDITOR, "GET", f"/v1/audit?{query}")
            assert (status, problem["code"]) == (422, "invalid"), (query, problem)


async def test_an_approver_sees_and_closes_alarms_about_what_they_approve(stage: Stage) -> None:
    """And those about no grant, which would be nobody's where there is no operator."""
    approvers = {"writers": {"people": [SECOND_REVIEWER]}}
    async with house_on(stage, approvers) as house:
        asked = await house.broker.ask(wish("orders_writer"), await house.person(DEV))
        second = await house.person(SECOND_REVIEWER)
        given = (await house.broker.approve(asked.request.id, second, Consent())).given
        about_it, general = await house.alarm(given.grant.id), await house.alarm(None)
        seen = {
            who: await house.listed(who, "/v1/alarms")
            for who in (DEV, REVIEWER, SECOND_REVIEWER, OPERATOR, AUDITOR)
        }
        assert seen == {
            DEV: set(),
            REVIEWER: {general},
            **{who: {about_it, general} for who in (SECOND_REVIEWER, OPERATOR, AUDITOR)},
        }
        for who, alarm, status in (
            (DEV, general, 404),
            (REVIEWER, about_it, 404),
            (SECOND_REVIEWER, about_it, 200),
            (OPERATOR, about_it, 404),  # it is closed
            (REVIEWER, general, 200),
        ):
            path = f"/v1/alarms/{alarm}/acknowledgement"
            assert (await house.call(who, "POST", path))[0] == status


async def test_an_alarm_is_for_the_manager_who_approves(stage: Stage) -> None:
    """And, as its policy names nobody, for all others who approve something."""
    async with house_on(stage, {"writers": {"manager": True}}) as house:
        asked = await house.broker.ask(wish("orders_writer"), await house.person(DEV))
        manager = await house.person(OTHER_DEV)
        given = (await house.broker.approve(asked.request.id, manager, Consent())).given
        about_it = await house.alarm(given.grant.id)
        general = await house.alarm(None)
        assert await house.listed(OTHER_DEV, "/v1/alarms") == {about_it}
        assert await house.listed(REVIEWER, "/v1/alarms") == {about_it, general}
        path = f"/v1/alarms/{about_it}/acknowledgement"
        assert (await house.call(OTHER_DEV, "POST", path))[0] == 200
