"""What a session is held to: its budget, with the other sessions of its grant, and its COMMITs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from broker.domain.errors import LedgerUnavailable
from broker.domain.grant import Grant
from broker.domain.statement.budget import NOTHING, Used
from broker.domain.statement.conditions import CommitGate, Conditions
from broker.domain.statement.held_commit import CommitDecision, HeldCommit, Settled
from broker.ledger.logins import ProxyLogin
from proxy import keeper as module
from proxy.goodbye import Goodbye
from proxy.keeper import Keeper, KeeperLedger
from proxy.refusals import Guide
from proxy.relay import Relay
from tests.support.record import SESSION, MemorySpool, transcript
from tests.unit.proxy.test_registry import grant_until

NOW = datetime.now(UTC)
BUDGET = Conditions(max_rows=1_000)
GATED = Conditions(commit_gate=CommitGate(rows=10, within=timedelta(minutes=5)))


class FakeLedger:
    """Counts, and decides as it is told. It is away as often as `away` says."""

    def __init__(self) -> None:
        self.used = NOTHING
        self.late = NOTHING
        self.away = 0
        self.counted = asyncio.Event()
        self.knows_session = True
        self.held: HeldCommit | None = None
        self.decisions: asyncio.Queue[Settled | None] = asyncio.Queue()
        self.settled: CommitDecision | None = None
        self.lasts = timedelta(minutes=5)

    def _be_there(self) -> None:
        if self.away:
            self.away -= 1
            raise LedgerUnavailable

    async def use(self, _grant_id: str, used: Used) -> Used:
        self._be_there()
        self.used = Used(self.used.rows + used.rows, self.used.bytes + used.bytes)
        self.counted.set()
        return self.used

    def use_late(self, _grant_id: str, used: Used) -> None:
        self.late = used

    async def hold_commit(
        self, session_id: str, grant: Grant, gate: CommitGate, rows: int
    ) -> HeldCommit | None:
        self._be_there()
        now = datetime.now(UTC)
        self.held = HeldCommit(
            id="hld_1",
            session_id=session_id,
            grant_id=grant.id,
            rows=rows,
            by_approver=gate.by_approver,
            held_at=now,
            ends_at=now + self.lasts,
        )
        return self.held if self.knows_session else None

    async def wait_for_decision(self, _held: HeldCommit, _timeout_s: float) -> Settled | None:
        self._be_there()
        return await self.decisions.get()

    async def settle_commit(self, _held: HeldCommit, decision: CommitDecision) -> Settled:
        self._be_there()
        self.settled = decision
        return Settled(decision, None, NOW)


class FakeRelay:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.notices: list[bytes] = []
        self.told: list[bytes] = []
        self.holds = False
        self.confirmed = asyncio.Event()

    def notify(self, message: bytes) -> None:
        self.notices.append(message)

    def tell(self, message: bytes) -> None:
        self.told.append(message)

    def hold_upstream(self) -> None:
        assert not self.holds
        self.holds = True

    def release_upstream(self) -> None:
        assert self.holds
        self.holds = False

    def confirm_commit(self) -> None:
        self.confirmed.set()


class Kept:
    """A session that is kept to its conditions."""

    def __init__(
        self, conditions: Conditions, used: Used = NOTHING, *, sealed: bool = False
    ) -> None:
        self.grant = replace(grant_until(14), conditions=conditions, sealed=sealed)
        self.ledger, self.relay = FakeLedger(), FakeRelay()
        self.ledger.used = used
        self.goodbyes: list[Goodbye] = []
        self.ended = asyncio.Event()
        login = cast("ProxyLogin", Login(self.grant, used))
        self.keeper = Keeper(SESSION, login, cast("KeeperLedger", self.ledger), Guide(), self._end)
        self.watching = self.keeper.watching(transcript(MemorySpool()))

    def _end(self, goodbye: Goodbye) -> None:
        self.goodbyes.append(goodbye)
        self.ended.set()

    def receive(self, rows: int, bytes_: int = 0) -> None:
        self.watching.received(rows, bytes_)


class Login:
    """As much of a login as is looked at."""

    def __init__(self, grant: Grant, used: Used) -> None:
        self.grant = grant
        self.used = used


@asynccontextmanager
async def kept(
    conditions: Conditions,
    used: Used = NOTHING,
    prepare: Callable[[Kept], None] = lambda _kept: None,
    *,
    sealed: bool = False,
) -> AsyncIterator[Kept]:
    session = Kept(conditions, used, sealed=sealed)
    prepare(session)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(session.keeper.keep(cast("Relay", session.relay)))
        await asyncio.sleep(0)  # lets it begin
        yield session
        keeping.cancel()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for but what a test does."""
    monkeypatch.setattr(module, "_RETRY_S", 0)


