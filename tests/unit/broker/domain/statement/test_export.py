"""An export proves itself: whatever is changed, taken out or put in is found, line by line."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain import receipt
from broker.domain.statement.audit_row import canonical_event
from broker.domain.statement.chain import GENESIS, Block, seal
from broker.domain.statement.checking import Checker
from broker.domain.statement.checkpoint import (
    ChainName,
    Checkpoint,
    Head,
    check_checkpoint,
    checkpoint_body,
)
from broker.domain.statement.dropped_days import DroppedDay
from broker.domain.statement.export import (
    LineChecker,
    block_line,
    checkpoint_line,
    checkpoint_of,
    dropped_line,
    end_line,
    header_line,
    link_line,
    partial_block_line,
    positions_of,
    receipt_line,
)
from broker.domain.statement.flaw import Flaw

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)
STATEMENTS, AUDIT, RECEIPTS = ChainName.STATEMENTS, ChainName.AUDIT, ChainName.RECEIPTS


def statement(seq: int, session: str = "ses_1") -> bytes:
    facts = {"row": "statement", "seq": seq, "session": session, "text": "SELECT “ä”"}
    return json.dumps(facts, ensure_ascii=False).encode()


def event(seq: int, kind: str = "a.kind", **data: Any) -> bytes:
    return canonical_event(
        seq=seq,
        at=NOON,
        actor="system",
        kind=kind,
        request_id=None,
        grant_id="grt_1",
        session_id=None,
        data=data,
    ).encode()


OUTCOME = b'{"row":"outcome","seq":2,"session":"ses_1"}'
GONE = [statement(7), statement(8)]
ROWS = [statement(1), statement(2), OUTCOME, statement(1, "ses_2")]
DROPPED = DroppedDay(day=DAY, rows=2, through=1)
BLOCKS = [seal(1, GONE, GENESIS)]
BLOCKS.append(seal(2, ROWS, BLOCKS[0].hash))
RECEIPT_LINKS = [receipt.seal(1, '{"grant":"grt_1"}', receipt.GENESIS)]
EVENTS = [
    [event(1), event(3, "statements.day_dropped", day="2026-03-01", rows=2, through=1)],
    [event(2), event(4, "grant.ended", receipt=1, hash=RECEIPT_LINKS[0].hash.hex())],
]
TRAIL = [seal(1, EVENTS[0], GENESIS)]
TRAIL.append(seal(2, EVENTS[1], TRAIL[0].hash))


def signed(
    number: int, statements: Block | None, trail: Block | None, previous: Checkpoint | None = None
) -> Checkpoint:
    heads = {
        RECEIPTS: Head(1, RECEIPT_LINKS[0].hash) if trail is TRAIL[1] else Head(0, GENESIS),
        STATEMENTS: Head(statements.number, statements.hash) if statements else Head(0, GENESIS),
        AUDIT: Head(trail.number, trail.hash) if trail else Head(0, GENESIS),
    }
    at = f"2026-03-01T12:0{number}:00.000000Z"
    body = checkpoint_body(number, at, heads, previous)
    return Checkpoint(number=number, made_at=at, body=body, key_id="ours", signature=b"s")


FIRST = signed(1, BLOCKS[0], None)
SECOND = signed(2, BLOCKS[1], TRAIL[1], FIRST)


def ours(checkpoint: Checkpoint) -> bool:
    return checkpoint.key_id == "ours"


def whole(*lines: str) -> list[bytes]:
    """Put the header before the lines and the end after them."""
    header = header_line("2026-03-01T12:00:00.000000Z", whole=True, of={})
    return [line.encode() + b"\n" for line in (header, *lines, end_line(len(lines) + 1))]


def part(*lines: str) -> list[bytes]:
    header = header_line("2026-03-01T12:00:00.000000Z", whole=False, of={"only": ["grant_id=g"]})
    return [line.encode() + b"\n" for line in (header, *lines, end_line(len(lines) + 1))]


def texts(rows: Sequence[bytes]) -> list[str]:
    return [row.decode() for row in rows]


LINES = [
    checkpoint_line(FIRST),
    checkpoint_line(SECOND),
    dropped_line(DROPPED),
    receipt_line(RECEIPT_LINKS[0]),
    link_line(STATEMENTS, BLOCKS[0], day=DAY),
    block_line(AUDIT, TRAIL[0], seqs=(1, 3)),
    *texts(EVENTS[0]),
    block_line(STATEMENTS, BLOCKS[1], day=NEXT),
    *texts(ROWS),
    block_line(AUDIT, TRAIL[1], seqs=(2, 4)),
    *texts(EVENTS[1]),
]


def check(lines: Sequence[bytes]) -> list[str]:
    return [str(each) for each in LineChecker(ours).check(lines)]


def without(*places: int) -> list[bytes]:
    return whole(*(line for place, line in enumerate(LINES) if place not in places))


def changed(place: int, line: str) -> list[bytes]:
    return whole(*(line if place == n else each for n, each in enumerate(LINES)))


def test_an_export_that_nobody_touched_holds() -> None:
    checker = LineChecker(ours)
    assert list(checker.check(whole(*LINES))) == []
    assert checker.checker is not None
    tallies = checker.checker.tallies
    assert (tallies[STATEMENTS].links, tallies[STATEMENTS].rows) == (2, 4)
    assert (tallies[STATEMENTS].dropped_rows, tallies[STATEMENTS].unsigned) == (2, 0)
    assert (tallies[AUDIT].rows, tallies[AUDIT].last) == (4, 2)
    assert (tallies[RECEIPTS].links, checker.checker.checkpoints) == (1, 2)


ROW = LINES.index(ROWS[1].decode())
LINK = 4
IN_BLOCK_2 = "statements block 2"


@pytest.mark.parametrize(
    ("lines", "flaws"),
    [
        # Rows
        (
            changed(ROW, ROWS[1].decode().replace("SELECT", "DELETE")),
            [f"{IN_BLOCK_2}, row 2 (session ses_1, statement 2): this row was changed"],
        ),
        (
            changed(ROW, ROWS[1].decode() + " "),
            [f"{IN_BLOCK_2}, row 2 (session ses_1, statement 2): this row was changed"],
        ),
        (
            without(ROW),
            [f"{IN_BLOCK_2}, row 2: a row is missing here, after session ses_1, statement 1"],
        ),
        (
            without(ROW - 1),
            [f"{IN_BLOCK_2}, row 1: a row is missing here"],
        ),
        (
            without(ROW + 2),
            [
                f"{IN_BLOCK_2}, row 4: a row is missing here, after session ses_1, outcome of "
                "statement 2"
            ],
        ),
        (
            whole(*LINES[:ROW], statement(9).decode(), *LINES[ROW:]),
            [f"{IN_BLOCK_2} (session ses_1, statement 9): this row was put in"],
        ),
        (
            whole(*LINES[:LINK], statement(9).decode(), *LINES[LINK:]),
            ["line 6: it belongs to no block"],
        ),
        (without(6), ["audit block 1, row 1 (event 1): a row is missing here"]),
        (
            changed(6, EVENTS[0][0].decode().replace("system", "nobody")),
            ["audit block 1, row 1 (event 1): this row was changed"],
        ),
        # Links
        (
            without(LINK),
            [
                "statements block 1: block 1 is missing",
                "statements block 1: it is missing: checkpoint 1 names it",
                "day 2026-03-01: 2 rows were dropped, but its blocks had 0",
            ],
        ),
        (
            changed(LINK, LINES[LINK].replace(BLOCKS[0].digest.hex(), "00" * 32)),
            ["statements block 1: block 1 was changed"],
        ),
        (
            changed(LINK, link_line(STATEMENTS, replace(BLOCKS[0], previous=b"x" * 32), day=DAY)),
            ["statements block 1: block 1 does not follow the one before it"],
        ),
        (
            changed(LINK, link_line(STATEMENTS, BLOCKS[0], day=NEXT)),
            [
                "statements block 1: its rows are missing",
                "day 2026-03-01: 2 rows were dropped, but its blocks had 0",
            ],
        ),
        (
            changed(ROW - 2, partial_block_line(STATEMENTS, BLOCKS[1], ROWS, day=NEXT)),
            [f"{IN_BLOCK_2}: some of its rows are missing"],
        ),
        (
            changed(ROW - 2, LINES[ROW - 2].replace(BLOCKS[1].hash.hex(), "00" * 32)),
            [
                f"{IN_BLOCK_2}: block 2 was changed",
                f"{IN_BLOCK_2}: it is not the one that checkpoint 2 names",
            ],
        ),
        (
            without(3),
            ["receipt 1: it is missing: checkpoint 2 names it"],
        ),
        (
            changed(3, LINES[3].replace("grt_1", "grt_2")),
            ["receipt 1: receipt 1 was changed"],
        ),
        # Checkpoints
        (without(0), ["checkpoint 2: checkpoint 1 is missing"]),
        (
            changed(0, checkpoint_line(replace(FIRST, key_id="theirs"))),
            [
                "checkpoint 1: its signature is not by a key that is trusted here (key theirs)",
            ],
        ),
        (
            changed(0, checkpoint_line(replace(FIRST, body="[]"))),
            [
                "checkpoint 1: checkpoint 1 is not one",
                "checkpoint 2: checkpoint 2 does not follow the one before it",
            ],
        ),
        # Days
        (
            without(2),
            [
                "statements block 1: its rows are missing",
                "day 2026-03-01: the audit trail knows that 2 rows were dropped; nothing else does",
            ],
        ),
        (
            changed(2, dropped_line(replace(DROPPED, rows=3))),
            [
                "day 2026-03-01: 3 rows were dropped, but its blocks had 2",
                "day 2026-03-01: the audit trail does not know that 3 rows were dropped",
                "day 2026-03-01: the audit trail knows that 2 rows were dropped; nothing else does",
            ],
        ),
        # The file
        (whole(*LINES)[:-1], ["line 18: the export ends too early"]),
        (
            [*whole(*LINES)[:-1], b'{"row":"end","lines":3}'],
            ["line 18: 3 lines were written, 17 are here"],
        ),
        ([*whole(*LINES), b"{}"], ["line 19: the export had ended before it"]),
        (
            [*whole(*LINES), b"nothing"],
            ["line 19: it is not a line of an export, nor is what comes after it looked at"],
        ),
        (whole(*LINES, '{"row":"block"}'), ["line 18: it does not say what such a line says"]),
        (whole(*LINES, '{"row":"event","seq":"x"}'), ["line 18: it belongs to no block"]),
    ],
)
def test_whatever_is_wrong_is_named(lines: list[bytes], flaws: list[str]) -> None:
    assert check(lines) == flaws


@pytest.mark.parametrize(
    ("lines", "flaw"),
    [
        ([], "line 1: the export ends too early"),
        ([b"[]"], "line 1: it is not a line of an export, nor is what comes after it looked at"),
        (
            [b"[" * 100_000],
            "line 1: it is not a line of an export, nor is what comes after it looked at",
        ),
        ([b"{}"], "line 1: it is not the header of a pgcurfew-record-1"),
        (
            [b'{"row":"header","format":"other"}'],
            "line 1: it is not the header of a pgcurfew-record-1",
        ),
    ],
)
def test_what_is_no_export_is_said_to_be_none(lines: list[bytes], flaw: str) -> None:
    assert flaw in check(lines)


def test_days_that_were_dropped_twice_are_added_up() -> None:
    again = seal(2, [statement(9)], BLOCKS[0].hash)
    dropped = [DROPPED, DroppedDay(day=DAY, rows=1, through=2)]
    events = [
        event(n, "statements.day_dropped", day="2026-03-01", rows=each.rows, through=each.through)
        for n, each in enumerate(dropped, 1)
    ]
    lines = whole(
        *map(dropped_line, dropped),
        link_line(STATEMENTS, BLOCKS[0], day=DAY),
        link_line(STATEMENTS, again, day=DAY),
        block_line(AUDIT, seal(1, events, GENESIS), seqs=(1, 2)),
        *texts(events),
    )
    assert check(lines) == []


@pytest.mark.parametrize(
    "data", [{}, {"day": "2026-03-01", "rows": "many", "through": 1}, {"rows": [1]}]
)
def test_an_event_of_ours_that_says_nothing_of_use_drops_nothing(data: dict[str, Any]) -> None:
    events = [event(1, "statements.day_dropped", **data)]
    lines = [block_line(AUDIT, seal(1, events, GENESIS), seqs=(1,)), *texts(events)]
    assert len(check(whole(*lines))) <= 1


def test_only_an_events_own_kind_says_what_it_is() -> None:
    said = {"kind": "statements.day_dropped", "day": "2026-03-01", "rows": 2, "through": 1}
    events = [event(1, said=said)]
    lines = [block_line(AUDIT, seal(1, events, GENESIS), seqs=(1,)), *texts(events)]
    assert check(whole(*lines)) == []
    checker = Checker(ours, whole=True)
    checker.on_record(event(1))
    assert list(checker.finish()) == []


def test_rows_that_only_the_digest_tells_from_others_are_said_to_be_wrong() -> None:
    forged = replace(BLOCKS[0], digest=bytes(32))
    lines = [block_line(STATEMENTS, forged, day=DAY), *texts(GONE)]
    assert check(whole(*lines)) == [
        "statements block 1: block 1 was changed",
        "statements block 1: its rows are not what its digest covers",
    ]


# Of a part

SOME = [ROWS[0], ROWS[2]]
PART = [
    checkpoint_line(SECOND),
    receipt_line(RECEIPT_LINKS[0]),
    partial_block_line(STATEMENTS, BLOCKS[1], SOME, day=NEXT),
    *texts(SOME),
    link_line(AUDIT, TRAIL[0]),
    partial_block_line(AUDIT, TRAIL[1], [EVENTS[1][1]]),
    EVENTS[1][1].decode(),
]


def changed_part(place: int, line: str) -> list[bytes]:
    return part(*(line if place == n else each for n, each in enumerate(PART)))


def test_of_a_part_each_row_is_held_against_its_own_leaf() -> None:
    checker = LineChecker(ours)
    assert list(checker.check(part(*PART))) == []
    assert checker.alone == 3
    assert checker.header["of"] == {"only": ["grant_id=g"]}
    assert checker.checker is not None
    assert [each.unsigned for each in checker.checker.tallies.values()] == [0, 0, 0]


@pytest.mark.parametrize(
    ("lines", "flaws"),
    [
        (
            changed_part(3, SOME[0].decode() + " "),
            [
                "statements block 2, row 1 (session ses_1, statement 1): the block does not have "
                "this row: it was changed or put in"
            ],
        ),
        (
            part(*PART[:5], statement(9).decode(), *PART[5:]),
            [
                "statements block 2 (session ses_1, statement 9): the block does not have this "
                "row: it was changed or put in"
            ],
        ),
        (part(*PART[:4], *PART[5:]), ["statements block 2: 2 of its rows should follow, 1 do"]),
        (
            changed_part(2, PART[2].replace(BLOCKS[1].leaves.hex(), "00" * 32)),
            ["statements block 2: block 2 was changed"],
        ),
        (
            changed_part(5, link_line(AUDIT, replace(TRAIL[0], number=2))),
            [
                "audit block 2: block 2 was changed",
                "audit block 2: it is not the one that checkpoint 2 names",
            ],
        ),
        (
            changed_part(1, receipt_line(receipt.seal(1, "{}", receipt.GENESIS))),
            [
                "receipt 1: it is not the one that checkpoint 2 names",
                "receipt 1: the audit trail knows another hash of it",
            ],
        ),
        (
            changed_part(0, checkpoint_line(replace(SECOND, body="{"))),
            ["checkpoint 2: checkpoint 2 is not one"],
        ),
        (
            part(PART[0], checkpoint_line(replace(SECOND, body=SECOND.body + " ", number=3))),
            [
                "checkpoint 3: checkpoint 3 says that it is another",
            ],
        ),
    ],
)
def test_of_a_part_whatever_is_wrong_is_named(lines: list[bytes], flaws: list[str]) -> None:
    found = check(lines)
    assert [each for each in flaws if each not in found] == [], found


def test_of_a_part_links_may_be_left_out_and_are_then_counted_as_unsigned() -> None:
    third = seal(3, [], BLOCKS[1].hash)
    fifth = seal(5, [], b"f" * 32)
    checker = LineChecker(ours)
    lines = part(
        checkpoint_line(FIRST),
        *(link_line(STATEMENTS, each) for each in (BLOCKS[0], BLOCKS[1], third, fifth)),
    )
    assert list(checker.check(lines)) == []
    assert checker.checker is not None
    assert checker.checker.tallies[STATEMENTS].unsigned == 3


@pytest.mark.parametrize(("named", "unsigned"), [(True, 0), (False, 1)])
def test_of_a_part_a_receipt_that_the_trail_names_is_as_good_as_signed(
    *, named: bool, unsigned: int
) -> None:
    lines = [
        receipt_line(RECEIPT_LINKS[0]),
        *([block_line(AUDIT, TRAIL[1], seqs=(2, 4)), *texts(EVENTS[1])] if named else []),
    ]
    checker = LineChecker(ours)
    assert list(checker.check(part(*lines))) == []
    assert checker.checker is not None
    assert checker.checker.tallies[RECEIPTS].unsigned == unsigned


def test_rows_with_the_same_leaf_have_their_places_in_order() -> None:
    block = seal(1, [b"a", b"b", b"a"], GENESIS)
    assert positions_of(block, [b"a", b"a", b"c", b"b", b"a"]) == [0, 2, None, 1, None]


# The checker itself, as the ledger's check uses it


def test_a_check_can_begin_with_a_checkpoint() -> None:
    checker = Checker(ours, whole=True, since=FIRST)
    assert list(checker.checkpoint(SECOND)) == []
    names = [(row, _name(row)) for row in ROWS]
    assert list(checker.block(STATEMENTS, BLOCKS[1], names)) == []
    for number, rows in enumerate(EVENTS):
        named = [(row, _name(row)) for row in rows]
        assert list(checker.block(AUDIT, TRAIL[number], named)) == []
    assert list(checker.receipt(RECEIPT_LINKS[0])) == []
    assert list(checker.finish()) == []
    assert checker.tallies[STATEMENTS].links == 1


def _name(row: bytes) -> Any:
    from broker.domain.statement.flaw import RowName  # noqa: PLC0415

    facts = json.loads(row)
    return RowName(facts["row"], facts.get("session"), facts["seq"])


def test_a_checkpoint_after_the_first_cannot_name_less_than_it() -> None:
    checker = Checker(ours, whole=True, since=SECOND)
    third = signed(3, BLOCKS[0], TRAIL[1], SECOND)
    assert [str(each) for each in checker.checkpoint(third)] == [
        "statements block 1: it is not the statements block 1 that checkpoint 3 names"
    ]


def test_two_checkpoints_cannot_name_different_links() -> None:
    forged = signed(2, replace(BLOCKS[0], hash=b"f" * 32), TRAIL[1], FIRST)
    checker = Checker(ours, whole=True)
    assert list(checker.checkpoint(FIRST)) == []
    assert [str(each) for each in checker.checkpoint(forged)] == [
        "statements block 1: checkpoints 1 and 2 name different ones"
    ]


def test_a_checkpoint_that_was_kept_elsewhere_is_believed() -> None:
    checker = Checker(ours, whole=True)
    assert [str(each) for each in checker.known(SECOND, None)] == [
        "checkpoint 2: it is missing: you have it"
    ]
    assert [str(each) for each in checker.finish()] == [
        "receipt 1: it is missing: checkpoint 2 names it",
        "statements block 2: it is missing: checkpoint 2 names it",
        "audit block 2: it is missing: checkpoint 2 names it",
    ]
    checker = Checker(ours, whole=True)
    (flaw,) = checker.known(FIRST, replace(FIRST, body="{}"))
    assert flaw == Flaw(what="checkpoint", number=1, why="it is not the one you have")


def test_a_checkpoint_that_was_kept_from_before_the_start_says_nothing_of_what_follows() -> None:
    checker = Checker(ours, whole=True, since=SECOND)
    assert list(checker.known(FIRST, FIRST)) == []
    part_of_it = Checker(ours, whole=False)
    assert list(part_of_it.known(FIRST, FIRST)) == []


def test_a_flaw_is_json_too() -> None:
    (flaw,) = LineChecker(ours).check(changed(ROW, ROWS[1].decode() + " "))
    assert json.loads(json.dumps(flaw.to_json())) == {
        "what": "statements block",
        "number": 2,
        "place": 1,
        "row": {"kind": "statement", "session": "ses_1", "seq": 2},
        "why": "this row was changed",
    }
    assert Flaw(what="day", why="w").to_json()["row"] is None


def test_a_checkpoint_is_read_as_it_was_written() -> None:
    assert checkpoint_of(json.loads(checkpoint_line(SECOND))) == SECOND
    assert check_checkpoint(SECOND, 2, FIRST.digest) is None


@given(st.data())
def test_a_changed_byte_never_goes_unnoticed(data: st.DataObject) -> None:
    """But for what is a note, and not evidence: the header, and days of blocks that have rows."""
    lines = whole(*LINES)
    place = data.draw(st.integers(1, len(lines) - 1))
    at = data.draw(st.integers(0, len(lines[place]) - 2))
    byte = data.draw(st.integers(0, 255).filter(lambda each: each != lines[place][at]))
    line = lines[place][:at] + bytes([byte]) + lines[place][at + 1 :]
    try:
        meant = json.loads(line) == json.loads(lines[place])  # such as hexadecimal in capitals
        notes = {"day", "seqs"} if json.loads(line).get("row") == "block" else set()
        was, now = json.loads(lines[place]), json.loads(line)
        meant = all(was.get(key) == now.get(key) for key in {*was, *now} - notes)
        capitals = json.dumps(now).lower() == json.dumps(was).lower()
    except (ValueError, AttributeError):
        meant = capitals = False
    if not (meant or capitals):
        assert check([*lines[:place], line, *lines[place + 1 :]])
