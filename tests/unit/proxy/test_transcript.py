"""The record of a session: what was run, with what came of it."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.statement.conditions import Recorded
from broker.domain.statement.statement import Ending, Protocol
from proxy.spool.records import Begin, Closed
from proxy.transcript import Refused, Transcript, changed_by
from proxy.wire.errors import MalformedFrame, WireError
from proxy.wire.messages import encode_frame
from tests.support import messages as m
from tests.support.record import SESSION, MemorySpool, transcript

READY = m.ready()


class Talk:
    """A session whose client waits for every answer."""

    def __init__(self, *, longest_text: int = 4_096, recorded: Recorded = Recorded.OFF) -> None:
        self.spool = MemorySpool()
        self.transcript = transcript(self.spool, longest_text=longest_text, recorded=recorded)

    def say(self, *messages: bytes) -> None:
        for message in messages:
            assert self.transcript.client_says(message) == len(message)

    def hear(self, *messages: bytes) -> None:
        for message in messages:
            self.transcript.server_says(message)

    def outcomes(self) -> list[tuple[str, Ending | None, int | None, str | None]]:
        """Text, ending, rows and SQLSTATE of all statements, as they are numbered."""
        ends = self.spool.ends
        found = []
        for each in sorted(self.spool.begun, key=lambda begin: begin.seq):
            end = ends.get(each.seq)
            state = end.sqlstate.decode() if end is not None and end.sqlstate else None
            ending, rows = (end.ending, end.rows) if end is not None else (None, None)
            found.append((each.text.decode(), ending, rows, state))
        return found


class TestQueries:
    def test_are_on_record_before_they_are_answered(self) -> None:
        talk = Talk()
        talk.say(m.query("SELECT 1"))
        (begin,) = talk.spool.records
        assert isinstance(begin, Begin)
        assert (begin.session_id, begin.seq, begin.protocol) == (SESSION, 1, Protocol.SIMPLE)
        assert (begin.text, begin.text_bytes) == (b"SELECT 1", 8)

    def test_end_when_the_target_is_ready(self) -> None:
        talk = Talk()
        talk.say(m.query("SELECT 1"))
        talk.hear(m.ROW + m.complete("SELECT 1"))
        assert talk.spool.ends == {}
        talk.hear(READY)
        end = talk.spool.ends[1]
        assert (end.ending, end.rows, end.tag) == (Ending.DONE, 1, b"SELECT 1")
        assert end.duration_us == 1_000
        assert end.bytes_from_client == len(m.query("SELECT 1"))
        assert end.bytes_to_client == len(m.ROW + m.complete("SELECT 1") + READY)

    def test_of_several_statements_have_the_rows_of_all_and_the_last_tag(self) -> None:
        talk = Talk()
        talk.say(m.query("one; two; three"))
        talk.hear(m.complete("SELECT 2"), m.complete("BEGIN"), m.complete("INSERT 0 5"), READY)
        end = talk.spool.ends[1]
        assert (end.rows, end.tag) == (7, b"INSERT 0 5")

    def test_of_several_statements_without_rows_have_none(self) -> None:
        talk = Talk()
        talk.say(m.query("one; two"))
        talk.hear(m.complete("BEGIN"), m.complete("COMMIT"), READY)
        assert talk.spool.ends[1].rows == 0

    def test_fail_in_the_second_statement(self) -> None:
        talk = Talk()
        talk.say(m.query("one; two"))
        talk.hear(m.complete("SELECT 2"), m.failed("22012"), READY)
        assert talk.outcomes() == [("one; two", Ending.FAILED, 2, "22012")]

    def test_that_are_empty_are_done(self) -> None:
        talk = Talk()
        talk.say(m.query(""))
        talk.hear(m.EMPTY, READY)
        assert talk.outcomes() == [("", Ending.DONE, None, None)]

    def test_are_not_ended_by_what_comes_in_between(self) -> None:
        talk = Talk()
        talk.hear(m.NOTIFICATION)
        talk.say(m.query("SELECT 1"))
        talk.hear(m.NOTICE, m.complete("SELECT 1"), m.NOTIFICATION)
        assert talk.spool.ends == {}
        talk.hear(READY + m.NOTICE)
        assert talk.spool.ends[1].ending is Ending.DONE

    def test_in_a_row_are_answered_in_a_row(self) -> None:
        talk = Talk()
        talk.say(m.query("one") + m.query("two"), m.query("three"))
        talk.hear(m.failed() + READY + m.complete("SELECT 2") + READY)
        assert [ending for _, ending, _, _ in talk.outcomes()] == [Ending.FAILED, Ending.DONE, None]
        assert not talk.transcript.is_answered

    def test_copy_out(self) -> None:
        talk = Talk()
        talk.say(m.query("COPY t TO STDOUT"))
        talk.hear(m.COPY_OUT, m.copy_data() * 3, m.COPY_DONE, m.complete("COPY 3"), READY)
        end = talk.spool.ends[1]
        assert (end.rows, end.tag) == (3, b"COPY 3")
        assert end.bytes_to_client > 3 * len(m.copy_data())

    def test_copy_in_with_what_came(self) -> None:
        talk = Talk()
        talk.say(m.query("COPY t FROM STDIN"))
        talk.hear(m.COPY_IN)
        talk.say(m.copy_data(b"12345") * 2, m.FLUSH, m.COPY_DONE)
        talk.hear(m.complete("COPY 2"), READY)
        end = talk.spool.ends[1]
        assert end.rows == 2
        size = len(m.query("COPY t FROM STDIN") + m.COPY_DONE)
        assert end.bytes_from_client in (size + 10, size + 10 - len(m.COPY_DONE))

    def test_copy_in_that_the_client_gives_up(self) -> None:
        talk = Talk()
        talk.say(m.query("COPY t FROM STDIN"))
        talk.hear(m.COPY_IN)
        talk.say(m.copy_data(), m.COPY_FAIL)
        talk.hear(m.failed("57014"), READY)
        assert talk.outcomes()[0][1:] == (Ending.FAILED, None, "57014")

    def test_what_was_left_of_a_failed_copy_does_not_count_for_the_next_statement(self) -> None:
        talk = Talk()
        talk.say(m.query("COPY t FROM STDIN"))
        talk.hear(m.COPY_IN)
        talk.say(m.copy_data(b"1"))
        talk.hear(m.failed(), READY)
        talk.say(m.copy_data(bytes(1_000)), m.COPY_DONE)
        talk.say(m.query("SELECT 1"))
        talk.hear(m.complete("SELECT 1"), READY)
        assert talk.spool.ends[2].bytes_from_client < 100

    def test_data_that_is_sent_at_once_belongs_to_the_query_before_it(self) -> None:
        talk = Talk()
        talk.say(m.query("COPY t FROM STDIN") + m.copy_data(bytes(500)) + m.COPY_DONE)
        talk.say(m.query("SELECT 1"))
        talk.hear(m.COPY_IN, m.complete("COPY 1"), READY, m.complete("SELECT 1"), READY)
        assert talk.spool.ends[1].bytes_from_client > 500
        assert talk.spool.ends[2].bytes_from_client < 500

    def test_two_copies_in_one_query(self) -> None:
        talk = Talk()
        talk.say(m.query("COPY a FROM STDIN; COPY b FROM STDIN"))
        talk.hear(m.COPY_IN)
        talk.say(m.copy_data(), m.COPY_DONE)
        talk.hear(m.complete("COPY 1"), m.COPY_IN)
        talk.say(m.copy_data(), m.COPY_DONE)
        talk.hear(m.complete("COPY 1"), READY)
        assert talk.outcomes()[0][1:] == (Ending.DONE, 2, None)

    def test_function_calls_are_named_by_their_oid(self) -> None:
        talk = Talk()
        talk.say(m.call(1_299))
        talk.hear(m.CALLED, READY)
        (begin,) = talk.spool.begun
        assert (begin.protocol, begin.text) == (
            Protocol.FUNCTION_CALL,
            b"function call of OID 1299",
        )
        assert talk.spool.ends[1].ending is Ending.DONE

    def test_an_error_without_sqlstate_is_an_internal_one(self) -> None:
        talk = Talk()
        talk.say(m.query("SELECT 1"))
        talk.hear(encode_frame(b"E", b"Mno\0Cshort\0\0"), READY)
        talk.say(m.query("SELECT 1"))
        talk.hear(encode_frame(b"E", b"\0"), READY)
        assert [state for *_, state in talk.outcomes()] == ["short", "XX000"]


def prepared(talk: Talk, name: str = "s", sql: str = "SELECT 1") -> None:
    talk.say(m.parse(name, sql) + m.SYNC)
    talk.hear(m.PARSED + READY)


class TestExtended:
    @pytest.mark.parametrize("apart", [False, True])
    def test_an_execute_is_on_record_with_the_text_of_its_parse(self, *, apart: bool) -> None:
        talk = Talk()
        messages = [m.parse("", "SELECT 1"), m.bind(""), m.describe(), m.execute(), m.SYNC]
        talk.say(*messages if apart else [b"".join(messages)])
        talk.hear(m.PARSED, m.BOUND, m.NO_DATA, m.ROW, m.complete("SELECT 1"))
        end = talk.spool.ends[1]
        assert (end.ending, end.rows) == (Ending.DONE, 1)
        assert talk.spool.begun[0].protocol is Protocol.EXTENDED
        talk.hear(READY)
        assert talk.transcript.is_answered

    def test_a_named_statement_can_be_run_again(self) -> None:
        talk = Talk()
        prepared(talk)
        for _ in range(2):
            talk.say(m.bind("s") + m.execute() + m.FLUSH)
            talk.hear(m.BOUND + m.complete("SELECT 1"))
        assert talk.spool.texts == ["SELECT 1", "SELECT 1"]

    def test_portals_are_suspended_and_go_on(self) -> None:
        talk = Talk()
        talk.say(m.parse("", "SELECT 1") + m.bind("", portal="p") + m.execute("p", 2))
        talk.say(m.execute("p", 2) + m.SYNC)
        talk.hear(m.PARSED + m.BOUND + m.ROW * 2 + m.SUSPENDED + m.ROW + m.complete("SELECT 1"))
        talk.hear(READY)
        assert talk.outcomes() == [
            ("SELECT 1", Ending.SUSPENDED, 2, None),
            ("SELECT 1", Ending.DONE, 1, None),
        ]

    def test_an_empty_text_can_be_run(self) -> None:
        talk = Talk()
        talk.say(m.parse("", "") + m.bind("") + m.execute() + m.SYNC)
        talk.hear(m.PARSED + m.BOUND + m.EMPTY + READY)
        assert talk.outcomes() == [("", Ending.DONE, 0, None)]

    def test_names_can_be_closed_and_given_again(self) -> None:
        talk = Talk()
        prepared(talk)
        talk.say(m.close("s") + m.parse("s", "SELECT 2") + m.bind("s") + m.execute() + m.SYNC)
        talk.say(m.close_portal("p"))
        talk.hear(m.CLOSED + m.PARSED + m.BOUND + m.complete("SELECT 1") + READY + m.CLOSED)
        assert talk.spool.texts == ["SELECT 2"]

    def test_an_error_in_a_parse_that_is_to_be_run_is_the_statements(self) -> None:
        talk = Talk()
        talk.say(m.parse("", "SELEC") + m.bind("") + m.execute() + m.SYNC)
        talk.hear(m.failed("42601") + READY)
        assert talk.outcomes() == [("SELEC", Ending.FAILED, None, "42601")]

    def test_an_error_in_a_parse_alone_is_on_record_too(self) -> None:
        talk = Talk()
        talk.say(m.parse("s", "SELEC") + m.describe("s") + m.SYNC)
        talk.hear(m.failed("42601") + READY)
        assert talk.outcomes() == [("SELEC", Ending.FAILED, None, "42601")]
        assert talk.spool.begun[0].protocol is Protocol.PARSE

    def test_an_error_in_a_parse_is_not_that_of_another_statement(self) -> None:
        talk = Talk()
        prepared(talk)
        talk.say(m.parse("t", "SELEC") + m.bind("s") + m.execute() + m.SYNC)
        talk.hear(m.failed("42601") + READY)
        assert talk.outcomes() == [
            ("SELECT 1", Ending.SKIPPED, None, None),
            ("SELEC", Ending.FAILED, None, "42601"),
        ]

    def test_an_error_in_a_bind_is_the_statements(self) -> None:
        talk = Talk()
        prepared(talk)
        talk.say(m.bind("s") + m.execute() + m.SYNC)
        talk.hear(m.failed("22P02") + READY)
        assert talk.outcomes() == [("SELECT 1", Ending.FAILED, None, "22P02")]

    def test_an_error_in_a_bind_alone_is_on_record_too(self) -> None:
        talk = Talk()
        prepared(talk)
        talk.say(m.bind("s") + m.SYNC)
        talk.hear(m.failed("22P02") + READY)
        assert talk.outcomes() == [("SELECT 1", Ending.FAILED, None, "22P02")]

    def test_an_error_in_a_describe_changes_nothing(self) -> None:
        talk = Talk()
        prepared(talk)
        talk.say(m.describe("nothing") + m.SYNC + m.bind("s") + m.execute() + m.SYNC)
        talk.hear(m.failed("26000") + READY + m.BOUND + m.complete("SELECT 1") + READY)
        assert talk.outcomes() == [("SELECT 1", Ending.DONE, 1, None)]

    def test_an_error_in_a_close_is_nothing_to_record(self) -> None:
        talk = Talk()
        talk.say(m.close("s") + m.SYNC)
        talk.hear(m.failed("08P01") + READY)
        assert talk.outcomes() == []

    def test_an_error_in_an_execute_skips_what_follows(self) -> None:
        talk = Talk()
        prepared(talk)
        run = m.bind("s") + m.execute()
        talk.say(run + run + m.SYNC + run + m.SYNC)
        talk.hear(m.BOUND + m.failed("22012") + READY + m.BOUND + m.complete("SELECT 1") + READY)
        assert [each[1:] for each in talk.outcomes()] == [
            (Ending.FAILED, None, "22012"),
            (Ending.SKIPPED, None, None),
            (Ending.DONE, 1, None),
        ]

    def test_what_comes_after_an_error_was_heard_is_skipped_up_to_the_sync(self) -> None:
        talk = Talk()
        talk.say(m.parse("s", "SELEC") + m.FLUSH)
        talk.hear(m.failed())
        talk.say(m.parse("t", "SELECT 2") + m.bind("t") + m.execute() + m.query("SELECT 3"))
        assert talk.transcript.is_answered
        assert talk.transcript.is_skipping
        assert [ending for _, ending, _, _ in talk.outcomes()] == [
            Ending.FAILED,
            Ending.SKIPPED,
            Ending.SKIPPED,
        ]
        talk.say(m.SYNC)
        talk.hear(READY)
        talk.say(m.query("SELECT 4"))
        talk.hear(m.complete("SELECT 1"), READY)
        assert talk.outcomes()[-1][:2] == ("SELECT 4", Ending.DONE)

    def test_a_copy_whose_sync_came_too_early(self) -> None:
        """So libpq does: it sends one before it knows, and another one at the end."""
        talk = Talk()
        talk.say(m.parse("", "COPY t FROM STDIN") + m.bind("") + m.execute() + m.SYNC)
        talk.hear(m.PARSED + m.BOUND + m.COPY_IN)
        talk.say(m.copy_data() * 3, m.COPY_DONE + m.SYNC)
        talk.hear(m.complete("COPY 3") + READY)
        assert talk.outcomes() == [("COPY t FROM STDIN", Ending.DONE, 3, None)]
        assert talk.transcript.is_answered

    @pytest.mark.parametrize("more", [READY, b""])
    def test_a_copy_that_fails_and_may_or_may_not_have_read_the_sync(self, more: bytes) -> None:
        talk = Talk()
        talk.say(m.parse("", "COPY t FROM STDIN") + m.bind("") + m.execute() + m.SYNC)
        talk.hear(m.PARSED + m.BOUND + m.COPY_IN)
        talk.say(m.copy_data())
        talk.hear(m.failed("22P02"))
        talk.say(m.COPY_DONE + m.SYNC)
        talk.hear(READY + more)
        talk.say(m.query("SELECT 1"))
        talk.hear(m.failed("42501") + READY)
        talk.say(m.query("SELECT 2"))
        talk.hear(m.complete("SELECT 1") + READY)
        assert [each[1] for each in talk.outcomes()] == [
            Ending.FAILED,
            Ending.FAILED,
            Ending.DONE,
        ]

    def test_a_portal_that_sql_made_is_unknown(self) -> None:
        talk = Talk()
        talk.say(m.execute("c") + m.SYNC)
        talk.hear(m.complete("FETCH 1") + READY)
        assert talk.spool.texts == ['(portal "c", of which nothing is known here)']

    def test_a_portal_does_not_outlive_its_transaction(self) -> None:
        """DECLARE may give its name to something else."""
        talk = Talk()
        prepared(talk)
        talk.say(m.bind("s", portal="p") + m.SYNC)
        talk.hear(m.BOUND + READY)
        talk.say(m.execute("p") + m.SYNC)
        assert talk.spool.texts == ['(portal "p", of which nothing is known here)']

    @pytest.mark.parametrize("sql", ["DEALLOCATE s", "x" * 6_000])
    def test_sql_may_give_a_statement_another_meaning(self, sql: str) -> None:
        """Of a text that is too long to be kept, nobody knows."""
        talk = Talk()
        prepared(talk)
        talk.say(m.query(sql))
        talk.hear(m.complete("DEALLOCATE") + READY)
        talk.say(m.bind("s") + m.execute())
        assert talk.spool.texts[1] == '/* "s", unless SQL has replaced it since */ SELECT 1'

    def test_sql_that_was_prepared_gives_names_when_it_is_run(self) -> None:
        talk = Talk()
        prepared(talk, "d", "DEALLOCATE s")
        prepared(talk)
        talk.say(m.bind("s") + m.execute() + m.bind("d") + m.execute() + m.bind("s") + m.execute())
        assert [text.startswith("/*") for text in talk.spool.texts] == [False, False, True]

    def test_sql_that_is_skipped_gives_no_names(self) -> None:
        talk = Talk()
        prepared(talk)
        talk.say(m.bind("nothing") + m.FLUSH)
        talk.hear(m.failed())
        talk.say(m.query("DEALLOCATE s") + m.SYNC + m.bind("s") + m.execute())
        assert talk.spool.texts[-1] == "SELECT 1"

    def test_a_name_whose_parse_may_be_skipped_has_to_wait(self) -> None:
        talk = Talk()
        ahead = m.parse("s", "SELECT 1") + m.SYNC
        rest = m.bind("s") + m.execute() + m.SYNC
        assert talk.transcript.client_says(ahead + rest) == len(ahead)
        assert talk.transcript.awaits_answers
        assert talk.transcript.has_caught_up
        assert talk.transcript.client_says(rest) == 0
        talk.hear(m.PARSED)
        assert talk.transcript.client_says(rest) == len(rest)
        assert talk.spool.texts == ["SELECT 1"]

    def test_a_portal_whose_bind_may_be_skipped_has_to_wait(self) -> None:
        talk = Talk()
        prepared(talk)
        ahead = m.bind("s", portal="p") + m.SYNC
        assert talk.transcript.client_says(ahead + m.execute("p")) == len(ahead)
        assert talk.transcript.portal_is_unsure(b"p")
        talk.hear(m.BOUND)
        assert not talk.transcript.statement_is_unsure(b"s")
        talk.say(m.execute("p"))
        assert talk.spool.texts == ["SELECT 1"]


class TestTexts:
    def test_that_are_too_long_are_cut_with_their_size_and_hash(self) -> None:
        talk, text = Talk(longest_text=1_024), b"SELECT '" + b"x" * 10_000 + b"'"
        talk.say(m.query(text))
        (begin,) = talk.spool.begun
        assert begin.text == text[:1_024] + "…".encode()
        assert (begin.text_bytes, begin.text_sha256) == (len(text), sha256(text).digest())

    def test_that_are_repeated_are_in_full_once_a_day(self) -> None:
        talk = Talk()
        now = [1_790_000_000_000_000]
        talk.transcript = Transcript(
            SESSION, talk.spool, lambda: now[0], longest_text=4_096, recorded=Recorded.OFF
        )
        sql = "SELECT " + "x" * 2_000
        prepared(talk, "s", sql)
        for passed in (0, 1, 86_400_000_000):
            now[0] += passed
            talk.say(m.bind("s") + m.execute())
        again = sql[:200] + "… (in full: statement 1)"
        assert talk.spool.texts == [sql, again, sql]
        assert [each.text_bytes for each in talk.spool.begun] == [len(sql)] * 3

    def test_are_masked(self) -> None:
        talk = Talk()
        talk.say(m.query("ALTER ROLE a PASSWORD 'secret'"))
        (begin,) = talk.spool.begun
        assert begin.masked
        assert b"secret" not in begin.text
        assert begin.text_bytes == len("ALTER ROLE a PASSWORD 'secret'")

    def test_that_are_masked_and_too_long_have_no_hash(self) -> None:
        talk = Talk(longest_text=1_024)
        talk.say(m.query("ALTER ROLE a PASSWORD 'secret' -- " + "x" * 5_000))
        (begin,) = talk.spool.begun
        assert (begin.masked, begin.text_sha256) == (True, None)

    def test_end_with_a_zero(self) -> None:
        talk = Talk()
        talk.say(encode_frame(b"Q", b"SELECT 1\0 and more\0"))
        assert talk.spool.texts == ["SELECT 1"]


class TestParameters:
    @pytest.mark.parametrize(
        ("recorded", "types", "values"),
        [
            (Recorded.OFF, None, None),
            (Recorded.TYPES, (23,), None),
            (Recorded.VALUES, (23,), (b"1", None, b"x")),
        ],
    )
    def test_are_recorded_as_wanted(
        self,
        recorded: Recorded,
        types: tuple[int, ...] | None,
        values: tuple[bytes | None, ...] | None,
    ) -> None:
        talk = Talk(recorded=recorded)
        talk.say(m.parse("", "SELECT $1, $2, $3", 23) + m.bind("", b"1", None, b"x") + m.execute())
        (begin,) = talk.spool.begun
        assert (begin.parameter_types, begin.parameters) == (types, values)


class TestRoom:
    def test_nothing_is_passed_on_without(self) -> None:
        talk = Talk()
        talk.spool.full = True
        assert talk.transcript.client_says(m.query("SELECT 1")) == 0
        assert not talk.transcript.awaits_answers
        stream = m.parse("", "SELECT 2") + m.bind("") + m.execute()
        assert talk.transcript.client_says(stream) == len(stream) - len(m.execute())
        assert not talk.transcript.has_caught_up
        assert talk.transcript.client_says(m.execute()) == 0
        talk.spool.full = False
        assert talk.transcript.client_says(m.execute() + m.SYNC) == len(m.execute() + m.SYNC)
        assert talk.spool.texts == ["SELECT 2"]

    def test_may_come_when_the_statement_is_skipped_already(self) -> None:
        talk = Talk()
        prepared(talk)
        talk.say(m.bind("nothing"))
        talk.spool.full = True
        assert talk.transcript.client_says(m.bind("s") + m.execute()) == len(m.bind("s"))
        talk.hear(m.failed())
        talk.spool.full = False
        talk.say(m.execute())
        assert ("SELECT 1", Ending.SKIPPED, None, None) in talk.outcomes()

    def test_that_never_comes_leaves_no_statement(self) -> None:
        talk = Talk()
        talk.spool.full = True
        talk.transcript.client_says(m.query("SELECT password"))
        talk.transcript.close()
        talk.spool.full = False
        talk.spool.append_late(b"")
        assert talk.spool.records == [Closed(SESSION)]

    def test_is_needed_by_few_who_do_not_wait_for_answers(self) -> None:
        talk = Talk()
        talk.say(m.SYNC * 20_001)
        assert talk.transcript.is_behind
        assert not talk.transcript.has_caught_up
        talk.hear(READY * 10_002)
        assert talk.transcript.has_caught_up


class TestEnd:
    def test_leaves_what_was_running_unknown(self) -> None:
        talk = Talk()
        talk.say(m.parse("", "one") + m.bind("") + m.execute() + m.SYNC + m.query("two"))
        talk.transcript.close()
        assert [ending for _, ending, _, _ in talk.outcomes()] == [Ending.UNKNOWN] * 2
        assert talk.spool.records[-1] == Closed(SESSION)

    def test_after_an_error_was_heard_is_a_failure(self) -> None:
        talk = Talk()
        talk.say(m.query("SELECT 1"))
        talk.hear(m.failed("57P01"))
        talk.transcript.close()
        assert talk.outcomes() == [("SELECT 1", Ending.FAILED, None, "57P01")]

    def test_a_cancel_is_a_statement_of_its_own(self) -> None:
        talk = Talk()
        talk.say(m.query("SELECT pg_sleep(9)"))
        talk.transcript.cancelled()
        talk.hear(m.failed("57014"), READY)
        assert [each.protocol for each in talk.spool.begun] == [Protocol.SIMPLE, Protocol.CANCEL]
        assert [each[1] for each in talk.outcomes()] == [Ending.FAILED, Ending.DONE]


REFUSED = Refused(b"42501", m.failed("42501"))


class TestRefusals:
    def test_of_a_query(self) -> None:
        talk = Talk()
        talk.say(m.query("DROP TABLE t"))
        talk.transcript.refuse_newest(REFUSED)
        talk.hear(m.failed("42601"))
        assert talk.transcript.take_replacement() == REFUSED.answer
        assert talk.transcript.take_replacement() is None
        assert talk.transcript.refusals == 1
        talk.hear(READY)
        assert talk.transcript.refusals == 0
        assert talk.outcomes() == [("DROP TABLE t", Ending.REFUSED, None, "42501")]

    def test_of_a_parse(self) -> None:
        talk = Talk()
        talk.say(m.parse("", "DROP TABLE t"))
        talk.transcript.refuse_newest(REFUSED)
        talk.say(m.bind("") + m.execute() + m.SYNC)
        talk.hear(m.failed("42601") + READY)
        assert talk.transcript.refusals == 0
        assert talk.outcomes() == [("DROP TABLE t", Ending.REFUSED, None, "42501")]

    def test_of_what_is_skipped_anyway_says_nothing(self) -> None:
        talk = Talk()
        talk.say(m.bind("nothing"))
        talk.hear(m.failed())
        talk.say(m.parse("", "DROP TABLE t"))
        talk.transcript.refuse_newest(REFUSED)
        talk.transcript.newest_is(())
        assert talk.transcript.refusals == 0


class TestChanges:
    def test_are_counted_where_that_is_wanted(self) -> None:
        talk = Talk()
        talk.transcript.counts_changes = True
        talk.say(m.query("BEGIN; UPDATE; SELECT"))
        talk.hear(m.complete("BEGIN"), m.complete("UPDATE 5"), m.complete("SELECT 7"))
        talk.hear(m.ready(b"T"))
        assert (talk.transcript.changed, talk.transcript.status) == (5, ord("T"))

    @pytest.mark.parametrize(("tag", "status"), [("ROLLBACK", b"I"), ("COMMIT", b"T")])
    def test_end_with_the_transaction(self, tag: str, status: bytes) -> None:
        """COMMIT AND CHAIN begins another one."""
        talk = Talk()
        talk.transcript.counts_changes = True
        talk.say(m.query("UPDATE") + m.query("end"))
        talk.hear(m.complete("UPDATE 5"), m.ready(b"T"), m.complete(tag), m.ready(status))
        assert talk.transcript.changed == 0

    @pytest.mark.parametrize(
        ("tag", "rows"),
        [
            ("INSERT 0 5", 5),
            ("COPY 7", 7),
            ("MERGE 3", 3),
            ("SELECT 9", 0),
            ("FETCH 1", 0),
            ("MOVE 2", 0),
            ("CREATE TABLE", 0),
        ],
    )
    def test_are_what_the_tag_says(self, tag: str, rows: int) -> None:
        assert changed_by(tag.encode()) == rows


STREAMS = (
    m.query("SELECT 1") + m.query("COPY t FROM STDIN") + m.copy_data() + m.COPY_DONE,
    m.parse("", "SELECT 1", 23) + m.bind("", b"1") + m.describe() + m.execute() + m.SYNC,
    m.call(1) + m.close("s") + m.COPY_FAIL + m.FLUSH,
    m.PARSED + m.BOUND + m.NO_DATA + m.ROW + m.complete("SELECT 1") + READY,
    m.COPY_IN + m.failed() + READY + m.EMPTY + m.SUSPENDED + m.CLOSED + m.CALLED,
)
anything = (
    st.sampled_from(STREAMS)
    | st.binary(max_size=60)
    | st.builds(
        encode_frame,
        st.sampled_from([bytes([each]) for each in b"QPBECFScfdCIsEZ123GV"]),
        st.binary(max_size=30),
    )
)


@given(said=st.lists(st.tuples(st.booleans(), anything), max_size=12))
def test_no_garbage_is_more_than_a_breach_of_the_protocol(said: list[tuple[bool, bytes]]) -> None:
    """Also of a target that is one."""
    spool = MemorySpool()
    record = transcript(spool, recorded=Recorded.VALUES)
    for from_client, data in said:
        if from_client:
            try:
                record.client_says(data)
            except WireError:
                break
        else:
            record.server_says(data)
    record.close()
    assert len(spool.ends) == len(spool.begun)


def test_a_length_that_no_server_takes_is_malformed() -> None:
    with pytest.raises(MalformedFrame):
        Talk().transcript.client_says(b"Q\0\0\0\3")


def test_a_target_that_forgets_an_answer_is_believed_when_it_is_ready() -> None:
    talk = Talk()
    talk.say(m.parse("", "SELECT 1") + m.bind("") + m.execute())
    talk.hear(encode_frame(b"Z", b""), m.ROW)
    assert talk.outcomes() == [("SELECT 1", Ending.DONE, None, None)]
    assert talk.transcript.is_answered
    assert talk.transcript.rows_sent == 1


def test_a_target_that_is_never_ready_has_answered_what_it_answers() -> None:
    talk = Talk()
    talk.say(m.SYNC + m.parse("s", "SELECT 1"))
    talk.hear(m.PARSED)
    assert talk.transcript.is_answered


@pytest.mark.parametrize(
    "answer", [m.complete("SELECT 1"), m.failed("57P01"), m.CLOSED, m.COPY_IN, m.EMPTY]
)
def test_what_a_target_says_unasked_ends_nothing(answer: bytes) -> None:
    talk = Talk()
    talk.hear(answer)
    talk.say(m.SYNC)
    talk.hear(answer)
    assert talk.outcomes() == []


def test_a_session_may_end_with_names_that_nobody_answered_for() -> None:
    talk = Talk()
    talk.say(m.parse("s", "SELECT 1") + m.SYNC)
    talk.transcript.close()
    assert talk.spool.records == [Closed(SESSION)]
