"""One session on two transports that a test drives: what goes through, and how it ends."""

import asyncio
import contextlib
from collections.abc import Callable
from itertools import pairwise
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.goodbye import Goodbye
from proxy.relay import Relay
from proxy.stream import MessageStream
from proxy.wire.messages import TERMINATE, encode_error, encode_frame
from tests.support.record import MemorySpool, transcript

QUERY = encode_frame(b"Q", b"select 1\0")
ROW = encode_frame(b"D", b"\0\x01\0\0\0\x011")
TAG = encode_frame(b"C", b"SELECT 1\0")
READY = encode_frame(b"Z", b"I")
TARGET_DIES = encode_error("57P01", "terminating connection due to administrator command")

EXPIRED = Goodbye("expired", "57P01", "access ended: grant grt_1 expired", "Ask again.")
REVOKED = Goodbye("revoked", "57P01", "access ended: grant grt_1 was revoked")
NOTICE = encode_frame(b"N", b"SNOTICE\0Mtwo minutes left\0\0")
LOST = encode_error("08006", "the target closed the connection")

messages_of_any_kind = st.lists(
    st.builds(encode_frame, st.binary(min_size=1, max_size=1), st.binary(max_size=50)), max_size=8
).map(b"".join)
messages = st.lists(
    st.builds(encode_frame, st.sampled_from([b"D", b"C", b"Z", b"T"]), st.binary(max_size=30)),
    min_size=1,
    max_size=5,
)


