"""The whole life of a request, from the ledger: in order, and for whoever may see it."""

from datetime import UTC, datetime, timedelta

import pytest

from broker.domain.errors import NotFound
from broker.domain.statement.statement import Ending
from broker.domain.timeline import Timeline
from broker.reaper import do_what_is_due
from broker.service.approvals import Consent
from broker.service.extensions import More
from broker.service.timelines import Timelines
from tests.integration.test_sessions import close, opened
from tests.support.house import AUDITOR, house_on
from tests.support.people import get_person, wish
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, Stage

pytestmark = pytest.mark.newest


def kinds(timeline: Timeline) -> list[str]:
    return [each.kind for each in timeline.entries]


async def test_everything_about_a_request_is_in_one_list(stage: Stage) -> None:
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        asked = await broker.ask(wish(), dev)
        await broker.requests.comment(asked.request.id, reviewer, "what for?")
        given = (await broker.approve(asked.request.id, reviewer, Consent())).given
        await broker.hand_out(given.grant.id, dev, source="192.0.2.7")
        session = await opened(broker.context.ledger, given)
        await close(broker.context.ledger, session, "closed by the client")
        longer = More(duration=timedelta(minutes=15), reason="not done yet", source=None)
        extension = (await broker.extend(given.grant.id, dev, longer)).request.request
        await broker.deny(extension.id, reviewer, reason="enough")
        await broker.relinquish(given.grant.id, dev)
        await do_what_is_due(broker)
        timeline = await broker.timelines.of(asked.request.id, dev)
        assert kinds(timeline) == [
            "request.made",
            "request.commented",
            "request.consented",
            "request.approved",
            "grant.provisioned",
            "grant.credential_handed_out",
            "session.opened",
            "session.closed",
            "request.made",
            "request.denied",
            "grant.ending",
            "grant.disabled",
            "grant.removed",
            "grant.ended",
        ]
        assert timeline.left_out == {}
        sentences = [each.sentence for each in timeline.entries]
        assert sentences[9] == f"{REVIEWER} denied the extension: enough"
        assert timeline.entries[-1].detail["proves"]
        # By whichever id one comes.
        assert await broker.timelines.of(extension.id, dev) == timeline
        assert await broker.timelines.of_grant(given.grant.id, reviewer) == timeline


async def test_nobody_else_sees_it_and_only_who_looks_after_it_sees_alarms(stage: Stage) -> None:
    async with house_on(stage) as house:
        holding = await house.holding_of(DEV)
        await house.alarm(holding.grant)
        timelines = house.broker.timelines
        other = await house.person(OTHER_DEV)
        for hidden in (
            timelines.of("req_000", other),
            timelines.of(holding.request, other),
            timelines.of_grant("grt_000", other),
            timelines.of_grant(holding.grant, other),
        ):
            with pytest.raises(NotFound):
                await hidden
        for who, sees in ((DEV, False), (REVIEWER, True), (AUDITOR, True)):
            timeline = await timelines.of(holding.request, await house.person(who))
            assert ("alarm.raised" in kinds(timeline)) is sees
        async with house.client_of(DEV) as client:
            view = await client.get_grant_timeline(holding.grant)
            assert view == await client.get_request_timeline(holding.request)
        assert view.items[0].sentence.startswith(f"{DEV} asked for orders_reader on orders")


async def test_a_session_says_how_much_it_ran_and_what_was_left_out_is_counted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a grant with very many sessions, comments or refusals, the newest are told."""
    monkeypatch.setattr("broker.service.timelines._MOST_SESSIONS", 2)
    monkeypatch.setattr("broker.service.timelines._MOST_OF_A_KIND", 3)
    async with house_on(stage) as house:
        broker, holding = house.broker, await house.holding_of(DEV)
        dev = await house.person(DEV)
        details = await broker.grants.get(holding.grant, dev)
        sessions = [await opened(broker.context.ledger, details) for _ in range(2)]
        await run(stage, sessions[-1], (Ending.DONE, 10), (Ending.FAILED, None))
        for number in range(5):
            await broker.requests.comment(holding.request, dev, f"comment {number}")
        timeline = await Timelines(broker.context).of(holding.request, dev)
        assert timeline.left_out == {"session.opened": 1, "request.commented": 2}
        told = {each.session_id for each in timeline.entries if each.kind == "session.opened"}
        assert told == set(sessions)
        (ran,) = [each for each in timeline.entries if each.kind == "session.statements"]
        assert ran.session_id == sessions[-1]
        assert ran.sentence == "the session ran 2 statements, 10 rows, 1 error"


async def run(stage: Stage, session: str, *endings: tuple[Ending, int | None]) -> None:
    """Put statements of a session on record."""
    now = datetime.now(UTC)
    for seq, (ending, rows) in enumerate(endings, 1):
        await stage.query_ledger(
            "INSERT INTO curfew.statements (day, session_id, seq, block, started_at, protocol,"
            " text, text_bytes, masked, ending, rows)"
            " VALUES ($1, $2, $3, 1, $4, 'simple', 'SELECT 1', 8, false, $5, $6)",
            *(now.date(), session, seq, now, ending.value, rows),
        )
