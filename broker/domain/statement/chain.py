"""Blocks of rows, each of which follows the one before it, so that none can be changed, taken out
or put in between without it showing.

A block's digest is SHA-256 over its rows' canonical texts, each ended by a line feed, in their
order. Its hash covers the hash before it, its number, how many rows it has, the digest and the
leaves. Leaves are the first LEAF_BYTES of each row's own hash: they only serve to name the row that
is wrong, the digest proves that one is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from hashlib import sha256

GENESIS = bytes(32)  # what the first block follows
LEAF_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block's place in its chain. Numbers begin with 1; digest and hashes are SHA-256."""

    number: int
    rows: int
    digest: bytes
    leaves: bytes
    previous: bytes
    hash: bytes

    @property
    def leaves_digest(self) -> bytes:
        """What its hash covers of the leaves."""
        return sha256(self.leaves).digest()


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a chain. `position` is that of the row within its block, from 0, if one
    row can be named; `found` is its place among the rows that are there, or the place where one
    that is missing would stand."""

    number: int
    why: str
    position: int | None = None
    found: int | None = None


CHANGED = "this row was changed"
MISSING = "a row is missing here"
PUT_IN = "this row was put in"


def seal(number: int, rows: Sequence[bytes], previous: bytes) -> Block:
    """Return the block of these rows (their canonical texts in UTF-8) that follows `previous`."""
    digest = sha256(b"".join(row + b"\n" for row in rows)).digest()
    leaves = b"".join(leaf(row) for row in rows)
    hashed = block_hash(number, len(rows), digest, sha256(leaves).digest(), previous)
    return Block(
        number=number,
        rows=len(rows),
        digest=digest,
        leaves=leaves,
        previous=previous,
        hash=hashed,
    )


def check_block(block: Block, number: int, previous: bytes) -> Fault | None:
    """Say what is wrong, if anything, with what should be block `number` and follow `previous`."""
    if block.number != number:
        return Fault(number, f"block {number} is missing")
    if block.previous != previous:
        return Fault(number, f"block {number} does not follow the one before it")
    hashed = block_hash(number, block.rows, block.digest, block.leaves_digest, previous)
    if block.hash != hashed or len(block.leaves) != block.rows * LEAF_BYTES:
        return Fault(number, f"block {number} was changed")
    return None


class RowsCheck:
    """Holds the rows that are there of a block against it. Keeps none of them."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._digest = sha256()
        self._found: list[bytes] = []

    def feed(self, row: bytes) -> None:
        """Take the next row, in canonical order."""
        self._digest.update(row + b"\n")
        self._found.append(leaf(row))

    def faults(self) -> list[Fault]:
        """Name each row that was changed, taken out or put in, once all were fed."""
        block = self._block
        if self._digest.digest() == block.digest:
            return []
        faults = list(_differences(block.number, leaves_of(block), self._found))
        return faults or [Fault(block.number, "its rows are not what its digest covers")]


def leaf(row: bytes) -> bytes:
    """Return what a block keeps of each of its rows."""
    return sha256(row).digest()[:LEAF_BYTES]


def leaves_of(block: Block) -> list[bytes]:
    starts = range(0, len(block.leaves), LEAF_BYTES)
    return [block.leaves[start : start + LEAF_BYTES] for start in starts]


def block_hash(
    number: int, rows: int, digest: bytes, leaves_digest: bytes, previous: bytes
) -> bytes:
    facts = number.to_bytes(8) + rows.to_bytes(8) + digest + leaves_digest
    return sha256(previous + facts).digest()


def _differences(number: int, expected: list[bytes], found: list[bytes]) -> Iterator[Fault]:
    matcher = SequenceMatcher(None, expected, found, autojunk=False)
    for kind, was, was_end, now, now_end in matcher.get_opcodes():
        if kind == "equal":
            continue
        both = min(was_end - was, now_end - now)
        for step in range(both):
            yield Fault(number, CHANGED, was + step, now + step)
        for position in range(was + both, was_end):
            yield Fault(number, MISSING, position, now_end)
        for place in range(now + both, now_end):
            yield Fault(number, PUT_IN, was_end, place)
