"""A curfew reaches every session of its grant, and a cancel key only its own session."""

import asyncio
from dataclasses import dataclass, field

import pytest

from broker.domain.server import ServerAddress, TlsMode
from proxy.dial import Upstream
from proxy.registry import Registry, cancel_digest
from proxy.relay import Goodbye
from proxy.wire.messages import BackendKeyData

EXPIRED = Goodbye("expired", "57P01", "access ended")
TARGET = Upstream(ServerAddress("db.example.com", 5432, "orders", TlsMode.DISABLE))


@dataclass(eq=False)
class FakeSession:
    grant_id: str
    heard: list[Goodbye] = field(default_factory=list)

    def end(self, goodbye: Goodbye) -> None:
        self.heard.append(goodbye)


class LeavingSession(FakeSession):
    """Leaves the registry while it is being ended."""

    registry: Registry

    def end(self, goodbye: Goodbye) -> None:
        super().end(goodbye)
        self.registry.remove(self)


@dataclass(eq=False)
class FakeCancellable:
    upstream: Upstream = TARGET
    upstream_key: BackendKeyData = field(default_factory=lambda: BackendKeyData(1, bytes(4)))


def registry_with(*sessions: FakeSession) -> Registry:
    registry = Registry()
    for session in sessions:
        registry.add(session)
    return registry


def test_the_end_of_a_grant_reaches_all_its_sessions_and_no_other() -> None:
    first, second, other = FakeSession("grt_1"), FakeSession("grt_1"), FakeSession("grt_2")
    registry_with(first, second, other).end_grant("grt_1", EXPIRED)
    assert (first.heard, second.heard, other.heard) == ([EXPIRED], [EXPIRED], [])


def test_the_end_of_a_grant_without_sessions_is_no_accident() -> None:
    """Every worker hears of every grant."""
    Registry().end_grant("grt_1", EXPIRED)


def test_a_session_that_has_left_hears_nothing_more() -> None:
    left, stays = FakeSession("grt_1"), FakeSession("grt_1")
    registry = registry_with(left, stays)
    registry.remove(left)
    registry.end_grant("grt_1", EXPIRED)
    assert (left.heard, stays.heard) == ([], [EXPIRED])


def test_shutting_down_ends_every_session() -> None:
    sessions = [FakeSession("grt_1"), FakeSession("grt_1"), FakeSession("grt_2")]
    registry_with(*sessions).end_all(EXPIRED)
    assert [each.heard for each in sessions] == [[EXPIRED]] * 3


def test_sessions_may_leave_while_they_are_being_ended() -> None:
    sessions = [LeavingSession("grt_1"), LeavingSession("grt_1"), LeavingSession("grt_2")]
    registry = registry_with(*sessions)
    for each in sessions:
        each.registry = registry
    registry.end_all(EXPIRED)
    assert [each.heard for each in sessions] == [[EXPIRED]] * 3
    assert registry.grant_ids() == []


def test_a_grant_is_known_as_long_as_it_has_a_session() -> None:
    first, second, other = FakeSession("grt_1"), FakeSession("grt_1"), FakeSession("grt_2")
    registry = registry_with(first, second, other)
    assert registry.grant_ids() == ["grt_1", "grt_2"]
    registry.remove(first)
    assert registry.grant_ids() == ["grt_1", "grt_2"]
    registry.remove(second)
    assert registry.grant_ids() == ["grt_2"]


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
