"""Taking the record along: as JSON lines that prove themselves, or as a table.

Whatever the size, it is read page by page and given on line by line: nothing here grows with it,
and nothing waits in the ledger for who reads slowly. Everything is in the order of the chains. What
was taken is on record itself before the first line of it goes out.
"""

from array import array
from bisect import bisect_left
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from enum import StrEnum
from typing import Any, TypeVar

from broker.domain.errors import Invalid
from broker.domain.events import RecordRead
from broker.domain.person import Person
from broker.domain.statement.audit_row import canonical_event
from broker.domain.statement.chain import Block
from broker.domain.statement.checkpoint import ChainName, Checkpoint
from broker.domain.statement.columns import (
    EVENT_COLUMNS,
    RECEIPT_COLUMNS,
    STATEMENT_COLUMNS,
    TableFormat,
    table_header,
    table_lines,
)
from broker.domain.statement.export import (
    block_line,
    checkpoint_line,
    dropped_line,
    end_line,
    header_line,
    link_line,
    partial_block_line,
    receipt_line,
)
from broker.domain.statement.statement import Statement, canonical_row, row_facts, timestamp
from broker.ledger import audit, checkpoints, record, statements
from broker.ledger.audit import AuditRow
from broker.ledger.connection import Db, reading, transaction
from broker.ledger.record import (
    AuditBlock,
    ReceiptRow,
    SealedEvent,
    SealedRow,
    Span,
    StatementBlock,
)
from broker.ledger.statements import StatementFilter, Told
from broker.service.context import Context

_BLOCKS_AT_ONCE = 100
# Of one page, unless a single block has more; and of how many blocks, as what one has is bounded in
# bytes when it is sealed.
_ROWS_AT_ONCE = 2_000
_SEALED_AT_ONCE = 4
_LINKS_AT_ONCE = 500
_EVENTS_AT_ONCE = 500

EVERYTHING = StatementFilter()


class What(StrEnum):
    STATEMENTS = "statements"
    EVENTS = "events"
    RECEIPTS = "receipts"
    ALL = "all"


