"""What a grant's sessions are held to: from the policy to the proxy, and commits that wait."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from api.client import ApiError
from broker.domain.errors import (
    BudgetTooLarge,
    CommitSettled,
    Invalid,
    NoSuchBudget,
    NotApprover,
    NotFound,
    NotYoursToConfirm,
)
from broker.domain.person import Person
from broker.domain.request import RequestState
from broker.domain.statement.budget import Used
from broker.domain.statement.conditions import (
    NO_CONDITIONS,
    CommitGate,
    Conditions,
    Recorded,
    StatementKind,
)
from broker.domain.statement.held_commit import CommitDecision, HeldCommit
from broker.domain.ticket import Ticket, read_unverified
from broker.ledger import logins, usage
from broker.ledger.channel import COMMITS
from broker.ledger.connection import Pool, autocommit, connect, reading
from broker.service.approvals import Consent
from broker.service.broker import Broker
from broker.service.extensions import More
from broker.service.grants import GrantDetails
from proxy.held_commits import HeldCommits
from tests.integration.test_lifecycle import at
from tests.integration.test_sessions import client_of, close, opened, pgcurfew, proxy_of
from tests.integration.test_tickets import seal
from tests.support.people import get_grant, get_person, wish
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, SECOND_REVIEWER, Stage

pytestmark = pytest.mark.newest  # about the ledger, not the target

STATEMENTS: dict[str, Any] = {
    "parameters": "types",
    "refuse": ["ddl", "role"],
    "budget": {"rows": 1000, "bytes": "1MB"},
    "commit_gate": {"rows": 10, "within": "5m"},
}
CONDITIONS = Conditions(
    parameters=Recorded.TYPES,
    max_rows=1000,
    max_bytes=1024**2,
    commit_gate=CommitGate(rows=10, within=timedelta(minutes=5)),
    refused=frozenset({StatementKind.DDL, StatementKind.ROLE}),
)
BY_APPROVER = {"commit_gate": {"rows": 10, "within": "5m", "by": "approver"}}
GATE = CommitGate(rows=10, within=timedelta(minutes=5))
NO_TIME = timedelta()
_AUDIT = """
    SELECT string_agg(concat_ws(' ', actor, kind, data ->> 'decision'), ', ' ORDER BY seq)
      FROM curfew.audit_events WHERE kind LIKE 'commit.%'
