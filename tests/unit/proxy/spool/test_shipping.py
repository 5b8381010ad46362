"""Every statement that was begun becomes a row once, and every outcome is said once, whenever
whoever ships them dies."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.statement.shipment import Place, Progress, Unfinished
from broker.domain.statement.statement import Ending, LateOutcome, Row, Statement
from proxy.spool.records import Begin, End, Record
from proxy.spool.shipping import RUNS_LONG_US, Found, Pairing
from tests.support.spool import START_US, begin, closed, end, session_id

NOW_US = START_US + 10_000


def take(pairing: Pairing, *records: Record, first: int = 0) -> list[Row]:
    for number, record in enumerate(records, first):
        pairing.take(Found(record, Place(1, number)), NOW_US)
    return pairing.take_rows()


def only_statement(rows: list[Row]) -> Statement:
    (row,) = rows
    assert isinstance(row, Statement)
    return row


def test_a_statement_and_its_end_are_one_row() -> None:
    pairing = Pairing()
    row = only_statement(take(pairing, begin(3), end(3, duration_us=42)))
    assert (row.session_id, row.seq, row.text, row.text_bytes) == (session_id(1), 3, "SELECT 1", 8)
    assert row.started_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert row.outcome is not None
    assert (row.outcome.ending, row.outcome.duration_us) == (Ending.DONE, 42)
    assert (row.outcome.tag, row.outcome.sqlstate) == ("SELECT 1", None)
    assert pairing.unfinished == ()


def test_what_runs_long_is_written_down_before_it_ends() -> None:
    pairing = Pairing()
    assert take(pairing, begin()) == []
    pairing.write_down_running(NOW_US - RUNS_LONG_US)
    assert pairing.take_rows() == [], "it has only just begun"
    pairing.write_down_running(START_US)
    assert only_statement(pairing.take_rows()).outcome is None
    pairing.write_down_running(START_US)
    assert pairing.take_rows() == [], "once is enough"
    (late,) = take(pairing, end())
    assert isinstance(late, LateOutcome)
    assert (late.session_id, late.seq, late.day) == (session_id(1), 1, date(2026, 3, 1))
    assert pairing.unfinished == ()


def test_what_a_session_leaves_open_has_an_unknown_end() -> None:
    pairing = Pairing()
    rows = take(pairing, begin(1), begin(2), begin(1, session=2), closed(1))
    assert [(row.seq, row.outcome and row.outcome.ending) for row in rows] == [
        (1, Ending.UNKNOWN),
        (2, Ending.UNKNOWN),
    ]
    assert rows[0].outcome is not None
    assert rows[0].outcome.duration_us == NOW_US - START_US
    assert [each.session_id for each in pairing.unfinished] == [session_id(2)]


def test_what_a_worker_leaves_open_has_an_unknown_end() -> None:
    pairing = Pairing()
    take(pairing, begin(1, at_us=NOW_US + 5), begin(1, session=2))
    pairing.end_everything(NOW_US)
    rows = pairing.take_rows()
    outcomes = [row.outcome for row in rows if row.outcome is not None]
    assert [each.ending for each in outcomes] == [Ending.UNKNOWN] * 2
    assert [each.duration_us for each in outcomes] == [0, NOW_US - START_US], "clocks may be set"


def test_a_session_that_closes_with_nothing_open_says_nothing() -> None:
    assert take(Pairing(), closed()) == []


def test_records_that_belong_to_nothing_are_counted() -> None:
    pairing = Pairing()
    assert len(take(pairing, end(7), begin(1), end(2), begin(1), end(1))) == 1
    assert pairing.strays == 3


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"SELECT 'caf\xc3\xa9'", "SELECT 'caf\u00e9'"),
        (b"SELECT 'caf\xe9'", r"SELECT 'caf\xe9'"),
        (b"a\0b", r"a\x00b"),
        (b"\xed\xa0\x80", r"\xed\xa0\x80"),  # half of a surrogate pair
    ],
)
def test_bytes_that_are_no_text_are_kept_readably(sent: bytes, kept: str) -> None:
    row = only_statement(take(Pairing(), begin(text=sent, parameters=(sent, None)), end()))
    assert (row.text, row.parameters) == (kept, (kept, None))
    assert row.text.encode() == kept.encode()


def test_a_text_that_was_cut_says_what_the_whole_was() -> None:
    cut = replace(begin(), text_bytes=10**9, text_sha256=bytes(32), masked=True)
    row = only_statement(take(Pairing(), cut, end()))
    assert (row.text_bytes, row.text_sha256, row.masked) == (10**9, "0" * 64, True)


def test_what_is_kept_in_memory_is_known_and_can_be_let_go() -> None:
    pairing = Pairing()
    take(pairing, begin(1, text=b"x" * 100, parameters=(b"y" * 20, None)), begin(2, text=b"z"))
    assert pairing.held_bytes == 121
    assert pairing.first_held == Place(1, 0)
    pairing.write_down_all_running()
    assert [row.seq for row in pairing.take_rows()] == [1, 2]
    assert pairing.held_bytes == 0
    assert not pairing.first_held


def test_unfinished_statements_are_gone_on_with() -> None:
    unfinished = (
        (Unfinished(session_id(1), 1, START_US, None), None),
        (Unfinished(session_id(1), 2, START_US, Place(1, 7)), begin(2)),
    )
    pairing = Pairing(unfinished)
    assert pairing.unfinished == tuple(each for each, _ in unfinished)
    late, whole = take(pairing, end(1), end(2))
    assert isinstance(late, LateOutcome)
    assert isinstance(whole, Statement)
    assert whole.outcome is not None


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """What a worker writes: sessions at once, each with some statements at once, and clocks that go
    on by anything up to seconds."""
    records: list[Record] = []
    at_us, running, seqs = START_US, dict[int, list[int]](), Counter[int]()
    for _ in range(draw(st.integers(0, 40))):
        at_us += draw(st.sampled_from([0, 1_000, RUNS_LONG_US, 3 * RUNS_LONG_US]))
        session = draw(st.integers(1, 3))
        what = draw(st.sampled_from(["begin", "begin", "end", "end", "close"]))
        if session in running and what == "close" and draw(st.booleans()):
            del running[session]
            seqs[session] += 1000  # else its numbers would begin anew
            records.append(closed(session))
        elif what == "end" and running.get(session):
            records.append(end(running[session].pop(0), session))
        else:
            seqs[session] += 1
            running.setdefault(session, []).append(seqs[session])
            records.append(begin(seqs[session], session, at_us=at_us))
    return records


class LedgerInMemory:
    """Stores rows with the progress, or neither."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.progress = Progress(Place(1, 0))


