"""Blocks: every change of a row shows, and is named."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.statement.chain import (
    CHANGED,
    GENESIS,
    LEAF_BYTES,
    MISSING,
    PUT_IN,
    Block,
    Fault,
    RowsCheck,
    check_block,
    leaf,
    leaves_of,
    seal,
)

ROWS = [b'{"row":"a"}', b'{"row":"b"}', "ä".encode(), b"d"]


def _faults(block: Block, rows: list[bytes]) -> list[Fault]:
    check = RowsCheck(block)
    for row in rows:
        check.feed(row)
    return check.faults()


def _changed(block: Block, **facts: object) -> Block:
    values = {name: getattr(block, name) for name in Block.__slots__}
    return Block(**{**values, **facts})


def test_a_block_says_what_its_rows_and_the_block_before_it_are() -> None:
    first = seal(1, ROWS, GENESIS)
    assert first.digest == sha256(b"".join(row + b"\n" for row in ROWS)).digest()
    assert leaves_of(first) == [leaf(row) for row in ROWS]
    facts = (1).to_bytes(8) + (4).to_bytes(8) + first.digest + sha256(first.leaves).digest()
    assert first.hash == sha256(GENESIS + facts).digest()
    second = seal(2, [], first.hash)
    assert (second.rows, second.leaves, second.previous) == (0, b"", first.hash)
    assert check_block(first, 1, GENESIS) is None
    assert check_block(second, 2, first.hash) is None


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"number": 2}, "block 1 is missing"),
        ({"previous": b"x" * 32}, "block 1 does not follow the one before it"),
        ({"rows": 3}, "block 1 was changed"),
        ({"digest": bytes(32)}, "block 1 was changed"),
        ({"leaves": b""}, "block 1 was changed"),
        ({"hash": bytes(32)}, "block 1 was changed"),
    ],
)
def test_a_block_that_was_changed_is_named(facts: dict[str, object], why: str) -> None:
    assert check_block(_changed(seal(1, ROWS, GENESIS), **facts), 1, GENESIS) == Fault(1, why)


def test_a_block_whose_leaves_are_too_few_was_changed_even_if_its_hash_was_made_anew() -> None:
    block = seal(1, ROWS, GENESIS)
    shorter = seal(1, ROWS[:3], GENESIS)
    forged = _changed(shorter, rows=4, digest=block.digest)
    again = _changed(forged, hash=_hash_of(forged))
    assert check_block(again, 1, GENESIS) == Fault(1, "block 1 was changed")


def _hash_of(block: Block) -> bytes:
    facts = block.number.to_bytes(8) + block.rows.to_bytes(8) + block.digest + block.leaves_digest
    return sha256(block.previous + facts).digest()


@pytest.mark.parametrize(
    ("rows", "faults"),
    [
        (ROWS, []),
        ([b"x", *ROWS[1:]], [Fault(1, CHANGED, 0, 0)]),
        ([*ROWS[:3], b"x"], [Fault(1, CHANGED, 3, 3)]),
        ([b"x", ROWS[1], b"y", ROWS[3]], [Fault(1, CHANGED, 0, 0), Fault(1, CHANGED, 2, 2)]),
        (ROWS[1:], [Fault(1, MISSING, 0, 0)]),
        (ROWS[:3], [Fault(1, MISSING, 3, 3)]),
        ([ROWS[0], ROWS[3]], [Fault(1, MISSING, 1, 1), Fault(1, MISSING, 2, 1)]),
        ([b"x", *ROWS], [Fault(1, PUT_IN, 0, 0)]),
        ([*ROWS, b"x"], [Fault(1, PUT_IN, 4, 4)]),
        ([*ROWS[:2], b"x", b"y", *ROWS[3:]], [Fault(1, CHANGED, 2, 2), Fault(1, PUT_IN, 3, 3)]),
        ([], [Fault(1, MISSING, n, 0) for n in range(4)]),
    ],
)
def test_each_row_that_is_wrong_is_named(rows: list[bytes], faults: list[Fault]) -> None:
    assert _faults(seal(1, ROWS, GENESIS), rows) == faults


def test_rows_that_only_the_digest_tells_from_others_are_wrong_too() -> None:
    """Leaves are cut; the digest is not."""
    block = _changed(seal(1, ROWS, GENESIS), digest=bytes(32))
    assert _faults(block, ROWS) == [Fault(1, "its rows are not what its digest covers")]


@given(st.lists(st.binary(max_size=4), max_size=12), st.lists(st.binary(max_size=4), max_size=12))
def test_rows_are_right_only_if_they_are_the_same(was: list[bytes], now: list[bytes]) -> None:
    was = [row.replace(b"\n", b"") for row in was]
    now = [row.replace(b"\n", b"") for row in now]
    assert bool(_faults(seal(1, was, GENESIS), now)) == (was != now)


def test_a_leaf_is_the_beginning_of_its_rows_hash() -> None:
    assert leaf(b"a") == sha256(b"a").digest()[:LEAF_BYTES]
