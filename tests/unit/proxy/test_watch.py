"""What is refused, what waits, and what is held: by grants whose policy wants that."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.statement.conditions import CommitGate, Conditions, StatementKind
from broker.domain.statement.statement import Ending
from broker.sql.kinds import statements_of
from proxy.watch import Refuse, Verdict, Watch
from tests.support import messages as m
from tests.support.record import MemorySpool, transcript

NO_DDL = Conditions(refused=frozenset({StatementKind.DDL, StatementKind.LOCK}))
GATED = Conditions(commit_gate=CommitGate(rows=10, within=timedelta(minutes=5)))


class Session:
    """What a client says is passed on if it may be, in the order of the real thing."""

    def __init__(self, conditions: Conditions) -> None:
        self.spool = MemorySpool()
        self.transcript = transcript(self.spool)
        self.watch = Watch(conditions, self.transcript, statements_of)

    def judge(self, message: bytes) -> Verdict | Refuse:
        return self.watch.judge(message[0], message[5:])

    def say(self, *messages: bytes) -> None:
        """Say what may be passed on."""
        for message in messages:
            judged = message[:1] in (b"Q", b"P", b"B", b"E")
            if judged:
                assert self.judge(message) is Verdict.PASS, message
            assert self.transcript.client_says(message) == len(message)
            if judged:
                self.watch.passed(message[0], message[5:])

    def hear(self, *messages: bytes) -> None:
        for message in messages:
            self.transcript.server_says(message)

    def begin(self, changes: int = 0) -> None:
        """Begin a transaction that changes so many rows."""
        self.say(m.query("BEGIN"))
        self.hear(m.complete("BEGIN"), m.ready(b"T"))
        if changes:
            self.say(m.query("UPDATE t SET a = 1"))
            self.hear(m.complete(f"UPDATE {changes}"), m.ready(b"T"))

    def prepare(self, name: str, sql: str) -> None:
        self.say(m.parse(name, sql), m.SYNC)
        self.hear(m.PARSED, m.ready(bytes([self.transcript.status])))


def why(verdict: Verdict | Refuse) -> str:
    assert isinstance(verdict, Refuse), verdict
    return verdict.refused.answer.decode()


class TestRefusedKinds:
    @pytest.mark.parametrize("message", [m.query("DROP TABLE t"), m.parse("s", "DROP TABLE t")])
    def test_are_refused_by_query_and_parse(self, message: bytes) -> None:
        said = why(Session(NO_DDL).judge(message))
        assert "C42501" in said
        assert "DROP TABLE is refused" in said or "refused" in said

    def test_are_refused_wherever_they_stand(self) -> None:
        assert why(Session(NO_DDL).judge(m.query("SELECT 1; LOCK TABLE t; SELECT 2")))

    @pytest.mark.parametrize("message", [m.query("SELECT 1"), m.parse("s", "SELECT 1"), m.SYNC])
    def test_are_not_others(self, message: bytes) -> None:
        assert Session(NO_DDL).judge(message) is Verdict.PASS

    def test_need_no_transaction(self) -> None:
        session = Session(NO_DDL)
        session.prepare("u", "UPDATE t SET a = 1")
        session.say(m.query("UPDATE t SET a = 1"), m.bind("u"), m.execute(), m.query("COMMIT"))

    def test_have_something_in_their_place_that_fails(self) -> None:
        """With the same names, so that it fails as what is in its place would."""
        session = Session(NO_DDL)
        query, parse = (
            session.judge(m.query("DROP TABLE t")),
            session.judge(m.parse("s", "DROP TABLE t")),
        )
        assert isinstance(query, Refuse)
        assert isinstance(parse, Refuse)
        assert query.instead == m.query("REFUSED BY pgcurfew")
        assert parse.instead == m.parse("s", "REFUSED BY pgcurfew")


class TestUnreadable:
    @pytest.mark.parametrize("make", [m.query, lambda sql: m.parse("s", sql)])
    @pytest.mark.parametrize(
        "sql", [b"SELEC 1", b"SELECT '", b"SELECT '\xff'", b"SELECT '\xc3\xa9\\'"]
    )
    def test_is_refused(self, make: "type[bytes]", sql: bytes) -> None:
        """Not as SQL, not in UTF-8, or in two ways, by the encoding."""
        assert "C42601" in why(Session(NO_DDL).judge(make(sql)))

    def test_texts_that_are_empty_pass(self) -> None:
        assert Session(NO_DDL).judge(m.query("")) is Verdict.PASS

    @pytest.mark.parametrize(
        ("message", "instead"),
        [
            (m.query("x" * 100), b"Q"),
            (m.parse("s", "x" * 100), b"P"),
            (m.bind("s", portal="p" * 2_000), b"B"),
        ],
    )
    def test_is_what_is_too_long(self, message: bytes, instead: bytes) -> None:
        refuse = Session(NO_DDL).watch.too_long(message[0], message[5:60])
        assert "C54000" in why(refuse)
        assert refuse.instead[:1] == instead

    def test_is_a_bind_whose_names_do_not_end(self) -> None:
        body = m.bind("s", portal="p" * 3_000)[5:2_048]
        assert "C54000" in why(Session(GATED).watch.judge(ord("B"), body))

    @given(kind=st.sampled_from(b"QPBESX"), body=st.binary(max_size=60))
    def test_is_anything_else(self, kind: int, body: bytes) -> None:
        Session(GATED).watch.judge(kind, body)


class TestCommits:
    @pytest.mark.parametrize("sql", ["COMMIT", "END", "COMMIT AND CHAIN", "commit work"])
    @pytest.mark.parametrize(("changes", "verdict"), [(10, Verdict.PASS), (11, Verdict.HOLD)])
    def test_are_held_above_the_limit(self, sql: str, changes: int, verdict: Verdict) -> None:
        session = Session(GATED)
        session.begin(changes)
        assert session.judge(m.query(sql)) is verdict

    @pytest.mark.parametrize(
        ("sql", "tag"),
        [
            ("WITH gone AS (DELETE FROM t RETURNING 1) SELECT count(*) FROM gone", "SELECT 1"),
            ("WITH gone AS (DELETE FROM t) INSERT INTO u VALUES (1)", "INSERT 0 1"),
            ("TRUNCATE t", "TRUNCATE TABLE"),
            ("DO $$BEGIN DELETE FROM t; END$$", "DO"),
        ],
    )
    def test_are_held_after_changes_that_no_tag_counts(self, sql: str, tag: str) -> None:
        session = Session(GATED)
        session.begin()
        session.say(m.query(sql))
        session.hear(m.complete(tag), m.ready(b"T"))
        assert session.judge(m.query("COMMIT")) is Verdict.HOLD
        session.say(m.query("ROLLBACK"))
        session.hear(m.complete("ROLLBACK"), m.ready(b"I"))
        session.begin(changes=1)
        assert session.judge(m.query("COMMIT")) is Verdict.PASS

    def test_pass_when_they_are_confirmed_but_not_the_next(self) -> None:
        session = Session(GATED)
        assert session.watch.gate.rows == 10
        session.begin(11)
        assert session.judge(m.query("COMMIT")) is Verdict.HOLD
        session.watch.confirm()
        session.say(m.query("COMMIT"))
        session.hear(m.complete("COMMIT"), m.ready())
        session.begin(11)
        assert session.judge(m.query("COMMIT")) is Verdict.HOLD

    def test_that_chain_begin_to_count_anew(self) -> None:
        session = Session(GATED)
        session.begin(6)
        session.say(m.query("COMMIT AND CHAIN"))
        session.hear(m.complete("COMMIT"), m.ready(b"T"))
        session.say(m.query("UPDATE t SET a = 1"))
        session.hear(m.complete("UPDATE 6"), m.ready(b"T"))
        assert session.judge(m.query("COMMIT")) is Verdict.PASS

    def test_among_other_statements_are_refused(self) -> None:
        session = Session(GATED)
        session.begin()
        assert "by itself" in why(session.judge(m.query("UPDATE t SET a = 1; COMMIT")))

    @pytest.mark.parametrize("sql", ["PREPARE TRANSACTION 'x'", "COMMIT PREPARED 'x'"])
    def test_in_two_phases_are_refused(self, sql: str) -> None:
        assert "is refused, since" in why(Session(GATED).judge(m.query(sql)))

    def test_that_were_prepared_are_held_when_they_are_executed(self) -> None:
        session = Session(GATED)
        session.prepare("c", "COMMIT")
        session.begin(11)
        session.say(m.bind("c"))
        session.hear(m.BOUND)
        assert session.judge(m.execute()) is Verdict.HOLD

    def test_that_nobody_knows_are_held_too(self) -> None:
        """A cursor of DECLARE is told apart from a COMMIT under a forgotten name by nobody."""
        session = Session(GATED)
        session.begin(11)
        assert session.judge(m.execute("nobody's")) is Verdict.HOLD

    def test_wait_until_all_changes_are_known(self) -> None:
        session = Session(GATED)
        session.begin()
        session.say(m.query("UPDATE t SET a = 1"))
        assert session.judge(m.query("COMMIT")) is Verdict.WAIT
        session.hear(m.complete("UPDATE 11"), m.ready(b"T"))
        assert session.judge(m.query("COMMIT")) is Verdict.HOLD

    def test_of_failed_transactions_pass(self) -> None:
        session = Session(GATED)
        session.begin(11)
        session.say(m.query("SELECT 1/0"))
        session.hear(m.failed("22012"), m.ready(b"E"))
        assert session.judge(m.query("COMMIT")) is Verdict.PASS

    def test_do_not_pass_for_a_failure_of_the_transaction_before(self) -> None:
        """In a pipeline without a Sync the target has not told yet."""
        session = Session(GATED)
        for name, sql in (("r", "ROLLBACK"), ("b", "BEGIN"), ("u", "UPDATE t SET a = 1")):
            session.prepare(name, sql)
        session.begin()
        session.say(m.query("SELECT 1/0"))
        session.hear(m.failed("22012"), m.ready(b"E"))
        for name, tag in (("r", "ROLLBACK"), ("b", "BEGIN"), ("u", "UPDATE 11")):
            session.say(m.bind(name), m.execute())
            session.hear(m.BOUND, m.complete(tag))
        assert session.judge(m.query("COMMIT")) is Verdict.HOLD

    def test_that_are_skipped_pass(self) -> None:
        session = Session(GATED)
        session.begin(11)
        session.say(m.bind("nothing"))
        session.hear(m.failed("26000"))
        assert session.judge(m.query("COMMIT")) is Verdict.PASS

    def test_do_not_end_a_block_that_only_a_comment_names(self) -> None:
        """What a portal is about to run is known although its own text puts its name in doubt."""
        session = Session(GATED)
        session.prepare("c", "COMMIT /* close */")
        session.prepare("u", "UPDATE t SET a = 1")
        session.begin()
        session.say(m.bind("c", portal="p"), m.execute("p"))
        assert "begin a transaction" in why(session.judge(m.bind("u")))


class TestChanges:
    def test_outside_of_a_transaction_are_refused(self) -> None:
        session = Session(GATED)
        session.prepare("u", "UPDATE t SET a = 1")
        assert "C25P01" in why(session.judge(m.query("UPDATE t SET a = 1")))
        refuse = session.judge(m.bind("u", portal="p"))
        assert "C25P01" in why(refuse)
        assert isinstance(refuse, Refuse)
        assert refuse.instead == m.bind("refused by pgcurfew", portal="p")

    def test_by_a_statement_that_nobody_knows_are_refused(self) -> None:
        assert "C25P01" in why(Session(GATED).judge(m.bind("nobody's")))

    def test_within_one_pass(self) -> None:
        session = Session(GATED)
        session.prepare("u", "UPDATE t SET a = 1")
        session.begin()
        session.say(m.query("UPDATE t SET a = 1"), m.bind("u"), m.execute())

    def test_that_come_with_their_begin_pass(self) -> None:
        session = Session(GATED)
        session.say(m.query("BEGIN; UPDATE t SET a = 1"))
        session.hear(m.complete("BEGIN"), m.complete("UPDATE 11"), m.ready(b"T"))
        assert session.judge(m.query("COMMIT")) is Verdict.HOLD

    @pytest.mark.parametrize("begun", [False, True])
    @pytest.mark.parametrize("sql", ["BEGIN; ROLLBACK; UPDATE t SET a = 1"])
    def test_after_the_rollback_of_the_same_query_are_refused(
        self, sql: str, *, begun: bool
    ) -> None:
        """They would be committed at the end of it."""
        session = Session(GATED)
        if begun:
            session.begin()
        assert "C25P01" in why(session.judge(m.query(sql)))
        assert session.judge(m.query(f"BEGIN; ROLLBACK AND CHAIN; {sql[17:]}")) is Verdict.PASS

    def test_in_the_batch_of_their_begin_pass(self) -> None:
        """If that fails, they are skipped."""
        session = Session(GATED)
        session.say(m.parse("", "BEGIN"), m.bind(""), m.execute())
        session.say(m.parse("", "UPDATE t SET a = 1"), m.bind(""), m.execute(), m.SYNC)

    def test_in_another_batch_wait_for_its_answer(self) -> None:
        session = Session(GATED)
        session.prepare("u", "UPDATE t SET a = 1")
        session.say(m.parse("", "BEGIN"), m.bind(""), m.execute(), m.SYNC)
        assert session.judge(m.bind("u")) is Verdict.WAIT
        assert session.judge(m.query("UPDATE t SET a = 1")) is Verdict.WAIT
        assert session.judge(m.query("SELECT 1")) is Verdict.PASS
        session.hear(m.failed("57014"), m.ready(b"I"))
        assert "C25P01" in why(session.judge(m.bind("u")))

    def test_after_a_query_that_begins_wait_for_its_answer(self) -> None:
        session = Session(GATED)
        session.say(m.query("BEGIN"))
        assert session.judge(m.query("UPDATE t SET a = 1")) is Verdict.WAIT
        session.hear(m.complete("BEGIN"), m.ready(b"T"))
        assert session.judge(m.query("UPDATE t SET a = 1")) is Verdict.PASS

    def test_after_a_rollback_are_refused(self) -> None:
        session = Session(GATED)
        session.begin(5)
        session.say(m.query("ROLLBACK"))
        session.hear(m.complete("ROLLBACK"), m.ready())
        assert session.transcript.changed == 0
        assert "C25P01" in why(session.judge(m.query("DELETE FROM t")))

    def test_by_a_name_whose_meaning_is_still_to_come_wait(self) -> None:
        session = Session(GATED)
        session.begin()
        session.say(m.parse("s", "SELECT 1"), m.SYNC)
        assert session.judge(m.bind("s")) is Verdict.WAIT
        session.hear(m.PARSED, m.ready(b"T"))
        session.say(m.bind("s", portal="p"), m.SYNC)
        assert session.judge(m.execute("p")) is Verdict.WAIT
        session.hear(m.BOUND, m.ready(b"T"))
        assert session.judge(m.execute("p")) is Verdict.PASS


def test_what_is_refused_is_on_record_as_that() -> None:
    session = Session(NO_DDL)
    refuse = session.judge(m.query("DROP TABLE t"))
    assert isinstance(refuse, Refuse)
    session.transcript.client_says(m.query("DROP TABLE t"))
    session.transcript.refuse_newest(refuse.refused)
    session.hear(m.failed("42601"), m.ready())
    assert session.spool.ends[1].ending is Ending.REFUSED