def ship(records: Sequence[Record], ledger: LedgerInMemory, data: st.DataObject) -> bool:
    """Ship until everything is there, or until death. Returns whether everything is."""
    progress = ledger.progress
    begins = [
        (each, None if each.begun_at is None else records[each.begun_at.position])
        for each in progress.unfinished
    ]
    pairing = Pairing(
        (each, record if isinstance(record, Begin) else None) for each, record in begins
    )
    position, moves, rows = progress.place.position, progress.moves, []
    while True:
        until = min(len(records), position + data.draw(st.integers(1, 12)))
        for number in range(position, until):
            pairing.take(Found(records[number], Place(1, number)), NOW_US)
        position = until
        if data.draw(st.booleans()):
            pairing.write_down_running(pairing.newest_us - RUNS_LONG_US)
        if position == len(records):
            pairing.end_everything(NOW_US)
        rows = pairing.take_rows()
        match data.draw(st.sampled_from(["live", "live", "die before", "die after"])):
            case "die before":
                return False
            case fate:
                if rows:
                    moves += 1
                    ledger.rows += rows
                    ledger.progress = Progress(Place(1, position), pairing.unfinished, moves)
                if fate == "die after":
                    return False
        if position == len(records):
            return True


@given(histories(), st.data())
def test_everything_is_there_once_whenever_the_shipper_dies(
    records: list[Record], data: st.DataObject
) -> None:
    ledger = LedgerInMemory()
    while not ship(records, ledger, data):
        pass
    begun = [(each.session_id, each.seq) for each in records if isinstance(each, Begin)]
    ended = {(each.session_id, each.seq) for each in records if isinstance(each, End)}
    statements = [row for row in ledger.rows if isinstance(row, Statement)]
    assert sorted((row.session_id, row.seq) for row in statements) == sorted(begun)
    outcomes = [row for row in ledger.rows if row.outcome is not None]
    assert sorted((row.session_id, row.seq) for row in outcomes) == sorted(begun)
    done = {(r.session_id, r.seq) for r in outcomes if r.outcome.ending is Ending.DONE}  # type: ignore[union-attr]
    assert done == ended
