"""Checks a record link by link, whoever reads it: the ledger's rows, or an export's lines.

Feed it checkpoints first, then days that were dropped, then links of every chain in their order;
each call says what is wrong, and `finish` what is missing. It keeps what checkpoints say of links
that have not come by yet, and nothing of rows: memory does not grow with them.

Of a part of a record (`whole` is False) a chain may begin anywhere and leave links out. What is
there is held against itself and against the checkpoints that name a link in it.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from broker.domain.receipt import Link, check_link
from broker.domain.statement.chain import (
    GENESIS,
    MISSING,
    PUT_IN,
    Block,
    Fault,
    RowsCheck,
    block_hash,
    check_block,
)
from broker.domain.statement.checkpoint import (
    ChainName,
    Checkpoint,
    Head,
    IsGenuine,
    check_checkpoint,
)
from broker.domain.statement.dropped_days import DroppedDay, DroppedDays
from broker.domain.statement.flaw import Flaw, RowName, named

DAY_DROPPED = "statements.day_dropped"  # the kind of event that says so in the audit trail
GRANT_ENDED = "grant.ended"  # the kind that has the number and the hash of a receipt
_MARKS = tuple(f'"kind":"{kind}"'.encode() for kind in (DAY_DROPPED, GRANT_ENDED))


@dataclass(slots=True)
class Tally:
    """How much of a chain was checked. `unsigned` links are under no checkpoint that was seen."""

    links: int = 0
    rows: int = 0
    dropped_rows: int = 0
    last: int = 0
    unsigned: int = 0


@dataclass(slots=True)
class _Walk:
    tally: Tally = field(default_factory=Tally)
    next: int | None = 1  # None: wherever it begins
    previous: bytes | None = GENESIS
    wanted: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    run: int = 0  # links since the last one that a checkpoint names


class Checker:
    def __init__(
        self, is_genuine: IsGenuine, *, whole: bool, since: Checkpoint | None = None
    ) -> None:
        """Begin after what the checkpoint names, if there is one, which has to be trusted."""
        self._is_genuine = is_genuine
        self._whole = whole
        self._from_the_start = whole and since is None
        self._walks = {name: _Walk() for name in ChainName}
        self._days = DroppedDays()
        self._receipts: dict[int, str] = {}  # of a part: hashes by number
        self._receipts_on_record: dict[int, str] = {}  # of a part, as the audit trail says
        self._checkpoint: Checkpoint | None = since
        self.checkpoints = 0
        for name, walk in self._walks.items():
            if since is not None:
                head = since.heads[name]
                walk.next, walk.previous = head.number + 1, head.hash
                walk.tally.last = head.number
            elif not whole:
                walk.next = walk.previous = None

    @property
    def tallies(self) -> dict[ChainName, Tally]:
        """What was checked so far."""
        return {name: walk.tally for name, walk in self._walks.items()}

    def checkpoint(self, found: Checkpoint) -> Iterator[Flaw]:
        """Check the next checkpoint, and remember what it names."""
        self.checkpoints += 1
        number, previous = found.number, None
        if self._checkpoint is not None:
            number, previous = self._checkpoint.number + 1, self._checkpoint.digest
        elif self._whole:
            number = 1
        elif found.number > 1:
            with suppress(ValueError):  # which is said below
                previous = found.previous
        why = check_checkpoint(found, number, previous)
        if why is not None:
            yield Flaw(what="checkpoint", number=found.number, why=why)
        self._checkpoint = found
        yield from self._believe(found, self._want)

    def known(self, kept: Checkpoint, found: Checkpoint | None) -> Iterator[Flaw]:
        """Check that the record still has a checkpoint that was kept elsewhere, and what it names.
        `found` is the one that the record has in its place."""
        if found is None:
            yield Flaw(what="checkpoint", number=kept.number, why="it is missing: you have it")
        elif found.body != kept.body:
            yield Flaw(what="checkpoint", number=kept.number, why="it is not the one you have")
        yield from self._believe(kept, self._want_if_it_comes)

    def _believe(
        self, found: Checkpoint, want: Callable[[ChainName, Head, int], Iterator[Flaw]]
    ) -> Iterator[Flaw]:
        """Remember what a checkpoint names, if it is genuine."""
        if not self._is_genuine(found):
            why = f"its signature is not by a key that is trusted here (key {found.key_id})"
            yield Flaw(what="checkpoint", number=found.number, why=why)
            return
        try:
            heads = found.heads
        except ValueError:
            return  # said above
        for name, head in heads.items():
            yield from want(name, head, found.number)

    def dropped(self, found: DroppedDay) -> None:
        """Take note that a day was dropped, maybe once more. Comes before its blocks."""
        self._days.add(found)

    def is_dropped(self, day: date, number: int) -> bool:
        """Say whether the block's rows were taken out by retention."""
        return self._days.has(day, number)

    def receipt(self, link: Link) -> Iterator[Flaw]:
        walk = self._walks[ChainName.RECEIPTS]
        number, previous = self._expected(walk, link.number, link.previous)
        broken = check_link(link, number, previous)
        if broken is not None:
            yield Flaw(what="receipt", number=broken.number, why=broken.why)
        walk.tally.rows += 1
        if not self._whole:
            self._receipts[link.number] = link.hash.hex()
        yield from self._pass(ChainName.RECEIPTS, Head(link.number, link.hash))

    def block(
        self,
        chain: ChainName,
        block: Block,
        rows: Iterable[tuple[bytes, RowName]],
        seqs: Sequence[int] = (),
    ) -> Iterator[Flaw]:
        """Check a block and all rows that are there of it. `chain` is STATEMENTS or AUDIT; an
        event that is missing is named by its number in `seqs`."""
        begun = self.begin_block(chain, block, seqs)
        for text, name in rows:
            begun.row(text, name)
        yield from self.end_block(begun)

    def begin_block(self, chain: ChainName, block: Block, seqs: Sequence[int] = ()) -> "BegunBlock":
        """The same in parts, for who does not have all rows at once."""
        return BegunBlock(chain, block, seqs)

    def end_block(self, begun: "BegunBlock") -> Iterator[Flaw]:
        walk, block = self._walks[begun.chain], begun.block
        number, previous = self._expected(walk, block.number, block.previous)
        fault = check_block(block, number, previous)
        if fault is not None:
            yield _flaw_of_block(begun.chain, fault)
        yield from begun.flaws()
        walk.tally.rows += len(begun.names)
        for event in begun.noted:
            self.on_record(event)
        yield from self._pass(begun.chain, Head(block.number, block.hash))

    def on_record(self, event: bytes) -> None:
        """Take note of an event, whether or not a block has it: of what it says of the rest."""
        if not any(mark in event for mark in _MARKS):
            return
        with suppress(ValueError, TypeError, AttributeError):  # it is none of ours, which is seen
            facts = json.loads(event)
            self._note(facts.get("kind"), facts.get("data"))

    def _note(self, kind: Any, data: Any) -> None:
        if kind == DAY_DROPPED:
            self._days.hear(
                str(data.get("day")), int(data.get("rows", 0)), int(data.get("through", 0))
            )
        elif kind == GRANT_ENDED and not self._whole:
            self._receipts_on_record[int(data.get("receipt", 0))] = str(data.get("hash"))

    def bare_block(
        self, chain: ChainName, block: Block, leaves_digest: bytes, day: date | None = None
    ) -> Iterator[Flaw]:
        """Check a block's place in its chain: its rows are gone, or are not to be seen here."""
        walk = self._walks[chain]
        number, previous = self._expected(walk, block.number, block.previous)
        if block.number == number and block.previous == previous:
            hashed = block_hash(number, block.rows, block.digest, leaves_digest, previous)
            if hashed != block.hash:
                yield _flaw_of_block(chain, Fault(number, f"block {number} was changed"))
        else:
            fault = check_block(block, number, previous)
            assert fault is not None
            yield _flaw_of_block(chain, fault)
        if day is not None and self.is_dropped(day, block.number):
            self._days.miss(day, block.rows)
            walk.tally.dropped_rows += block.rows
        elif self._whole:
            yield _flaw_of_block(chain, Fault(block.number, "its rows are missing"))
        yield from self._pass(chain, Head(block.number, block.hash))

    def partial_block(self, chain: ChainName, block: Block) -> Iterator[Flaw]:
        """Check a block's place and its leaves: only some of its rows are to be seen here."""
        number, previous = self._expected(self._walks[chain], block.number, block.previous)
        fault = check_block(block, number, previous)
        if fault is not None:
            yield _flaw_of_block(chain, fault)
        if self._whole:
            yield _flaw_of_block(chain, Fault(block.number, "some of its rows are missing"))
        yield from self._pass(chain, Head(block.number, block.hash))

    def finish(self) -> Iterator[Flaw]:
        """Say what should have come, and did not."""
        for name, walk in self._walks.items():
            walk.tally.unsigned += walk.run
            walk.run = 0
            if self._whole:
                for number, (_, checkpoint) in sorted(walk.wanted.items()):
                    why = f"it is missing: checkpoint {checkpoint} names it"
                    yield Flaw(what=_what(name), number=number, why=why)
        if self._from_the_start:
            yield from self._days.flaws()
        yield from self._check_named_receipts()

    def _check_named_receipts(self) -> Iterator[Flaw]:
        """Of a part: a receipt that the audit trail names needs no checkpoint of its own."""
        tally = self._walks[ChainName.RECEIPTS].tally
        for number, hashed in self._receipts.items():
            known = self._receipts_on_record.get(number)
            if known == hashed:
                tally.unsigned = max(0, tally.unsigned - 1)
            elif known is not None:
                why = "the audit trail knows another hash of it"
                yield Flaw(what="receipt", number=number, why=why)

    def _want(self, name: ChainName, head: Head, checkpoint: int) -> Iterator[Flaw]:
        walk = self._walks[name]
        if walk.next is not None and head.number < walk.next:
            # Nothing since the start, or since the checkpoint that this began with.
            if head.number == walk.next - 1 and head.hash == walk.previous:
                return
            why = f"it is not the {_what(name)} {head.number} that checkpoint {checkpoint} names"
            yield Flaw(what=_what(name), number=head.number, why=why)
            return
        known, by = walk.wanted.setdefault(head.number, (head.hash, checkpoint))
        if known != head.hash:
            why = f"checkpoints {by} and {checkpoint} name different ones"
            yield Flaw(what=_what(name), number=head.number, why=why)

    def _want_if_it_comes(self, name: ChainName, head: Head, checkpoint: int) -> Iterator[Flaw]:
        """The same, of a checkpoint that may be older than the one that this began with."""
        begins_at = self._walks[name].next
        if begins_at is None or head.number >= begins_at - 1:
            yield from self._want(name, head, checkpoint)

    def _expected(self, walk: _Walk, number: int, previous: bytes) -> tuple[int, bytes]:
        """Return the number and the hash before it that the link should have."""
        begins = walk.next is None or walk.previous is None
        if begins or (not self._whole and walk.next is not None and number > walk.next):
            walk.tally.unsigned += walk.run
            walk.run = 0
            return number, previous
        assert walk.next is not None
        assert walk.previous is not None
        return walk.next, walk.previous

    def _pass(self, name: ChainName, head: Head) -> Iterator[Flaw]:
        walk = self._walks[name]
        walk.tally.links += 1
        walk.tally.last = head.number
        walk.next, walk.previous = head.number + 1, head.hash
        walk.run += 1
        wanted = walk.wanted.pop(head.number, None)
        if wanted is None:
            return
        walk.run = 0
        if wanted[0] != head.hash:
            why = f"it is not the one that checkpoint {wanted[1]} names"
            yield Flaw(what=_what(name), number=head.number, why=why)