class TestBudget:
    async def test_is_watched_only_where_there_is_one(self) -> None:
        assert Kept(BUDGET).watching.is_bounded
        assert not Kept(GATED).watching.is_bounded
        assert Kept(BUDGET).watching.watch is None
        assert Kept(GATED).watching.watch is not None

    async def test_admits_up_to_its_end_and_not_more(self) -> None:
        session = Kept(BUDGET, Used(rows=900))
        assert session.watching.admits(100, 0)
        assert not session.watching.admits(101, 0)
        assert "1,000 rows" in session.goodbyes[0].message
        assert session.goodbyes[0].sqlstate == "53400"

    async def test_is_counted_before_a_small_part_has_passed(self) -> None:
        async with kept(BUDGET) as session:
            session.receive(19)
            holds = [session.relay.holds]
            session.receive(20)
            holds.append(session.relay.holds)
            await session.ledger.counted.wait()
            await asyncio.sleep(0)
            assert [*holds, session.relay.holds] == [False, True, False]
            assert session.ledger.used == Used(rows=20)

    async def test_is_that_of_all_sessions_together(self) -> None:
        async with kept(BUDGET) as session:
            session.ledger.used = Used(rows=970)
            session.receive(20)
            await session.ledger.counted.wait()
            await asyncio.sleep(0)
            assert session.watching.admits(30, 0)
            assert not session.watching.admits(31, 0)

    async def test_is_said_to_be_nearly_used_once(self) -> None:
        async with kept(BUDGET, Used(rows=790)) as session:
            session.receive(9)
            assert session.relay.notices == []
            session.receive(10)
            session.receive(11)
            (notice,) = session.relay.notices
            assert b"80% of the budget" in notice

    async def test_that_was_extended_is_said_to_be_nearly_used_again(self) -> None:
        async with kept(BUDGET, Used(rows=800)) as session:
            session.receive(1)
            session.keeper.follow(replace(session.grant, conditions=Conditions(max_rows=2_000)))
            session.receive(2)
            assert len(session.relay.notices) == 1
            assert session.watching.admits(1_200, 0)
            session.keeper.follow(session.grant)
            session.receive(3)
            assert len(session.relay.notices) == 2

    async def test_holds_the_target_while_the_ledger_is_away(self) -> None:
        def away(session: Kept) -> None:
            session.ledger.away = 3

        async with kept(BUDGET, prepare=away) as session:
            session.receive(20)
            await session.ledger.counted.wait()
            assert session.ledger.away == 0
            assert session.ledger.used == Used(rows=20)

    async def test_of_a_ticket_does_not_wait_for_the_ledger(self) -> None:
        """A ticket is for when there is none."""
        async with kept(BUDGET, sealed=True) as session:
            session.receive(500)
            assert not session.relay.holds

    async def test_what_is_not_counted_yet_is_counted_at_the_end(self) -> None:
        async with kept(BUDGET) as session:
            session.receive(5, 100)
        assert session.ledger.late == Used(5, 100)

    async def test_that_was_counted_is_not_counted_again(self) -> None:
        async with kept(BUDGET) as session:
            session.receive(20)
            await session.ledger.counted.wait()
            await asyncio.sleep(0)
        assert session.ledger.late == NOTHING


def settled(decision: CommitDecision) -> Settled:
    return Settled(decision, "somebody@example.com", NOW)


class TestCommits:
    async def test_go_on_when_they_are_confirmed(self) -> None:
        async with kept(GATED) as session:
            session.watching.commit_held(12)
            session.ledger.decisions.put_nowait(None)  # nothing in that time
            session.ledger.decisions.put_nowait(settled(CommitDecision.CONFIRMED))
            await session.relay.confirmed.wait()
            assert session.ledger.held is not None
            assert session.ledger.held.rows == 12
            (told,) = session.relay.told
            assert b"12 rows" in told
            assert session.goodbyes == []

    async def test_end_the_session_when_they_are_not(self) -> None:
        async with kept(GATED) as session:
            session.watching.commit_held(12)
            session.ledger.decisions.put_nowait(settled(CommitDecision.ROLLED_BACK))
            await session.ended.wait()
            assert "somebody@example.com did not confirm" in session.goodbyes[0].message
            assert not session.relay.confirmed.is_set()

    async def test_end_the_session_when_nobody_decides_in_time(self) -> None:
        def at_once(session: Kept) -> None:
            session.ledger.lasts = timedelta()

        async with kept(GATED, prepare=at_once) as session:
            session.watching.commit_held(12)
            await session.ended.wait()
            assert session.ledger.settled is CommitDecision.TIMED_OUT
            assert "in time" in session.goodbyes[0].message

    async def test_end_the_session_when_nobody_can_even_say_so(self) -> None:
        def at_once(session: Kept) -> None:
            session.ledger.lasts = timedelta()

        async with kept(GATED, prepare=at_once) as session:
            hold = session.ledger.hold_commit

            async def hold_and_leave(*given: object) -> HeldCommit | None:
                held = await hold(*given)  # type: ignore[arg-type]
                session.ledger.away = 1
                return held

            session.ledger.hold_commit = hold_and_leave  # type: ignore[assignment]
            session.watching.commit_held(12)
            await session.ended.wait()
            assert "nobody could be asked" in session.goodbyes[0].message

    async def test_end_the_session_when_the_ledger_does_not_know_it(self) -> None:
        async with kept(GATED) as session:
            session.ledger.knows_session = False
            session.watching.commit_held(12)
            await session.ended.wait()
            assert "nobody could be asked" in session.goodbyes[0].message

    async def test_end_the_session_when_the_ledger_stays_away(self) -> None:
        moment = Conditions(commit_gate=CommitGate(rows=10, within=timedelta(milliseconds=1)))
        async with kept(moment) as session:
            session.ledger.away = 1_000_000
            session.watching.commit_held(12)
            await session.ended.wait()
            assert "nobody could be asked" in session.goodbyes[0].message

    async def test_wait_through_a_ledger_that_is_away_for_a_while(self) -> None:
        async with kept(GATED) as session:
            session.ledger.away = 4
            session.watching.commit_held(12)
            session.ledger.decisions.put_nowait(settled(CommitDecision.CONFIRMED))
            await session.relay.confirmed.wait()
            assert session.ledger.away == 0
