"""A grant's news reaches all its sessions, a kill one, and a cancel key only its own session."""

import asyncio
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from broker.domain.grant import Grant, GrantState
from broker.domain.person import Person
from proxy.goodbye import Goodbye
from proxy.registry import Registry, cancel_digest

SHUTDOWN = Goodbye("shutdown", "57P01", "this server is shutting down")
_numbers = itertools.count()


@dataclass(eq=False)
class FakeSession:
    grant_id: str
    id: str = field(default_factory=lambda: f"ses_{next(_numbers)}")
    heard: list[object] = field(default_factory=list)

    def follow(self, grant: Grant) -> None:
        self.heard.append(grant)

    def end(self, goodbye: Goodbye) -> None:
        self.heard.append(goodbye)

    def killed(self, by: str) -> None:
        self.heard.append(by)


class LeavingSession(FakeSession):
    """Leaves the registry while it is being spoken to."""

    registry: Registry

    def end(self, goodbye: Goodbye) -> None:
        super().end(goodbye)
        self.registry.remove(self)

    def follow(self, grant: Grant) -> None:
        super().follow(grant)
        self.registry.remove(self)


@dataclass(eq=False)
class FakeCancellable:
    async def cancel_query(self) -> None:
        raise AssertionError("nobody asked")


def registry_with(*sessions: FakeSession) -> Registry:
    registry = Registry()
    for session in sessions:
        registry.add(session)
    return registry


def grant_until(hour: int, grant_id: str = "grt_1") -> Grant:
    return Grant(
        id=grant_id,
        request_id="req_1",
        person=Person("per_1", "dev@example.com", "A developer"),
        target="orders",
        database="orders",
        role="orders_reader",
        state=GrantState.ACTIVE,
        granted_at=datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
        expires_at=datetime(2026, 3, 1, hour, 0, tzinfo=UTC),
        duration=timedelta(hours=1),
    )


def test_what_becomes_of_a_grant_reaches_all_its_sessions_and_no_other() -> None:
    first, second, other = FakeSession("grt_1"), FakeSession("grt_1"), FakeSession("grt_2")
    registry = registry_with(first, second, other)
    moves = [grant_until(14), grant_until(15)]
    for grant in moves:
        registry.follow(grant)
    assert (first.heard, second.heard, other.heard) == (moves, moves, [])


def test_news_of_a_grant_without_sessions_is_no_accident() -> None:
    """Every worker hears of every grant."""
    session = FakeSession("grt_1")
    registry_with(session).follow(grant_until(14, "grt_2"))
    assert session.heard == []


def test_a_session_that_has_left_hears_nothing_more() -> None:
    left, stays = FakeSession("grt_1"), FakeSession("grt_1")
    registry = registry_with(left, stays)
    registry.remove(left)
    registry.follow(grant_until(14))
    assert (left.heard, stays.heard) == ([], [grant_until(14)])


def test_a_kill_reaches_one_session() -> None:
    doomed, other = FakeSession("grt_1"), FakeSession("grt_1")
    registry = registry_with(doomed, other)
    registry.kill(doomed.id, "reviewer@example.com")
    assert (doomed.heard, other.heard) == (["reviewer@example.com"], [])


def test_a_kill_of_another_workers_session_is_no_accident() -> None:
    session = FakeSession("grt_1")
    registry_with(session).kill("ses_elsewhere", "reviewer@example.com")
    assert session.heard == []


def test_shutting_down_ends_every_session() -> None:
    sessions = [FakeSession("grt_1"), FakeSession("grt_1"), FakeSession("grt_2")]
    registry_with(*sessions).end_all(SHUTDOWN)
    assert [each.heard for each in sessions] == [[SHUTDOWN]] * 3


def test_sessions_may_leave_while_they_are_being_ended() -> None:
    sessions = [LeavingSession("grt_1"), LeavingSession("grt_1"), LeavingSession("grt_2")]
    registry = registry_with(*sessions)
    for each in sessions:
        each.registry = registry
    registry.end_all(SHUTDOWN)
    assert [each.heard for each in sessions] == [[SHUTDOWN]] * 3
    assert (registry.grant_ids(), registry.ids()) == ([], [])


def test_sessions_may_leave_while_they_hear_of_their_grant() -> None:
    sessions = [LeavingSession("grt_1"), LeavingSession("grt_1")]
    registry = registry_with(*sessions)
    for each in sessions:
        each.registry = registry
    registry.follow(grant_until(14))
    assert [each.heard for each in sessions] == [[grant_until(14)]] * 2


def test_a_grant_is_known_as_long_as_it_has_a_session() -> None:
    first, second, other = FakeSession("grt_1"), FakeSession("grt_1"), FakeSession("grt_2")
    registry = registry_with(first, second, other)
    assert registry.grant_ids() == ["grt_1", "grt_2"]
    registry.remove(first)
    assert registry.grant_ids() == ["grt_1", "grt_2"]
    registry.remove(second)
    assert registry.grant_ids() == ["grt_2"]
    assert registry.ids() == [other.id]


def test_a_session_may_leave_that_never_came_or_left_before() -> None:
    """A client that is refused closes its session like everybody else."""
    session, stays = FakeSession("grt_1"), FakeSession("grt_1")
    registry = registry_with(session, stays)
    registry.remove(session)
    registry.remove(session)
    registry.remove(FakeSession("grt_2"))
    assert registry.grant_ids() == ["grt_1"]


class TestDraining:
    async def test_of_an_empty_registry_is_done_at_once(self) -> None:
        async with asyncio.timeout(0):
            await Registry().wait_until_empty()

    async def test_waits_for_the_last_session(self) -> None:
        first, last = FakeSession("grt_1"), FakeSession("grt_2")
        registry = registry_with(first, last)
        async with asyncio.TaskGroup() as tasks:
            draining = tasks.create_task(registry.wait_until_empty())
            registry.remove(first)
            await asyncio.sleep(0)
            assert not draining.done()
            registry.remove(last)

    async def test_waits_again_for_a_session_that_came_later(self) -> None:
        session = FakeSession("grt_1")
        registry = registry_with(session)
        registry.remove(session)
        registry.add(session)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await registry.wait_until_empty()


class TestCancelKey:
    def test_leads_to_its_session_until_that_ends(self) -> None:
        registry, session, other = Registry(), FakeCancellable(), FakeCancellable()
        digest = cancel_digest(1, b"key1")
        registry.add_cancel_key(digest, session)
        registry.add_cancel_key(cancel_digest(1, b"key2"), other)
        assert registry.find_cancellable(digest) is session
        registry.remove_cancel_key(digest)
        assert registry.find_cancellable(digest) is None
        assert registry.find_cancellable(cancel_digest(1, b"key2")) is other

    def test_that_was_never_given_leads_nowhere_and_may_be_removed(self) -> None:
        registry = Registry()
        registry.remove_cancel_key("")
        assert registry.find_cancellable(cancel_digest(1, b"key1")) is None

    def test_travels_between_workers_as_a_digest(self) -> None:
        """Whoever reads the notifications must not be able to cancel with them."""
        assert cancel_digest(1, b"key1") == (
            "c66e1c0fa7376f7f8ad3b7bf243d2613cadfc25f410355ea28063d91f73a0e4d"
        )

    @pytest.mark.parametrize(
        ("pid", "key"),
        [(2, b"key1"), (1, b"key2"), (1, b"key"), (1, b"key1\0"), (2**32 - 1, b"key1")],
    )
    def test_of_another_session_has_another_digest(self, pid: int, key: bytes) -> None:
        assert cancel_digest(pid, key) != cancel_digest(1, b"key1")