class FakeTransport(asyncio.Transport):
    """Remembers what it was told. As strict as uvloop's: what is closed takes nothing."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._closing = False
        self.lost = False
        self.aborted = False
        self.reading = True
        self._ended = False
        self.written = b""
        self.high_water: int | None = None
        self.unsent = 0

    def receive(self, data: bytes) -> None:
        """The peer says something."""
        assert isinstance(self._protocol, asyncio.Protocol)
        self._protocol.data_received(data)

    def lose(self) -> None:
        """The peer is gone, or has taken all that it was sent before `close`."""
        self._closing = self.lost = True
        self._protocol.connection_lost(None)

    def fill(self) -> None:
        """The peer does not take what it is sent."""
        assert isinstance(self._protocol, asyncio.Protocol)
        self._protocol.pause_writing()

    def drain(self) -> None:
        """The peer has taken what it was sent."""
        assert isinstance(self._protocol, asyncio.Protocol)
        self._protocol.resume_writing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    def hang_up(self) -> bool:
        """The peer sends nothing more. Returns whether it may still be written to."""
        assert isinstance(self._protocol, asyncio.Protocol)
        stays = bool(self._protocol.eof_received())
        if not stays:
            self._closing = True
        return stays

    def can_write_eof(self) -> bool:
        return True

    def has_ended(self) -> bool:
        """Whether we send nothing more."""
        return self._ended

    def write_eof(self) -> None:
        self._refuse_if_closed()
        self._ended = True

    def abort(self) -> None:
        self._closing = self.aborted = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._refuse_if_closed()
        if self._ended:
            raise RuntimeError("nothing can be written after the end")
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert low is None
        self._refuse_if_closed()
        self.high_water = high

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        self._refuse_if_closed()
        self.reading = False

    def resume_reading(self) -> None:
        self._refuse_if_closed()
        self.reading = True

    def _refuse_if_closed(self) -> None:
        if self._closing:
            raise RuntimeError("the handler is closed")


class Session:
    """A relay between two fake peers, run by hand."""

    def __init__(self) -> None:
        self.spool = MemorySpool()
        self.waiting: list[Callable[[], None]] = []
        self.relay = Relay(transcript(self.spool), self.waiting.append)
        self._client, self._upstream = MessageStream(1024), MessageStream(1024)
        self.client, self.upstream = FakeTransport(self._client), FakeTransport(self._upstream)
        self._client.connection_made(self.client)
        self._upstream.connection_made(self.upstream)
        self._running = self.relay.run(self._client, self._upstream)
        self._waiting_for: asyncio.Future[None] | None = None

    def begin(self) -> Self:
        with contextlib.suppress(StopIteration):  # over before it began
            self._waiting_for = self._running.send(None)
        return self

    def let_go_on(self) -> None:
        """There may be room in the record again."""
        waiting, self.waiting[:] = tuple(self.waiting), ()
        for call in waiting:
            call()

    def is_over(self) -> bool:
        """Whether `run` has nothing left to wait for; if so, it returns."""
        if self._waiting_for is None:
            return True
        if not self._waiting_for.done():
            return False
        with pytest.raises(StopIteration):
            self._running.send(None)
        return True


def begun() -> Session:
    return Session().begin()


def in_the_middle() -> Session:
    """A session whose client has one whole message and half of the next."""
    session = begun()
    session.upstream.receive(TAG + ROW[:7])
    return session


class TestPassing:
    async def test_bytes_go_both_ways_unchanged(self) -> None:
        session = begun()
        session.client.receive(QUERY[:3])
        session.client.receive(QUERY[3:])
        session.upstream.receive(ROW[:2])
        session.upstream.receive(ROW[2:] + READY)
        assert session.upstream.written == QUERY
        assert session.client.written == ROW + READY

    @given(asked=messages_of_any_kind, answered=messages_of_any_kind, data=st.data())
    async def test_nothing_in_the_messages_makes_a_difference(
        self, asked: bytes, answered: bytes, data: st.DataObject
    ) -> None:
        """However they are cut, and in whatever order both sides speak."""
        session = begun()
        left = {True: asked, False: answered}
        while left[True] or left[False]:
            from_client = data.draw(st.booleans()) if all(left.values()) else bool(left[True])
            size = data.draw(st.integers(1, len(left[from_client])))
            part, left[from_client] = left[from_client][:size], left[from_client][size:]
            (session.client if from_client else session.upstream).receive(part)
        assert session.upstream.written == asked
        assert session.client.written == answered
        assert session.relay.bytes_from_client == len(asked)
        assert session.relay.bytes_to_client == len(answered)
        assert not session.is_over()

    async def test_what_came_during_the_login_goes_through_first(self) -> None:
        """A client may send its first query together with its last proof."""
        session = Session()
        session.client.receive(QUERY)
        session.upstream.receive(READY)
        session.begin()
        session.client.receive(TERMINATE)
        session.upstream.receive(ROW)
        assert session.upstream.written == QUERY + TERMINATE
        assert session.client.written == READY + ROW


class TestBackPressure:
    async def test_a_slow_client_makes_the_target_wait(self) -> None:
        session = begun()
        session.client.fill()
        assert (session.client.reading, session.upstream.reading) == (True, False)
        session.client.drain()
        assert (session.client.reading, session.upstream.reading) == (True, True)

    async def test_a_slow_target_makes_the_client_wait(self) -> None:
        session = begun()
        session.upstream.fill()
        assert (session.client.reading, session.upstream.reading) == (False, True)
        session.upstream.drain()
        assert (session.client.reading, session.upstream.reading) == (True, True)

    async def test_a_peer_that_is_leaving_is_not_told_to_wait(self) -> None:
        session = begun()
        session.client.close()
        session.upstream.fill()
        session.upstream.drain()
        session.upstream.close()
        session.client.fill()
        session.client.drain()
        assert (session.client.reading, session.upstream.reading) == (True, True)

    async def test_a_client_can_be_held_while_its_query_is_cancelled(self) -> None:
        session = begun()
        with session.relay.client_held():
            assert (session.client.reading, session.upstream.reading) == (False, True)
        assert session.client.reading

    async def test_a_client_is_read_again_when_no_reason_is_left_not_to(self) -> None:
        session = begun()
        session.upstream.fill()
        with session.relay.client_held():
            session.upstream.drain()
            assert not session.client.reading
        assert session.client.reading

    async def test_a_client_held_when_the_curfew_comes_is_read_all_the_same(self) -> None:
        session = in_the_middle()
        with session.relay.client_held():
            session.relay.end(EXPIRED)
            assert session.client.reading
            session.upstream.fill()
            assert session.client.reading

    async def test_a_quarter_of_a_megabyte_may_wait_on_each_side(self) -> None:
        session = begun()
        assert (session.client.high_water, session.upstream.high_water) == (262_144, 262_144)


class TestRecord:
    async def test_nothing_is_passed_on_that_is_not_on_record(self) -> None:
        session = begun()
        session.spool.full = True
        session.client.receive(QUERY)
        assert (session.upstream.written, session.spool.texts) == (b"", [])
        assert not session.client.reading
        session.spool.full = False
        session.let_go_on()
        assert (session.upstream.written, session.spool.texts) == (QUERY, ["select 1"])
        assert session.client.reading

    async def test_what_comes_while_the_record_is_full_waits_in_its_order(self) -> None:
        session = begun()
        session.spool.full = True
        session.client.receive(QUERY)
        session.client.receive(QUERY[:3])
        session.spool.full = False
        session.let_go_on()
        session.client.receive(QUERY[3:])
        assert session.upstream.written == QUERY + QUERY

    async def test_a_full_record_may_stay_full(self) -> None:
        session = begun()
        session.spool.full = True
        session.client.receive(QUERY)
        session.let_go_on()
        assert session.upstream.written == b""
        assert not session.client.reading
        session.spool.full = False
        session.let_go_on()
        assert session.upstream.written == QUERY

    async def test_a_session_ends_although_its_record_is_full(self) -> None:
        session = begun()
        session.spool.full = True
        session.client.receive(QUERY)
        session.relay.end(REVOKED)
        assert session.client.reading
        session.spool.full = False
        session.let_go_on()
        assert session.upstream.written == b""
        assert session.client.written == REVOKED.encode()

    async def test_a_length_that_no_server_takes_ends_the_session(self) -> None:
        """Or else the server might see other messages than the record."""
        session = begun()
        session.client.receive(b"Q\0\0\0\3select 1\0")
        assert session.upstream.written == b""
        assert b"C08P01" in session.client.written

    async def test_a_client_that_does_not_wait_for_answers_is_made_to(self) -> None:
        session = begun()
        session.client.receive(encode_frame(b"S", b"") * 20_001)
        assert not session.client.reading
        session.upstream.receive(READY * 10_001)
        assert not session.client.reading
        session.upstream.receive(READY)
        assert session.client.reading


class TestEnd:
    """A curfew, a revocation or a shutdown."""

    async def test_between_messages_the_client_hears_of_it_at_once(self) -> None:
        session = begun()
        session.upstream.receive(ROW + READY)
        session.relay.end(EXPIRED)
        assert session.client.written == ROW + READY + EXPIRED.encode()
        assert session.client.has_ended()
        assert session.upstream.aborted
        assert session.relay.reason == "expired"

    async def test_before_any_message_the_client_hears_of_it_at_once(self) -> None:
        session = begun()
        session.relay.end(EXPIRED)
        assert session.client.written == EXPIRED.encode()

    async def test_is_a_fatal_error_with_a_hint(self) -> None:
        assert EXPIRED.encode() == encode_error(
            "57P01", "access ended: grant grt_1 expired", hint="Ask again."
        )

    @pytest.mark.parametrize("cut", range(1, len(ROW)))
    @pytest.mark.parametrize("more", [b"", TAG, TAG + READY, READY[:2]])
    async def test_in_the_middle_of_a_message_waits_for_its_end(
        self, cut: int, more: bytes
    ) -> None:
        """Inside a message the client would take it for data; what follows it is not for them."""
        session = begun()
        session.upstream.receive(TAG + ROW[:cut])
        session.relay.end(EXPIRED)
        assert session.client.written == TAG + ROW[:cut]
        assert not session.client.has_ended()
        session.upstream.receive(ROW[cut:] + more)
        assert session.client.written == TAG + ROW + EXPIRED.encode()
        assert session.client.has_ended()
        assert session.upstream.aborted

    @given(stream=messages, data=st.data())
    async def test_is_heard_after_the_open_message_however_the_stream_is_cut(
        self, stream: list[bytes], data: st.DataObject
    ) -> None:
        whole = b"".join(stream)
        ends = [sum(map(len, stream[:count])) for count in range(len(stream) + 1)]
        cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), min_size=1)))
        curfew = data.draw(st.sampled_from(cuts))
        session = begun()
        for start, end in pairwise([0, *cuts, len(whole)]):
            session.upstream.receive(whole[start:end])
            if end == curfew:
                session.relay.end(EXPIRED)
        heard = min(end for end in ends if end >= curfew)
        assert session.client.written == whole[:heard] + EXPIRED.encode()

    async def test_stops_what_the_client_still_sends(self) -> None:
        """Nothing that arrives after the curfew may be run."""
        session = in_the_middle()
        session.relay.end(EXPIRED)
        session.client.receive(QUERY)
        assert session.upstream.written == b""
        assert session.relay.bytes_from_client == 0

    async def test_reads_what_the_client_still_sends(self) -> None:
        """Unread bytes would reset the connection when it is closed, and with it our last words."""
        session = in_the_middle()
        session.upstream.fill()
        assert not session.client.reading
        session.relay.end(EXPIRED)
        assert session.client.reading

    async def test_does_not_wait_for_a_client_that_leaves_then(self) -> None:
        session = begun()
        session.relay.end(EXPIRED)
        assert not session.client.hang_up()

    async def test_is_said_once(self) -> None:
        session = in_the_middle()
        session.relay.end(REVOKED)
        session.relay.end(EXPIRED)
        session.upstream.receive(ROW[7:])
        session.relay.end(EXPIRED)
        assert session.client.written == TAG + ROW + REVOKED.encode()
        assert session.relay.reason == "revoked"

    async def test_lets_nothing_of_the_target_follow_the_last_words(self) -> None:
        session = begun()
        session.relay.end(EXPIRED)
        session.upstream.receive(ROW)
        assert session.client.written == EXPIRED.encode()

    async def test_does_not_wait_for_a_message_that_a_lost_target_cannot_finish(self) -> None:
        session = in_the_middle()
        session.relay.end(EXPIRED)
        session.upstream.lose()
        assert session.client.written == TAG + ROW[:7]
        assert session.client.is_closing()
        assert session.relay.reason == "expired"

    async def test_is_complete_when_both_sides_are_gone(self) -> None:
        session = begun()
        session.relay.end(EXPIRED)
        session.upstream.lose()
        assert not session.is_over()
        session.client.lose()
        assert session.is_over()

    async def test_after_the_client_has_left_ends_what_the_target_still_does(self) -> None:
        """And must not fail, or the other sessions of the grant would never hear of it."""
        session = begun()
        session.client.lose()
        session.relay.end(EXPIRED)
        assert session.client.written == b""
        assert session.upstream.aborted
        assert session.relay.reason == "closed by the client"

    async def test_after_the_target_was_lost_changes_nothing(self) -> None:
        session = begun()
        session.upstream.lose()
        session.relay.end(EXPIRED)
        assert session.client.written == LOST
        assert session.relay.reason == "the target was lost"

    async def test_after_everything_is_over_changes_nothing(self) -> None:
        session = begun()
        session.client.lose()
        session.upstream.lose()
        session.relay.end(EXPIRED)
        assert session.is_over()
        assert session.relay.reason == "closed by the client"


class TestNotice:
    """A word of ours to a client whose session goes on."""

    async def test_to_an_idle_session_is_given_at_once(self) -> None:
        session = begun()
        session.upstream.receive(ROW + READY)
        session.relay.notify(NOTICE)
        assert session.client.written == ROW + READY + NOTICE

    async def test_before_the_first_query_is_given_at_once(self) -> None:
        session = begun()
        session.relay.notify(NOTICE)
        assert session.client.written == NOTICE

    async def test_waits_until_the_server_is_ready_again(self) -> None:
        session = begun()
        session.client.receive(QUERY)
        session.relay.notify(NOTICE)
        session.upstream.receive(ROW + TAG)
        assert session.client.written == ROW + TAG
        session.upstream.receive(READY)
        session.upstream.receive(ROW)
        assert session.client.written == ROW + TAG + READY + NOTICE + ROW

    @pytest.mark.parametrize("cut", range(1, len(READY)))
    async def test_never_cuts_a_message(self, cut: int) -> None:
        session = begun()
        session.client.receive(QUERY)
        session.upstream.receive(ROW + READY[:cut])
        session.relay.notify(NOTICE)
        assert session.client.written == ROW + READY[:cut]
        session.upstream.receive(READY[cut:])
        assert session.client.written == ROW + READY + NOTICE

    @given(stream=messages, data=st.data())
    async def test_comes_after_a_ready_however_the_stream_is_cut(
        self, stream: list[bytes], data: st.DataObject
    ) -> None:
        whole = b"".join(stream)
        ready_ends = [
            sum(map(len, stream[: count + 1]))
            for count, message in enumerate(stream)
            if message[:1] == b"Z"
        ]
        cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1))))
        session = begun()
        session.client.receive(QUERY)
        session.relay.notify(NOTICE)
        for start, end in pairwise([0, *cuts, len(whole)]):
            session.upstream.receive(whole[start:end])
        places = [end for end in ready_ends if end in {*cuts, len(whole)}]
        if places:
            place = places[0]
            assert session.client.written == whole[:place] + NOTICE + whole[place:]
        else:
            assert session.client.written == whole

    async def test_of_several_all_are_given(self) -> None:
        session = begun()
        session.client.receive(QUERY)
        session.relay.notify(NOTICE)
        session.relay.notify(NOTICE)
        session.upstream.receive(READY)
        assert session.client.written == READY + NOTICE + NOTICE

    async def test_is_dropped_when_the_session_ends_first(self) -> None:
        session = in_the_middle()
        session.relay.notify(NOTICE)
        session.relay.end(EXPIRED)
        session.relay.notify(NOTICE)
        session.upstream.receive(ROW[7:])
        session.relay.notify(NOTICE)
        assert session.client.written == TAG + ROW + EXPIRED.encode()

    async def test_to_a_client_that_has_left_is_dropped(self) -> None:
        session = begun()
        session.client.lose()
        session.relay.notify(NOTICE)
        assert session.client.written == b""

    async def test_after_the_target_was_lost_is_dropped(self) -> None:
        session = begun()
        session.upstream.lose()
        session.relay.notify(NOTICE)
        assert session.client.written == LOST

    async def test_is_no_byte_of_the_target(self) -> None:
        session = begun()
        session.relay.notify(NOTICE)
        assert session.relay.bytes_to_client == 0


class TestIdleness:
    async def test_is_there_before_the_first_query(self) -> None:
        assert begun().relay.is_idle

    async def test_ends_with_a_query_and_returns_with_its_end(self) -> None:
        session = begun()
        session.client.receive(QUERY[:1])
        assert not session.relay.is_idle
        session.client.receive(QUERY[1:])
        session.upstream.receive(ROW + TAG)
        assert not session.relay.is_idle
        session.upstream.receive(READY[:3])
        assert not session.relay.is_idle
        session.upstream.receive(READY[3:])
        assert session.relay.is_idle

    async def test_is_not_there_while_something_else_was_said_last(self) -> None:
        """A notification between queries: the next ReadyForQuery will tell."""
        session = begun()
        session.upstream.receive(READY + encode_frame(b"A", b"news"))
        assert not session.relay.is_idle

    async def test_activity_grows_with_all_that_moves(self) -> None:
        session = begun()
        seen = [session.relay.activity]
        session.client.receive(QUERY)
        seen.append(session.relay.activity)
        session.upstream.receive(READY)
        seen.append(session.relay.activity)
        assert seen == sorted(set(seen))


class TestHalfClose:
    async def test_a_client_that_sends_nothing_more_is_still_answered(self) -> None:
        session = begun()
        session.client.receive(QUERY)
        assert session.client.hang_up()
        assert session.upstream.has_ended()
        session.upstream.receive(ROW + READY)
        assert session.client.written == ROW + READY
        assert not session.upstream.is_closing()

    async def test_a_target_that_then_closes_is_no_loss(self) -> None:
        session = begun()
        session.client.hang_up()
        session.upstream.lose()
        assert session.client.written == b""
        assert session.client.is_closing()
        assert session.relay.reason == "closed by the client"

    async def test_is_not_passed_on_to_a_target_that_is_gone(self) -> None:
        session = begun()
        session.upstream.lose()
        assert not session.client.hang_up()


class TestTargetLost:
    @pytest.mark.parametrize("heard", [b"", READY, ROW + READY])
    async def test_without_a_word_is_explained_to_the_client(self, heard: bytes) -> None:
        session = begun()
        session.upstream.receive(heard)
        session.upstream.lose()
        assert session.client.written == heard + LOST
        assert session.client.is_closing()
        assert session.relay.reason == "the target was lost"

    async def test_with_an_error_of_its_own_needs_no_other(self) -> None:
        session = begun()
        session.upstream.receive(READY + TARGET_DIES)
        session.upstream.lose()
        assert session.client.written == READY + TARGET_DIES
        assert session.client.is_closing()
        assert session.relay.reason == "ended by the target"

    async def test_after_an_error_that_it_recovered_from_is_explained(self) -> None:
        session = begun()
        session.upstream.receive(encode_frame(b"E", b"SERROR\0\0") + READY)
        session.upstream.lose()
        assert session.client.written.endswith(READY + LOST)
        assert session.relay.reason == "the target was lost"

    @pytest.mark.parametrize("cut", range(1, len(ROW)))
    async def test_in_the_middle_of_a_message_cannot_be_explained(self, cut: int) -> None:
        """Our words would be taken for the rest of it."""
        session = begun()
        session.upstream.receive(ROW[:cut])
        session.upstream.lose()
        assert session.client.written == ROW[:cut]
        assert session.client.is_closing()
        assert session.relay.reason == "the target was lost"

    @pytest.mark.parametrize("cut", range(len(TERMINATE) + 1))
    async def test_because_the_client_said_goodbye_is_no_loss(self, cut: int) -> None:
        """PostgreSQL closes without a word then, and so do we."""
        session = begun()
        session.client.receive(QUERY + TERMINATE[:cut])
        session.client.receive(TERMINATE[cut:])
        session.upstream.receive(READY)
        session.upstream.lose()
        assert session.client.written == READY
        assert session.client.is_closing()
        assert session.relay.reason == "closed by the client"

    @pytest.mark.parametrize("last", [QUERY, TERMINATE + b"\0", TERMINATE[:4], TERMINATE[1:]])
    async def test_after_anything_but_a_goodbye_is_one(self, last: bytes) -> None:
        session = begun()
        session.client.receive(last)
        session.upstream.lose()
        assert session.client.written == LOST
        assert session.relay.reason == "the target was lost"

    async def test_during_the_login_is_explained_too(self) -> None:
        session = Session()
        session.client.receive(QUERY)
        session.upstream.receive(READY)
        session.upstream.lose()
        session.begin()
        assert session.client.written == READY + LOST
        assert session.client.is_closing()

    async def test_is_over_when_the_client_has_taken_the_last_words(self) -> None:
        session = begun()
        session.upstream.lose()
        assert not session.is_over()
        session.client.lose()
        assert session.is_over()

    async def test_stops_what_the_client_still_sends(self) -> None:
        """TLS of asyncio delivers even while it closes."""
        session = begun()
        session.upstream.lose()
        session.client.receive(QUERY)
        assert session.upstream.written == b""


class TestClientLost:
    async def test_closes_the_connection_to_the_target(self) -> None:
        session = begun()
        session.client.lose()
        assert session.upstream.is_closing()
        assert not session.upstream.aborted  # what the client sent last may still be on its way
        assert session.relay.reason == "closed by the client"
        assert not session.is_over()
        session.upstream.lose()
        assert session.is_over()
        assert session.relay.reason == "closed by the client"

    async def test_during_the_login_closes_the_connection_to_the_target(self) -> None:
        """Nobody would use it, and it would stay open until the curfew."""
        session = Session()
        session.client.lose()
        session.upstream.receive(READY)
        session.begin()
        assert session.upstream.is_closing()
        assert session.is_over()

    async def test_stops_what_the_target_still_sends(self) -> None:
        """TLS of asyncio delivers even while it closes."""
        session = begun()
        session.client.lose()
        session.upstream.receive(ROW)
        assert session.client.written == b""

    async def test_leaves_neither_connection_behind(self) -> None:
        session = begun()
        session.client.lose()
        session.upstream.lose()
        assert session.is_over()
        assert session.client.aborted
        assert session.upstream.aborted


class HandClock(asyncio.SelectorEventLoop):
    """A loop whose time passes only when told to."""

    now = 0.0

    def time(self) -> float:
        return self.now


@pytest.mark.parametrize(("seconds", "cut_off"), [(1.9, False), (2.0, True)])
def test_a_client_that_does_not_take_the_last_words_is_cut_off(
    seconds: float, *, cut_off: bool
) -> None:
    """Otherwise a stalled client would keep its session beyond the curfew."""
    loop = HandClock()

    async def ended() -> Session:
        session = in_the_middle()
        session.relay.end(EXPIRED)
        return session

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        session = runner.run(ended())
        loop.now = seconds
        runner.run(asyncio.sleep(0))
        assert (session.client.aborted, session.upstream.aborted) == (cut_off, cut_off)