class BegunBlock:
    """A block whose rows are coming by."""

    def __init__(self, chain: ChainName, block: Block, seqs: Sequence[int]) -> None:
        self.chain = chain
        self.block = block
        self.names: list[RowName] = []
        self.noted: list[bytes] = []  # events that say something of the rest
        self._seqs = seqs
        self._check = RowsCheck(block)

    def row(self, text: bytes, name: RowName) -> None:
        """Take the next row, in canonical order."""
        self._check.feed(text)
        self.names.append(name)
        if name.kind == "event" and any(mark in text for mark in _MARKS):
            self.noted.append(text)

    def flaws(self) -> Iterator[Flaw]:
        for fault in self._check.faults():
            yield _flaw_of_row(self.chain, fault, self.names, self._seqs)


def _what(name: ChainName) -> str:
    return "receipt" if name is ChainName.RECEIPTS else f"{name.value} block"


def _flaw_of_block(chain: ChainName, fault: Fault) -> Flaw:
    return Flaw(what=_what(chain), number=fault.number, why=fault.why)


def _flaw_of_row(chain: ChainName, fault: Fault, names: list[RowName], seqs: Sequence[int]) -> Flaw:
    """Name the row, or the one before it where it is missing and has no number."""
    what, why, row = _what(chain), fault.why, None
    if why == MISSING and fault.position is not None and fault.position < len(seqs):
        row = RowName("event", None, seqs[fault.position])
    elif fault.found is not None and why == MISSING:
        why = f"{why}, after {named(names[fault.found - 1])}" if fault.found else why
    elif fault.found is not None:
        row = names[fault.found]
    place = None if why == PUT_IN else fault.position
    return Flaw(what=what, number=fault.number, place=place, row=row, why=why)