class ExportFormat(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants to take along."""

    what: What
    layout: ExportFormat
    wanted: StatementFilter = EVERYTHING


class Exports:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def begin(self, wish: Wish, person: Person) -> AsyncGenerator[str, None]:
        """Return the lines, each with its end, once it is on record who takes what.

        Raises Invalid for a table of everything, which would have no columns.
        """
        if wish.layout is not ExportFormat.JSONL and wish.what is What.ALL:
            raise Invalid(f"{wish.layout} is one table: say what of, such as what=statements")
        now = self._context.now()
        event = RecordRead(how="export", what=wish.what, only=described(wish.wanted))
        async with transaction(self._context.ledger) as db:
            await audit.append(db, event, actor=person.email, now=now)
        if wish.layout is ExportFormat.JSONL:
            return self.json_lines(wish.what, wish.wanted)
        return self.table(wish.layout, wish.what, wish.wanted)

    async def json_lines(self, what: What, wanted: StatementFilter) -> AsyncGenerator[str, None]:
        """Yield the lines of broker.domain.statement.export."""
        reader = _Reader(self._context, what, wanted)
        lines = 0
        async for line in reader.lines():
            lines += 1
            yield f"{line}\n"
        yield f"{end_line(lines)}\n"

    async def table(
        self, layout: ExportFormat, what: What, wanted: StatementFilter
    ) -> AsyncGenerator[str, None]:
        """Yield the lines of broker.domain.statement.columns, in pieces of several."""
        kind = TableFormat(layout)
        match what:
            case What.STATEMENTS:
                columns, pages = STATEMENT_COLUMNS, self._statements(wanted)
            case What.EVENTS:
                columns, pages = EVENT_COLUMNS, self._events(wanted)
            case _:
                columns, pages = RECEIPT_COLUMNS, self._receipts(wanted)
        yield table_header(kind, columns)
        async for page in pages:
            yield table_lines(kind, columns, page)

    async def _statements(
        self, wanted: StatementFilter
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        ledger = self._context.ledger
        async with reading(ledger) as db:
            days = await statements.fetch_days(db, wanted, now=self._context.now())
            until = (await record.fetch_heads(db)).statements
        after = 0
        while True:
            async with reading(ledger) as db:
                span = Span(after, until, _BLOCKS_AT_ONCE)
                blocks = await record.fetch_statement_blocks(db, span, wanted, days)
            if not blocks:
                return
            for some in _in_groups(blocks):
                first, last = some[0].block.number, some[-1].block.number
                of = sorted({each.day for each in some})
                async with reading(ledger) as db:
                    page = await statements.fetch_of_blocks(db, of, first, last, wanted)
                yield [_statement_facts(each) for each in page]
            after = blocks[-1].block.number

    async def _events(self, wanted: StatementFilter) -> AsyncGenerator[list[dict[str, Any]], None]:
        after = 0
        while True:
            async with reading(self._context.ledger) as db:
                page = await record.fetch_events(db, wanted, after=after, limit=_EVENTS_AT_ONCE)
            if not page:
                return
            yield [_event_facts(each) for each in page]
            after = page[-1].seq

    async def _receipts(
        self, wanted: StatementFilter
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        after = 0
        while True:
            async with reading(self._context.ledger) as db:
                page = await record.fetch_receipts(db, wanted, after=after, limit=_EVENTS_AT_ONCE)
            if not page:
                return
            yield [_receipt_facts(each) for each in page]
            after = page[-1].link.number


def described(wanted: StatementFilter) -> tuple[str, ...]:
    """Say for the audit trail which part is wanted; nothing means all."""
    given = {each.name: getattr(wanted, each.name) for each in fields(wanted)}
    return tuple(
        f"{name}={timestamp(value) if isinstance(value, datetime) else value}"
        for name, value in given.items()
        if value is not None
    )


class _Covers:
    """For the blocks of one chain, the blocks that signed checkpoints name."""

    def __init__(self) -> None:
        self._heads = array("q")

    def add(self, head: int) -> None:
        self._heads.append(head)

    def of(self, number: int) -> int:
        """Return the first signed block from this one on; itself if none is."""
        place = bisect_left(self._heads, number)
        return self._heads[place] if place < len(self._heads) else number


class _Reader:
    """Makes the JSON lines of one export, the one that ends it excepted."""

    def __init__(self, context: Context, what: What, wanted: StatementFilter) -> None:
        self._context = context
        self._ledger = context.ledger
        self._what = what
        self._wanted = wanted
        self._is_part = wanted != EVERYTHING
        self._days: list[date] = []
        self._covers = {name: _Covers() for name in ChainName}
        self._through: dict[date, int] = {}

    async def lines(self) -> AsyncGenerator[str, None]:
        now = self._context.now()
        of = {"what": self._what.value, "only": list(described(self._wanted))}
        whole = self._what is What.ALL and not self._is_part
        yield header_line(timestamp(now), whole=whole, of=of)
        async for line in self._checkpoints(now):
            yield line
        async for line in self._dropped():
            yield line
        if self._what in (What.RECEIPTS, What.ALL):
            async for line in self._receipts():
                yield line
        if self._what in (What.STATEMENTS, What.ALL):
            async for line in self._statements():
                yield line
        # Last: then it knows of whatever retention dropped meanwhile.
        if self._what in (What.EVENTS, What.ALL):
            async for line in self._events():
                yield line

    async def _checkpoints(self, now: datetime) -> AsyncGenerator[str, None]:
        """Of a part, those from the last before it until one covers all of it."""
        async with reading(self._ledger) as db:
            self._days = await statements.fetch_days(db, self._wanted, now=now)
            after = await self._checkpoint_before(db)
        needed = await self._needed() if self._is_part else None
        while True:
            async with reading(self._ledger) as db:
                page = await checkpoints.fetch_page(db, after, _LINKS_AT_ONCE)
            for each in page:
                for name, head in each.heads.items():
                    self._covers[name].add(head.number)
                yield checkpoint_line(each)
                if needed is not None and _covers_all(each, needed):
                    return
            if not page:
                return
            after = page[-1].number

    async def _checkpoint_before(self, db: Db) -> int:
        if not self._is_part:
            return 0
        begins = [self._wanted.since] if self._wanted.since is not None else []
        if self._wanted.grant_id is not None or self._wanted.session_id is not None:
            first = await record.fetch_beginning(db, self._wanted)
            begins += [first] if first is not None else []
        return await record.fetch_checkpoint_before(db, max(begins)) if begins else 0

    async def _needed(self) -> dict[ChainName, int]:
        """Return the newest block of each chain that a part may have."""
        needed = dict.fromkeys(ChainName, 0)
        if self._what in (What.STATEMENTS, What.ALL):
            async for blocks in self._statement_blocks():
                needed[ChainName.STATEMENTS] = blocks[-1].block.number
        if self._what in (What.EVENTS, What.ALL):
            async for found in self._audit_blocks():
                needed[ChainName.AUDIT] = found[-1].block.number
        return needed

    async def _dropped(self) -> AsyncGenerator[str, None]:
        async with reading(self._ledger) as db:
            found = await record.fetch_dropped(db)
        for each in found:
            if self._is_part and each.day not in self._days:
                continue
            self._through[each.day] = max(each.through, self._through.get(each.day, 0))
            yield dropped_line(each)

    async def _receipts(self) -> AsyncGenerator[str, None]:
        after = 0
        while True:
            async with reading(self._ledger) as db:
                page = await record.fetch_receipts(
                    db, self._wanted, after=after, limit=_EVENTS_AT_ONCE
                )
            for each in page:
                yield receipt_line(each.link)
            if not page:
                return
            after = page[-1].link.number

    async def _statements(self) -> AsyncGenerator[str, None]:
        position = 0
        async for blocks in self._statement_blocks():
            for some in _in_groups(blocks):
                async with reading(self._ledger) as db:
                    rows = await record.fetch_rows(db, some)
                found = _by_block((each.block, each) for each in rows if self._fits_row(each))
                for block in some:
                    number = block.block.number
                    mine = [canonical_row(each.row) for each in found.get(number, ())]
                    if not mine and self._is_part:
                        continue
                    async for line in self._links(ChainName.STATEMENTS, position, number):
                        yield line
                    position = number
                    for line in self._block_of_statements(block, mine):
                        yield line
        async for line in self._links(ChainName.STATEMENTS, position, None):
            yield line

    def _block_of_statements(self, found: StatementBlock, rows: list[str]) -> Iterable[str]:
        block, day = found.block, found.day
        if not rows and block.number <= self._through.get(day, 0):
            return [link_line(ChainName.STATEMENTS, block, day=day)]
        if not self._is_part or len(rows) == block.rows:
            return [block_line(ChainName.STATEMENTS, block, day=day), *rows]
        return [
            partial_block_line(
                ChainName.STATEMENTS, block, (each.encode() for each in rows), day=day
            ),
            *rows,
        ]

    async def _events(self) -> AsyncGenerator[str, None]:
        position = 0
        async for blocks in self._audit_blocks():
            for some in _in_groups(blocks):
                async with reading(self._ledger) as db:
                    events = await record.fetch_sealed_events(db, some)
                found = _by_block((each.block, each) for each in events if self._fits_event(each))
                for block in some:
                    number = block.block.number
                    mine = [canonical_audit_row(each.event) for each in found.get(number, ())]
                    if not mine and self._is_part:
                        continue
                    async for line in self._links(ChainName.AUDIT, position, number):
                        yield line
                    position = number
                    for line in self._block_of_events(block, mine):
                        yield line
        async for line in self._links(ChainName.AUDIT, position, None):
            yield line

    def _block_of_events(self, found: AuditBlock, rows: list[str]) -> Iterable[str]:
        if not self._is_part or len(rows) == found.block.rows:
            return [block_line(ChainName.AUDIT, found.block, seqs=found.seqs), *rows]
        return [
            partial_block_line(ChainName.AUDIT, found.block, (each.encode() for each in rows)),
            *rows,
        ]

    async def _statement_blocks(self) -> AsyncGenerator[list[StatementBlock], None]:
        """Yield the blocks that may have something for us, some at a time. All, if we take all:
        even those of days that were dropped."""
        days = self._days if self._is_part else None
        async with reading(self._ledger) as db:
            until = (await record.fetch_heads(db)).statements
        after = 0
        while True:
            async with reading(self._ledger) as db:
                span = Span(after, until, _BLOCKS_AT_ONCE)
                blocks = await record.fetch_statement_blocks(db, span, self._wanted, days)
            if not blocks:
                return
            yield blocks
            after = blocks[-1].block.number

    async def _audit_blocks(self) -> AsyncGenerator[list[AuditBlock], None]:
        async with reading(self._ledger) as db:
            until = (await record.fetch_heads(db)).events
        after = 0
        while True:
            async with reading(self._ledger) as db:
                span = Span(after, until, _BLOCKS_AT_ONCE)
                blocks = await record.fetch_audit_blocks(db, span, self._wanted)
            if not blocks:
                return
            yield blocks
            after = blocks[-1].block.number

    async def _links(
        self, chain: ChainName, after: int, before: int | None
    ) -> AsyncGenerator[str, None]:
        """Yield what leads from a block of ours to the next one that is signed, as far as that is
        not before the next one of ours."""
        if not self._is_part or after == 0:
            return
        until = self._covers[chain].of(after)
        if before is not None:
            until = min(until, before - 1)
        while after < until:
            async with reading(self._ledger) as db:
                blocks = await _fetch_links(db, chain, Span(after, until, _LINKS_AT_ONCE))
            if not blocks:
                return
            for block, day in blocks:
                yield link_line(chain, block, day=day)
            after = blocks[-1][0].number

    def _fits_row(self, sealed: SealedRow) -> bool:
        row = sealed.row
        if isinstance(row, Statement):
            at_the_time = within(row.started_at, self._wanted)
        else:
            # When it began its statement says, which is there if it fits; its day says enough.
            at_the_time = not self._is_part or row.day in self._days
        return at_the_time and matches_row(self._wanted, sealed)

    def _fits_event(self, sealed: SealedEvent) -> bool:
        return within(sealed.event.at, self._wanted) and matches_event(self._wanted, sealed)


def canonical_audit_row(event: AuditRow) -> str:
    return canonical_event(
        seq=event.seq,
        at=event.at,
        actor=event.actor,
        kind=event.kind,
        request_id=event.request_id,
        grant_id=event.grant_id,
        session_id=event.session_id,
        data=event.data,
    )


async def _fetch_links(db: Db, chain: ChainName, span: Span) -> Sequence[tuple[Block, date | None]]:
    if chain is ChainName.STATEMENTS:
        found = await record.fetch_statement_blocks(db, span, EVERYTHING)
        return [(each.block, each.day) for each in found]
    return [(each.block, None) for each in await record.fetch_audit_blocks(db, span, EVERYTHING)]


def _covers_all(found: Checkpoint, needed: dict[ChainName, int]) -> bool:
    return all(found.heads[name].number >= number for name, number in needed.items())


BlockType = TypeVar("BlockType", StatementBlock, AuditBlock)


def _in_groups(blocks: Sequence[BlockType]) -> list[list[BlockType]]:
    """Split blocks where a page would get too long, or where their numbers have a gap."""
    groups: list[list[BlockType]] = []
    rows = 0
    for each in blocks:
        follows = bool(groups) and groups[-1][-1].block.number + 1 == each.block.number
        rows += each.block.rows
        if follows and rows <= _ROWS_AT_ONCE and len(groups[-1]) < _SEALED_AT_ONCE:
            groups[-1].append(each)
        else:
            groups.append([each])
            rows = each.block.rows
    return groups


RowType = TypeVar("RowType")


def _by_block(rows: Iterable[tuple[int, RowType]]) -> dict[int, list[RowType]]:
    found: dict[int, list[RowType]] = {}
    for block, row in rows:
        found.setdefault(block, []).append(row)
    return found


def within(at: datetime, wanted: StatementFilter) -> bool:
    return (wanted.since is None or at >= wanted.since) and (
        wanted.until is None or at < wanted.until
    )


def matches_row(wanted: StatementFilter, sealed: SealedRow) -> bool:
    """Say whether the row is of what is wanted, whenever it was."""
    return (
        wanted.session_id in (None, sealed.row.session_id)
        and wanted.grant_id in (None, sealed.grant_id)
        and wanted.person in (None, sealed.person)
        and wanted.target in (None, sealed.target)
    )


def matches_event(wanted: StatementFilter, sealed: SealedEvent) -> bool:
    """Say whether the event is of what is wanted, whenever it was. A person's are what they did,
    and what was done to requests and grants of theirs."""
    event = sealed.event
    people = (event.actor, sealed.person, event.data.get("person"))
    return (
        wanted.session_id in (None, event.session_id)
        and wanted.grant_id in (None, sealed.of_grant)
        and (wanted.person is None or wanted.person in people)
        and wanted.target in (None, sealed.target)
    )


def _statement_facts(told: Told) -> dict[str, Any]:
    return {
        **row_facts(told.statement),
        "grant": told.grant_id,
        "person": told.person,
        "target": told.target,
        "database": told.database,
        "role": told.role,
    }


def _event_facts(event: AuditRow) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "at": timestamp(event.at),
        "actor": event.actor,
        "kind": event.kind,
        "request": event.request_id,
        "grant": event.grant_id,
        "session": event.session_id,
        "data": event.data,
    }


def _receipt_facts(row: ReceiptRow) -> dict[str, Any]:
    return {
        "number": row.link.number,
        "grant": row.grant_id,
        "made_at": timestamp(row.made_at),
        "proved": row.proved,
        "previous": row.link.previous.hex(),
        "hash": row.link.hash.hex(),
        "receipt": row.link.body,
    }
