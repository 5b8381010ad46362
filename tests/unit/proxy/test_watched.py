"""A session whose statements are judged, on two transports that a test drives."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.statement.conditions import CommitGate, Conditions, StatementKind
from broker.domain.statement.statement import Ending
from broker.sql.kinds import statements_of
from proxy.relay import Relay, Watching
from proxy.stream import MessageStream
from proxy.watch import Watch
from tests.support import messages as m
from tests.support.record import MemorySpool, transcript
from tests.unit.proxy.test_relay import FakeTransport

CONDITIONS = Conditions(
    commit_gate=CommitGate(rows=10, within=timedelta(minutes=5)),
    refused=frozenset({StatementKind.LOCK}),
)
LOCK = "LOCK TABLE t"
IN_ITS_PLACE = m.query("REFUSED BY pgcurfew")
THEIR_ERROR = m.failed("42601")


def pieces(data: st.DataObject, stream: bytes) -> list[bytes]:
    cuts = sorted(data.draw(st.lists(st.integers(1, len(stream) - 1), max_size=8, unique=True)))
    return [stream[start:end] for start, end in pairwise([0, *cuts, len(stream)])]


class Session:
    def __init__(self, *, watches: bool = True, most: int | None = None) -> None:
        self.spool = MemorySpool()
        self.waiting: list[Callable[[], None]] = []
        self.held: list[int] = []
        self.received: list[tuple[int, int]] = []
        record = transcript(self.spool)
        watch = Watch(CONDITIONS, record, statements_of) if watches else None
        watching = Watching(
            watch=watch,
            commit_held=self.held.append,
            is_bounded=most is not None,
            admits=lambda rows, _bytes: most is None or rows <= most,
            received=lambda *sent: self.received.append(sent),
        )
        self.relay = Relay(record, self.waiting.append, watching)
        client, upstream = MessageStream(1024), MessageStream(1024)
        self.client, self.upstream = FakeTransport(client), FakeTransport(upstream)
        client.connection_made(self.client)
        upstream.connection_made(self.upstream)
        self._running = self.relay.run(client, upstream)
        self._running.send(None)

    def let_go_on(self) -> None:
        waiting, self.waiting[:] = tuple(self.waiting), ()
        for call in waiting:
            call()

    def begin(self, changes: int) -> None:
        self.client.receive(m.query("BEGIN"))
        self.upstream.receive(m.complete("BEGIN") + m.ready(b"T"))
        self.client.receive(m.query("UPDATE t SET a = 1"))
        self.upstream.receive(m.complete(f"UPDATE {changes}") + m.ready(b"T"))
        self.client.written = self.upstream.written = b""


class TestPassing:
    @given(data=st.data())
    async def test_the_same_goes_on_in_any_pieces(self, data: st.DataObject) -> None:
        session = Session()
        said = m.query("SELECT 1") + m.parse("s", "SELECT 2") + m.bind("s", b"x" * 3_000)
        said += m.execute() + m.FLUSH + m.query(LOCK) + m.copy_data() + m.SYNC
        for piece in pieces(data, said):
            session.client.receive(piece)
        assert session.upstream.written == said.replace(m.query(LOCK), IN_ITS_PLACE)
        assert session.spool.texts == ["SELECT 1", "SELECT 2", LOCK]

    @given(data=st.data())
    async def test_an_error_is_replaced_in_any_pieces(self, data: st.DataObject) -> None:
        session = Session()
        session.client.receive(m.query("SELECT 1") + m.query(LOCK) + m.query("SELECT 2"))
        answers = m.ROW + m.failed("22012") + m.ready()
        rest = m.NOTICE + THEIR_ERROR + m.ready() + m.ROW + m.complete("SELECT 1") + m.ready()
        for piece in pieces(data, answers + rest):
            session.upstream.receive(piece)
        assert session.client.written.startswith(answers + m.NOTICE)
        assert session.client.written.endswith(m.ROW + m.complete("SELECT 1") + m.ready())
        assert THEIR_ERROR not in session.client.written
        assert b"LOCK" in session.client.written
        assert [each.ending for each in session.spool.ends.values()] == [
            Ending.FAILED,
            Ending.REFUSED,
            Ending.DONE,
        ]
        assert session.received[-1] == (2, len(answers + rest))

    async def test_a_length_that_no_server_takes_ends_the_session(self) -> None:
        session = Session()
        session.client.receive(b"Q\0\0\0\3")
        assert b"C08P01" in session.client.written

    async def test_a_statement_within_a_copy_ends_the_session(self) -> None:
        session = Session(watches=True)
        session.client.receive(m.query("COPY t TO STDOUT"))
        session.upstream.receive(m.COPY_IN)
        session.client.receive(m.SYNC + m.query("SELECT 1"))
        assert b"C08P01" in session.client.written

    async def test_rows_are_counted_where_nothing_is_judged(self) -> None:
        session = Session(watches=False)
        session.client.receive(m.query(LOCK))
        session.upstream.receive(m.ROW * 3)
        assert session.upstream.written == m.query(LOCK)
        assert session.received == [(3, 3 * len(m.ROW))]

    @given(data=st.data())
    async def test_of_a_bounded_session_no_row_passes_that_is_one_too_many(
        self, data: st.DataObject
    ) -> None:
        session = Session(most=2)
        session.client.receive(m.query("SELECT 1"))
        answers = m.NOTICE + m.ROW * 3 + m.complete("SELECT 3") + m.ready()
        for piece in pieces(data, answers):
            session.upstream.receive(piece)
        assert session.client.written.startswith(m.NOTICE + m.ROW * 2)
        assert session.client.written.count(m.ROW) == 2

    async def test_the_target_can_be_held(self) -> None:
        session = Session()
        session.relay.hold_upstream()
        assert not session.upstream.reading
        session.relay.release_upstream()
        assert session.upstream.reading


class TestTooLong:
    async def test_statements_are_refused_without_being_kept(self) -> None:
        session = Session()
        long = m.query("x" * 2_000_000)
        for start in range(0, len(long), 100_000):
            session.client.receive(long[start : start + 100_000])
        assert session.upstream.written == IN_ITS_PLACE
        session.upstream.receive(THEIR_ERROR + m.ready())
        assert b"C54000" in session.client.written
        assert session.spool.begun[0].text_bytes == 2_000_000


class TestRoom:
    @pytest.mark.parametrize("sql", ["SELECT 1", LOCK])
    async def test_nothing_is_passed_on_that_is_not_on_record(self, sql: str) -> None:
        session = Session()
        session.spool.full = True
        session.client.receive(m.query(sql) + m.SYNC)
        assert (session.upstream.written, session.client.reading) == (b"", False)
        session.spool.full = False
        session.let_go_on()
        passed = m.query(sql) if sql != LOCK else IN_ITS_PLACE
        assert (session.upstream.written, session.client.reading) == (passed + m.SYNC, True)
        assert session.spool.texts == [sql]


class TestCommits:
    async def test_are_held_until_they_are_confirmed(self) -> None:
        session = Session()
        session.begin(11)
        session.client.receive(m.query("COMMIT") + m.query("SELECT 1"))
        assert session.held == [11]
        assert session.upstream.written == b""
        assert not session.client.reading
        session.upstream.receive(m.NOTICE)
        session.relay.tell(m.NOTICE)
        assert session.client.written == m.NOTICE * 2
        assert session.upstream.written == b""
        session.relay.confirm_commit()
        assert session.upstream.written == m.query("COMMIT") + m.query("SELECT 1")
        assert session.client.reading

    async def test_wait_for_what_is_unanswered_and_ask_for_the_answers(self) -> None:
        session = Session()
        session.begin(1)
        ahead = m.parse("", "UPDATE t SET a = 1") + m.bind("") + m.execute()
        session.client.receive(ahead + m.query("COMMIT"))
        assert session.upstream.written == ahead + m.FLUSH
        session.upstream.receive(m.PARSED + m.BOUND)
        assert session.upstream.written == ahead + m.FLUSH
        session.upstream.receive(m.complete("UPDATE 1"))
        assert session.upstream.written == ahead + m.FLUSH + m.query("COMMIT")

    async def test_do_not_wait_for_ever_for_what_was_refused(self) -> None:
        """Its error is the last that comes: what follows is skipped."""
        session = Session()
        session.begin(1)
        session.client.receive(m.parse("s", LOCK) + m.execute() + m.query("COMMIT") + m.SYNC)
        session.upstream.receive(THEIR_ERROR)
        assert session.upstream.written.endswith(m.FLUSH + m.query("COMMIT") + m.SYNC)

    async def test_go_on_although_somebody_has_something_to_tell(self) -> None:
        session = Session()
        session.begin(1)
        session.client.receive(m.query("UPDATE t SET a = 1") + m.query("COMMIT"))
        session.relay.notify(m.NOTICE)
        session.upstream.receive(m.complete("UPDATE 1") + m.ready(b"T"))
        assert session.upstream.written.endswith(m.query("COMMIT"))

    async def test_what_hangs_on_answers_goes_on_with_them(self) -> None:
        session = Session()
        ahead, rest = m.parse("s", "SELECT 1") + m.SYNC, m.bind("s") + m.execute() + m.SYNC
        session.client.receive(ahead + rest)
        assert not session.client.reading
        session.upstream.receive(m.PARSED + m.ready())
        assert session.upstream.written.replace(m.FLUSH, b"") == ahead + rest
        assert session.spool.texts == ["SELECT 1"]
        assert not session.waiting
