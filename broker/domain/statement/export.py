"""An export of the record as JSON lines, which proves itself without the ledger.

    {"row":"header","format":"pgcurfew-record-1","whole":…,"made_at":…,"of":{…}}      first
    {"row":"checkpoint",…}  {"row":"day_dropped",…}                                   before blocks
    {"row":"receipt",…}
    {"row":"block","chain":"statements"|"audit",…}   each followed by its rows' canonical lines
    {"row":"link",…}                                 a block without its rows
    {"row":"end","lines":…}                          last: how many lines came before it

Links of a chain come in their order; chains may alternate between links. Hashes and signatures are
hexadecimal. An export is `whole` if it has every link, and all rows but those of days that were
dropped. A part of a record has blocks with `positions`: those of the rows that follow, null for a
row that the block does not have. Of such blocks only each row's own leaf can be checked.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from broker.domain.receipt import Link
from broker.domain.statement.chain import LEAF_BYTES, Block, leaf, leaves_of
from broker.domain.statement.checking import Checker
from broker.domain.statement.checkpoint import ChainName, Checkpoint, IsGenuine
from broker.domain.statement.dropped_days import DroppedDay
from broker.domain.statement.flaw import Flaw, RowName

FORMAT = "pgcurfew-record-1"
_ROWS = ("statement", "outcome", "event")


def header_line(made_at: str, *, whole: bool, of: Mapping[str, Any]) -> str:
    """`of` says what it is an export of, for people."""
    return _line({"row": "header", "format": FORMAT, "made_at": made_at, "whole": whole, "of": of})


def checkpoint_line(found: Checkpoint) -> str:
    return _line(
        {
            "row": "checkpoint",
            "number": found.number,
            "made_at": found.made_at,
            "body": found.body,
            "key_id": found.key_id,
            "signature": found.signature.hex(),
        }
    )


def dropped_line(found: DroppedDay) -> str:
    return _line(
        {
            "row": "day_dropped",
            "day": found.day.isoformat(),
            "rows": found.rows,
            "through": found.through,
        }
    )


def receipt_line(link: Link) -> str:
    return _line(
        {
            "row": "receipt",
            "number": link.number,
            "body": link.body,
            "previous": link.previous.hex(),
            "hash": link.hash.hex(),
        }
    )


def block_line(
    chain: ChainName, block: Block, *, day: date | None = None, seqs: Sequence[int] = ()
) -> str:
    """All of the block's rows have to follow, in their order. `day` is that of statements, `seqs`
    are the numbers of events."""
    return _line({**_block(chain, block, day), "leaves": block.leaves.hex(), "seqs": list(seqs)})


def partial_block_line(
    chain: ChainName, block: Block, rows: Iterable[bytes], *, day: date | None = None
) -> str:
    """These rows of the block have to follow, in its order."""
    positions = positions_of(block, rows)
    facts = {**_block(chain, block, day), "leaves": block.leaves.hex(), "positions": positions}
    return _line(facts)


def link_line(chain: ChainName, block: Block, *, day: date | None = None) -> str:
    """None of the block's rows follow: they were dropped, or are not part of this export."""
    facts = _block(chain, block, day)
    return _line({**facts, "row": "link", "leaves_sha256": block.leaves_digest.hex()})


def end_line(lines: int) -> str:
    """`lines` is how many came before it, with the header."""
    return _line({"row": "end", "lines": lines})


def positions_of(block: Block, rows: Iterable[bytes]) -> list[int | None]:
    """Return where these rows are in the block, from 0; None for what it does not have."""
    places: dict[bytes, list[int]] = {}
    for position, each in enumerate(leaves_of(block)):
        places.setdefault(each, []).append(position)
    # Leaves are cut: two rows may have the same, and then come in their order.
    found = (places.get(leaf(row), []) for row in rows)
    return [each.pop(0) if each else None for each in found]