"""


def held_to(stage: Stage, statements: dict[str, Any], **more: Any) -> None:
    stage.write_settings()
    stage.write_policies({"statements": statements, **more})


@asynccontextmanager
async def a_held_commit(
    stage: Stage, broker: Broker, *, by_approver: bool = False
) -> AsyncIterator[tuple[HeldCommit, HeldCommits, GrantDetails]]:
    """Yield a commit that a proxy holds, and its side of the ledger."""
    async with proxy_of(stage) as proxy:
        details = await get_grant(broker)
        session = await opened(proxy, details)
        gate = replace(GATE, by_approver=by_approver)
        commits = HeldCommits(proxy)
        held = await commits.hold(session, details.grant, gate, 5000)
        assert held is not None
        yield held, commits, details


async def for_proxy(proxy: Pool, details: GrantDetails) -> logins.ProxyLogin:
    async with reading(proxy) as db:
        (login,) = await logins.fetch_for_proxy(db, details.login or "", "", 1)
    return login


async def test_what_the_policy_says_reaches_the_proxy(stage: Stage) -> None:
    held_to(stage, STATEMENTS)
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await get_grant(broker)
        dev = await get_person(broker, DEV)
        await broker.hand_out(details.grant.id, dev, source=None)
        assert details.grant.conditions == CONDITIONS
        assert details.used == Used()
        login = await for_proxy(proxy, details)
        assert (login.grant.conditions, login.used) == (CONDITIONS, Used())
        for _ in range(2):
            async with autocommit(proxy) as db:
                total = await usage.add(db, details.grant.id, 300, 4096)
        assert total == Used(600, 8192)
        assert (await for_proxy(proxy, details)).used == total
        assert (await broker.grants.get(details.grant.id, dev)).used == total
        (listed,) = await broker.grants.list(dev, only_own=True, state=None, before=None, limit=10)
        assert listed.used == total


async def test_a_policy_that_says_nothing_holds_to_nothing(stage: Stage) -> None:
    async with stage.broker() as broker:
        assert (await get_grant(broker)).grant.conditions == NO_CONDITIONS


async def test_a_proxy_counts_and_changes_nothing_else(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await get_grant(broker)
        for statement in (
            "UPDATE curfew.grants SET conditions = '{}' WHERE id = $1",
            "UPDATE curfew.grants SET expires_at = now() WHERE id = $1",
            "DELETE FROM curfew.held_commits WHERE id = $1",
            "UPDATE curfew.held_commits SET rows = 0 WHERE id = $1",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with autocommit(proxy) as db:
                    await db.execute(statement, details.grant.id)


async def test_everybody_is_told_what_it_is_held_to(stage: Stage) -> None:
    """Who asks, who approves, who looks, and in which way ever."""
    held_to(stage, STATEMENTS)
    async with stage.broker() as broker:
        dev = await get_person(broker, DEV)
        asked = await broker.ask(wish(), dev)
        assert "refused: statements that change the schema" in asked.request.why
        assert "at most 1,000 rows are returned" in asked.request.why
        details = await get_grant(broker)
        async with client_of(broker, DEV) as client:
            view = await client.get_grant(details.grant.id)
            (access,) = (await client.list_access()).items
        assert (view.max_rows, view.max_bytes, view.rows_sent) == (1000, 1024**2, 0)
        assert view.conditions[-1] == "of the parameters of statements the types are recorded"
        assert set(view.conditions) <= set(access.notes)
        shown = await pgcurfew(broker, DEV, "show", details.grant.id)
        assert "refused: statements that change roles and privileges" in shown.stdout
        assert "0 of 1,000 rows, 0B of 1MB" in shown.stdout
        tested = await pgcurfew(
            broker, DEV, "policy", "test", "--target", "orders", "--role", "orders_reader"
        )
        assert "at most 1MB are returned" in tested.stdout


async def more_of(
    broker: Broker, details: GrantDetails, person: Person, duration: timedelta, used: Used
) -> Any:
    more = More(duration=duration, reason="", source=None, budget=used)
    return await broker.extend(details.grant.id, person, more)


async def test_more_of_a_budget_is_asked_for_as_more_time_is(stage: Stage) -> None:
    held_to(stage, STATEMENTS)
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await get_grant(broker)
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        async with autocommit(proxy) as db:
            await usage.add(db, details.grant.id, 1100, 4096)
        with pytest.raises(BudgetTooLarge, match="at most 1,000 rows more now"):
            await more_of(broker, details, dev, NO_TIME, Used(1001, 0))
        with pytest.raises(Invalid, match="how much longer"):
            await more_of(broker, details, dev, NO_TIME, Used())
        asked = await more_of(broker, details, dev, NO_TIME, Used(500, 0))
        request = asked.request.request
        assert (request.state, request.more) == (RequestState.PENDING, Used(500, 0))
        agreed = (await broker.approve(request.id, reviewer, Consent())).given.grant
        assert agreed.conditions == replace(CONDITIONS, max_rows=1600)
        assert agreed.expires_at == details.grant.expires_at
        both = await more_of(broker, details, reviewer, timedelta(minutes=5), Used(0, 1024))
        assert both.given.grant.conditions.max_bytes == 1024**2 + 1024
        assert both.given.grant.expires_at == agreed.expires_at + timedelta(minutes=5)


async def test_more_is_asked_for_at_the_command_line(stage: Stage) -> None:
    held_to(stage, STATEMENTS, approval="standing")
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        asked = await broker.ask(wish(), await get_person(broker, DEV))
        grant_id = asked.request.grant_id
        assert grant_id is not None
        async with autocommit(proxy) as db:
            await usage.add(db, grant_id, 1000, 1024**2)
        done = await pgcurfew(
            broker, DEV, "extend", grant_id, "--more-rows", "50", "--more-bytes", "512kB"
        )
        assert done.returncode == 0, done.stderr
        assert "1,000 of 1,050 rows, 1.0MB of 1,536kB" in done.stdout
        refused = await pgcurfew(broker, DEV, "extend", grant_id, "--more-bytes", "5 megs")
        assert "a size is a whole number with its unit" in refused.stderr


async def test_what_is_not_bounded_is_not_extended(stage: Stage) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker)
        with pytest.raises(NoSuchBudget):
            await more_of(
                broker, details, await get_person(broker, REVIEWER), NO_TIME, Used(500, 0)
            )


async def test_an_extension_is_held_to_the_policy_of_that_day(stage: Stage) -> None:
    held_to(stage, {"refuse": ["ddl"]})
    async with stage.broker() as broker:
        details = await get_grant(broker)
    held_to(stage, {"refuse": ["copy"], "budget": {"rows": 50}})
    async with stage.broker() as broker:
        later = await broker.extend(
            details.grant.id,
            await get_person(broker, REVIEWER),
            More(duration=timedelta(minutes=5), reason="", source=None),
        )
    assert later.given.grant.conditions == Conditions(
        refused=frozenset({StatementKind.COPY}), max_rows=50
    )
    said = await stage.query_ledger(
        "SELECT data ->> 'conditions' FROM curfew.audit_events WHERE kind = 'grant.extended'"
    )
    assert said == '["refused: COPY", "at most 50 rows are returned"]'


async def test_a_grant_is_held_to_the_policy_of_its_first_use(stage: Stage) -> None:
    held_to(stage, {}, starts="first_use")
    async with stage.broker() as broker:
        details = await get_grant(broker)
    held_to(stage, STATEMENTS, starts="first_use")
    async with stage.broker() as broker:
        dev = await get_person(broker, DEV)
        await broker.hand_out(details.grant.id, dev, source=None)
        assert (await broker.grants.get(details.grant.id, dev)).grant.conditions == CONDITIONS


async def test_its_person_confirms_a_commit(stage: Stage) -> None:
    async with stage.broker() as broker, a_held_commit(stage, broker) as (held, commits, _):
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        assert await commits.fetch_decisions([held.id]) == {}
        with pytest.raises(NotYoursToConfirm, match="waits for its person"):
            await broker.held_commits.confirm(held.id, reviewer)
        row = await broker.held_commits.confirm(held.id, dev)
        found = (await commits.fetch_decisions([held.id]))[held.id]
        assert row.held.settled == found
        assert (found.decision, found.by) == (CommitDecision.CONFIRMED, DEV)
        with pytest.raises(CommitSettled, match="it was confirmed"):
            await broker.held_commits.roll_back(held.id, dev)
    assert await stage.query_ledger(_AUDIT) == (
        f"{DEV} commit.held, {DEV} commit.decided confirmed"
    )


async def test_an_approver_confirms_a_commit_that_wants_one(stage: Stage) -> None:
    async with (
        stage.broker() as broker,
        a_held_commit(stage, broker, by_approver=True) as (held, commits, _),
    ):
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        with pytest.raises(NotYoursToConfirm, match="an approver of the grant"):
            await broker.held_commits.confirm(held.id, dev)
        await broker.held_commits.confirm(held.id, reviewer)
        found = (await commits.fetch_decisions([held.id]))[held.id]
        assert (found.decision, found.by) == (CommitDecision.CONFIRMED, REVIEWER)


async def test_an_approver_does_not_confirm_their_own(stage: Stage) -> None:
    stage.write_settings()
    stage.write_policies({"requesters": {"anyone": True}, "statements": BY_APPROVER})
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        reviewer = await get_person(broker, REVIEWER)
        second = await get_person(broker, SECOND_REVIEWER)
        asked = await broker.ask(wish(), reviewer)
        details = (await broker.approve(asked.request.id, second, Consent())).given
        commits = HeldCommits(proxy)
        gate = details.grant.conditions.commit_gate
        assert gate is not None
        held = await commits.hold(await opened(proxy, details), details.grant, gate, 11)
        assert held is not None
        with pytest.raises(NotYoursToConfirm):
            await broker.held_commits.confirm(held.id, reviewer)
        await broker.held_commits.confirm(held.id, second)


@pytest.mark.parametrize("who", [DEV, REVIEWER])
@pytest.mark.parametrize("by_approver", [False, True])
async def test_whoever_may_end_the_session_may_roll_back(
    stage: Stage, who: str, *, by_approver: bool
) -> None:
    async with (
        stage.broker() as broker,
        a_held_commit(stage, broker, by_approver=by_approver) as (held, commits, _),
    ):
        await broker.held_commits.roll_back(held.id, await get_person(broker, who))
        found = (await commits.fetch_decisions([held.id]))[held.id]
        assert (found.decision, found.by) == (CommitDecision.ROLLED_BACK, who)


async def test_nobody_else_learns_of_a_held_commit_or_decides_it(stage: Stage) -> None:
    async with stage.broker() as broker, a_held_commit(stage, broker) as (held, commits, _):
        stranger = await get_person(broker, OTHER_DEV)
        for decide in (broker.held_commits.confirm, broker.held_commits.roll_back):
            with pytest.raises(NotFound, match="no held commit"):
                await decide(held.id, stranger)
            with pytest.raises(NotFound, match="no held commit"):
                await decide("hld_0000000000000000", stranger)
            with pytest.raises(NotApprover):
                await decide(held.id, await get_person(broker, DEV), reach=frozenset())
        listed = await broker.held_commits.list(stranger, is_open=None, before=None, limit=9)
        assert listed == []
        assert await commits.fetch_decisions([held.id]) == {}


async def test_whoever_is_first_decides(stage: Stage) -> None:
    async with stage.broker() as broker, a_held_commit(stage, broker) as (held, commits, details):
        dev = await get_person(broker, DEV)
        await broker.held_commits.confirm(held.id, dev)
        stands = await commits.settle(held, CommitDecision.TIMED_OUT)
        assert (stands.decision, stands.by) == (CommitDecision.CONFIRMED, DEV)
        other = await commits.hold(held.session_id, details.grant, GATE, 11)
        assert other is not None
        stands = await commits.settle(other, CommitDecision.TIMED_OUT)
        assert stands.decision is CommitDecision.TIMED_OUT
        with pytest.raises(CommitSettled, match="it was timed out"):
            await broker.held_commits.confirm(other.id, dev)
    assert await stage.query_ledger(_AUDIT) == (
        f"{DEV} commit.held, {DEV} commit.decided confirmed, {DEV} commit.held, "
        "system commit.decided timed out"
    )


async def test_nobody_confirms_what_is_over(stage: Stage) -> None:
    """Even if its proxy has not yet said so."""
    async with stage.broker() as broker, a_held_commit(stage, broker) as (held, _, _):
        dev = await get_person(broker, DEV)
        with pytest.raises(CommitSettled, match="it was timed out"):
            await at(broker, held.ends_at).held_commits.confirm(held.id, dev)


async def test_a_commit_is_lost_with_its_session(stage: Stage) -> None:
    """Its proxy died, or could not tell the ledger."""
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await get_grant(broker)
        session, other = await opened(proxy, details), await opened(proxy, details)
        commits = HeldCommits(proxy)
        held = await commits.hold(session, details.grant, GATE, 11)
        await close(proxy, other, "client left")
        assert await commits.hold(other, details.grant, GATE, 11) is None
        assert await commits.hold("ses_0000000000000000", details.grant, GATE, 11) is None
        for _ in range(2):
            await broker.sessions.close_lost()  # no worker shows life
        assert held is not None
        found = (await commits.fetch_decisions([held.id]))[held.id]
        assert (found.decision, found.by) == (CommitDecision.LOST, None)
    assert await stage.query_ledger(_AUDIT) == f"{DEV} commit.held, system commit.decided lost"


async def test_both_sides_hear_of_it(stage: Stage) -> None:
    heard: list[str] = []
    listening = await connect(stage.ledger_login("curfew_proxy"), "a listener")
    await listening.add_listener(COMMITS, lambda *said: heard.append(str(said[-1])))
    try:
        async with stage.broker() as broker, a_held_commit(stage, broker) as (held, _, _):
            await listening.execute("SELECT")
            assert heard == [held.id]
            await broker.held_commits.confirm(held.id, await get_person(broker, DEV))
            await listening.execute("SELECT")
            assert heard == [held.id, held.id]
    finally:
        await listening.close()


async def test_commits_are_listed_and_decided_over_http_and_at_the_command_line(
    stage: Stage,
) -> None:
    async with stage.broker() as broker, a_held_commit(stage, broker) as (held, commits, details):
        other = await commits.hold(held.session_id, details.grant, GATE, 12345)
        assert other is not None
        async with client_of(broker, DEV) as dev:
            assert [each.id for each in (await dev.list_held_commits()).items] == [
                other.id,
                held.id,
            ]
            view = await dev.confirm_commit(held.id)
            assert (view.decision, view.decided_by, view.person) == ("confirmed", DEV, DEV)
            with pytest.raises(ApiError, match="it was confirmed") as refused:
                await dev.roll_back_commit(held.id)
            assert (refused.value.status, refused.value.code) == (409, "commit-settled")
        listed = await pgcurfew(broker, DEV, "commits", "ls")
        assert other.id in listed.stdout
        assert "12,345" in listed.stdout
        assert held.id not in listed.stdout
        denied = await pgcurfew(broker, REVIEWER, "commits", "confirm", other.id)
        assert "this commit waits for its person" in denied.stderr
        done = await pgcurfew(broker, REVIEWER, "commits", "roll-back", other.id)
        assert f"rolled back by {REVIEWER}" in " ".join(done.stdout.split())
        everything = await pgcurfew(broker, DEV, "commits", "ls", "--all", "--json")
        assert held.id in everything.stdout


async def test_a_sealed_ticket_carries_what_it_is_held_to(stage: Stage) -> None:
    held_to(stage, STATEMENTS)
    async with stage.broker() as broker:
        new = await seal(broker)
        opened_by_proxy = read_unverified(new.user)
        assert isinstance(opened_by_proxy, Ticket)
        assert opened_by_proxy.conditions == CONDITIONS
        found = await broker.grants.details(new.ticket.grant_id)
    assert found.grant.conditions == CONDITIONS