class LineChecker:
    """Checks an export, line by line. `rows` of blocks with positions were checked by themselves
    only: `alone` counts them."""

    def __init__(self, is_genuine: IsGenuine) -> None:
        self._is_genuine = is_genuine
        self.checker: Checker | None = None  # from the header on
        self.header: dict[str, Any] = {}
        self.alone = 0
        self._line = 0
        self._ended = False

    def check(self, lines: Iterable[bytes]) -> Iterator[Flaw]:
        """Say what is wrong, as the lines come. Rows are kept for no longer than their line."""
        coming = _Lines(lines)
        while (facts := coming.take()) is not None:
            yield from self._check(facts, coming)
            self._line = coming.number
        if coming.broken:
            why = "it is not a line of an export, nor is what comes after it looked at"
            yield Flaw(what="line", number=coming.number + 1, why=why)
        elif not self._ended:
            yield Flaw(what="line", number=coming.number + 1, why="the export ends too early")
        if self.checker is not None:
            yield from self.checker.finish()

    def _check(self, facts: dict[str, Any], coming: "_Lines") -> Iterator[Flaw]:
        number = coming.number
        if self._ended:
            yield Flaw(what="line", number=number, why="the export had ended before it")
            return
        if self.checker is None:
            yield from self._begin(facts)
            return
        try:
            yield from self._check_link(self.checker, facts, coming)
        except (KeyError, TypeError, ValueError, OverflowError):
            yield Flaw(what="line", number=number, why="it does not say what such a line says")

    def _begin(self, facts: dict[str, Any]) -> Iterator[Flaw]:
        whole = facts.get("whole") is True
        self.checker = Checker(self._is_genuine, whole=whole)
        self.header = facts
        if facts.get("row") != "header" or facts.get("format") != FORMAT:
            yield Flaw(what="line", number=1, why=f"it is not the header of a {FORMAT}")

    def _check_link(
        self, checker: Checker, facts: dict[str, Any], coming: "_Lines"
    ) -> Iterator[Flaw]:
        match facts.get("row"):
            case "checkpoint":
                yield from checker.checkpoint(checkpoint_of(facts))
            case "day_dropped":
                day = date.fromisoformat(facts["day"])
                rows, through = int(facts["rows"]), int(facts["through"])
                checker.dropped(DroppedDay(day=day, rows=rows, through=through))
            case "receipt":
                yield from checker.receipt(_receipt(facts))
            case "link":
                block = _block_of(facts, b"")
                leaves_digest = bytes.fromhex(facts["leaves_sha256"])
                yield from checker.bare_block(
                    ChainName(facts["chain"]), block, leaves_digest, _day(facts)
                )
            case "block":
                yield from self._check_block(checker, facts, coming)
            case "end":
                self._ended = True
                if facts.get("lines") != coming.number - 1:
                    why = f"{facts.get('lines')} lines were written, {coming.number - 1} are here"
                    yield Flaw(what="line", number=coming.number, why=why)
            case _:
                yield Flaw(what="line", number=coming.number, why="it belongs to no block")

    def _check_block(
        self, checker: Checker, facts: dict[str, Any], coming: "_Lines"
    ) -> Iterator[Flaw]:
        chain = ChainName(facts["chain"])
        block = _block_of(facts, bytes.fromhex(facts["leaves"]))
        if "positions" not in facts:
            yield from checker.block(chain, block, coming.rows(), facts.get("seqs") or ())
            return
        yield from checker.partial_block(chain, block)
        yield from self._check_alone(checker, chain, block, list(facts["positions"]), coming)

    def _check_alone(
        self,
        checker: Checker,
        chain: ChainName,
        block: Block,
        positions: list[Any],
        coming: "_Lines",
    ) -> Iterator[Flaw]:
        seen = 0
        for text, name in coming.rows():
            place = positions[seen] if seen < len(positions) else None
            seen += 1
            self.alone += 1
            if name.kind == "event":
                checker.on_record(text)
            if place is None or leaf(text) != _leaf_at(block, int(place)):
                why = "the block does not have this row: it was changed or put in"
                what = f"{chain.value} block"
                yield Flaw(what=what, number=block.number, row=name, place=place, why=why)
        if seen < len(positions):
            why = f"{len(positions)} of its rows should follow, {seen} do"
            yield Flaw(what=f"{chain.value} block", number=block.number, why=why)


class _Lines:
    """Lines with one to look ahead. Ends at the first that is not JSON."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self._ahead: tuple[bytes, dict[str, Any]] | None = None
        self.number = 0  # of the line taken last, from 1
        self.broken = False

    def take(self) -> dict[str, Any] | None:
        ahead = self._peek()
        if ahead is None:
            return None
        self._ahead = None
        self.number += 1
        return ahead[1]

    def rows(self) -> Iterator[tuple[bytes, RowName]]:
        """Take the rows that come next, as far as they are rows."""
        while (ahead := self._peek()) is not None:
            text, facts = ahead
            name = _row_name(facts)
            if name is None:
                return
            self._ahead = None
            self.number += 1
            yield text, name

    def _peek(self) -> tuple[bytes, dict[str, Any]] | None:
        if self._ahead is None and not self.broken:
            line = next(self._lines, None)
            if line is None:
                return None
            text = line.removesuffix(b"\n")
            facts = _parsed(text)
            self.broken = facts is None
            self._ahead = None if facts is None else (text, facts)
        return self._ahead


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


def _row_name(facts: dict[str, Any]) -> RowName | None:
    kind, seq, session = facts.get("row"), facts.get("seq"), facts.get("session")
    if kind not in _ROWS or not isinstance(seq, int):
        return None
    return RowName(kind, None if kind == "event" else str(session), seq)


def _line(facts: dict[str, Any]) -> str:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _block(chain: ChainName, block: Block, day: date | None) -> dict[str, Any]:
    return {
        "row": "block",
        "chain": chain.value,
        "number": block.number,
        "day": None if day is None else day.isoformat(),
        "rows": block.rows,
        "digest": block.digest.hex(),
        "previous": block.previous.hex(),
        "hash": block.hash.hex(),
    }


def _block_of(facts: dict[str, Any], leaves: bytes) -> Block:
    return Block(
        number=int(facts["number"]),
        rows=int(facts["rows"]),
        digest=bytes.fromhex(facts["digest"]),
        leaves=leaves,
        previous=bytes.fromhex(facts["previous"]),
        hash=bytes.fromhex(facts["hash"]),
    )


def checkpoint_of(facts: dict[str, Any]) -> Checkpoint:
    """Return what `checkpoint_line` said. Raises KeyError, TypeError or ValueError."""
    return Checkpoint(
        number=int(facts["number"]),
        made_at=str(facts["made_at"]),
        body=str(facts["body"]),
        key_id=str(facts["key_id"]),
        signature=bytes.fromhex(facts["signature"]),
    )


def _receipt(facts: dict[str, Any]) -> Link:
    previous, hashed = bytes.fromhex(facts["previous"]), bytes.fromhex(facts["hash"])
    return Link(int(facts["number"]), str(facts["body"]), previous, hashed)


def _day(facts: dict[str, Any]) -> date | None:
    day = facts.get("day")
    return None if day is None else date.fromisoformat(day)


def _leaf_at(block: Block, position: int) -> bytes:
    return block.leaves[position * LEAF_BYTES : (position + 1) * LEAF_BYTES]
