"""Checks that the record is what was written: every chain, every row, every checkpoint.

It reads on, page by page, in short transactions, and keeps nothing of what it has checked. No day
is dropped meanwhile. Hashing is done in a thread, so that whoever is served beside it goes on.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from broker.domain.errors import Conflict, Invalid
from broker.domain.events import GrantEnded
from broker.domain.statement.checking import BegunBlock, Checker, Tally
from broker.domain.statement.checkpoint import ChainName, Checkpoint, IsGenuine
from broker.domain.statement.flaw import Flaw, RowName
from broker.ledger import audit, audit_blocks, checkpoints, statement_days, verification
from broker.ledger.audit_blocks import AuditBlock
from broker.ledger.connection import Db, autocommit
from broker.ledger.verification import FoundRow, KeptReceipt, StatementBlock
from broker.service.context import Context

_PAGE = 200  # blocks, whose leaves come with them
_BATCH = 20_000  # rows that the ledger puts in order at once
_EVENTS = 1000  # that are read at once
_OVERDUE = timedelta(minutes=1)  # an event that no block has by then was put in, or nobody seals
_LISTED = 1000  # flaws that are listed; all are counted

Blocks = TypeVar("Blocks", StatementBlock, AuditBlock)


class VerificationRunning(Conflict):
    code = "verification-running"

    def __init__(self) -> None:
        super().__init__("the record is being checked already; ask again when that is done")


@dataclass(slots=True)
class Report:
    """What a check found. `flaws` are the first; `found` is how many there are. It is `finished`
    unless its time was over."""

    tallies: dict[ChainName, Tally] = field(default_factory=dict)
    checkpoints: int = 0
    newest_checkpoint: Checkpoint | None = None
    unsealed_events: int = 0
    dropped_days: int = 0
    flaws: list[Flaw] = field(default_factory=list)
    found: int = 0
    finished: bool = False

    def add(self, flaws: Iterable[Flaw]) -> None:
        for flaw in flaws:
            self.found += 1
            if len(self.flaws) < _LISTED:
                self.flaws.append(flaw)


class Verification:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._running = False

    async def run(
        self,
        *,
        since: int | None = None,
        known: Sequence[Checkpoint] = (),
        within: timedelta | None = None,
    ) -> Report:
        """Check the record, after what checkpoint `since` names if it is given. `known` are
        checkpoints that were kept elsewhere.

        Raises VerificationRunning if one runs in this process, and Invalid for a checkpoint that
        cannot be begun with.
        """
        if self._running:
            raise VerificationRunning
        self._running = True
        report = Report()
        try:
            async with asyncio.timeout(within.total_seconds() if within is not None else None):
                await self._run(report, since, known)
            report.finished = True
        except TimeoutError:
            pass  # what was found until now is true all the same
        finally:
            self._running = False
        return report

    async def _run(self, report: Report, since: int | None, known: Sequence[Checkpoint]) -> None:
        is_genuine = self._context.record.signing.is_genuine
        async with autocommit(self._context.ledger) as db, statement_days.keeping(db):
            start = await _trusted(db, since, is_genuine)
            checker = Checker(is_genuine, whole=True, since=start)
            report.tallies = checker.tallies
            report.newest_checkpoint = start
            await self._check_checkpoints(db, checker, report, start)
            for each in known:
                report.add(checker.known(each, await checkpoints.fetch(db, each.number)))
            for day in await statement_days.fetch_dropped(db):
                checker.dropped(day)
                report.dropped_days += 1
            await self._check_receipts(db, checker, report)
            await self._check_statements(db, checker, report)
            await self._check_trail(db, checker, report)
            report.add(checker.finish())

    async def _check_checkpoints(
        self, db: Db, checker: Checker, report: Report, start: Checkpoint | None
    ) -> None:
        after = start.number if start is not None else 0
        while page := await checkpoints.fetch_page(db, after, _PAGE):
            for each in page:
                report.add(checker.checkpoint(each))
                report.checkpoints += 1
            after, report.newest_checkpoint = page[-1].number, page[-1]

    async def _check_receipts(self, db: Db, checker: Checker, report: Report) -> None:
        last, last_hash = checker.tallies[ChainName.RECEIPTS].last, None
        async with db.transaction(isolation="repeatable_read"):  # with the trail of that moment
            while page := await verification.fetch_receipts(db, last, _PAGE):
                for each in page:
                    report.add(checker.receipt(each.link))
                    if _is_misfiled(each):
                        why = "it is kept for another grant, or as proved otherwise, than it says"
                        report.add([Flaw(what="receipt", number=each.link.number, why=why)])
                last, last_hash = page[-1].link.number, page[-1].link.hash
            newest = await audit.fetch_newest(db, GrantEnded.kind)
        # The trail knows the newest, too: so none can be cut off the end, or made anew there.
        if newest is None:
            return
        if newest["receipt"] != last:
            why = f"the trail knows a receipt {newest['receipt']}, and that is the newest"
            report.add([Flaw(what="receipt", number=last + 1, why=why)])
        elif last_hash is not None and newest["hash"] != last_hash.hex():
            why = "it is not the one that the audit trail knows"
            report.add([Flaw(what="receipt", number=last, why=why)])

    async def _check_statements(self, db: Db, checker: Checker, report: Report) -> None:
        after = checker.tallies[ChainName.STATEMENTS].last
        while page := await verification.fetch_blocks(db, after, _PAGE):
            for batch in _batches(page, _BATCH):
                await self._check_batch(db, checker, report, batch)
            after = page[-1].block.number
        async with db.transaction():
            async for stray in verification.read_strays(db):
                why = f"block {stray.block} does not have this row: it was put in, or moved"
                report.add([Flaw(what="statements", row=stray.name, why=why)])

    async def _check_batch(
        self, db: Db, checker: Checker, report: Report, blocks: Sequence[StatementBlock]
    ) -> None:
        kept = [each for each in blocks if not checker.is_dropped(each.day, each.block.number)]
        async with db.transaction():
            found = _Found(verification.read_rows(db, kept)) if kept else None
            for each in blocks:
                block, day = each.block, each.day
                if checker.is_dropped(day, block.number):
                    leaves = block.leaves_digest
                    flaws = checker.bare_block(ChainName.STATEMENTS, block, leaves, day)
                else:
                    assert found is not None
                    begun = checker.begin_block(ChainName.STATEMENTS, block)
                    async for rows in found.of(block.number):
                        await asyncio.to_thread(_feed, begun, rows)
                    flaws = checker.end_block(begun)
                report.add(flaws)

    async def _check_trail(self, db: Db, checker: Checker, report: Report) -> None:
        after = checker.tallies[ChainName.AUDIT].last
        newest: int | None = None if after else 0
        while page := await audit_blocks.fetch_page(db, after, _PAGE):
            for batch in _batches(page, _EVENTS):
                texts = await verification.fetch_events(db, batch)
                report.add(await asyncio.to_thread(_check_events, checker, batch, texts))
            for each in page:
                newest = each.newest if newest is None else max([newest, *each.seqs])
                if each.newest != newest:
                    why = "it says that its newest event is another than it is"
                    report.add([Flaw(what="audit block", number=each.block.number, why=why)])
            after = page[-1].block.number
        before = self._context.now() - _OVERDUE
        async with db.transaction():
            async for event in verification.read_unsealed(db, before):
                checker.on_record(event.text)
                report.unsealed_events += 1
                if event.overdue:
                    why = "no block has this event: it was put in, or nobody seals the trail"
                    report.add([Flaw(what="audit trail", row=event.name, why=why)])


class _Found:
    """Rows in the order of their blocks, which come some at a time."""

    def __init__(self, pages: AsyncIterator[list[FoundRow]]) -> None:
        self._pages = pages
        self._waiting: list[FoundRow] = []

    async def of(self, number: int) -> AsyncIterator[list[FoundRow]]:
        """Yield the rows of this block, some at a time. Blocks have to be asked for in order."""
        while True:
            if not self._waiting:
                self._waiting = await anext(self._pages, [])
            come = [row for row in self._waiting if row.block <= number]
            if not come:
                return
            self._waiting = self._waiting[len(come) :]
            # Those of numbers in between are of no block: they are found as such.
            yield [row for row in come if row.block == number]


def _is_misfiled(kept: KeptReceipt) -> bool:
    try:
        facts = json.loads(kept.link.body)
        return (kept.grant_id, kept.proved) != (facts["grant"], facts["proved"])
    except (ValueError, TypeError, KeyError):
        return True


async def _trusted(db: Db, since: int | None, is_genuine: IsGenuine) -> Checkpoint | None:
    """Return the checkpoint to begin with."""
    if since is None:
        return None
    found = await checkpoints.fetch(db, since)
    if found is None:
        raise Invalid(f"there is no checkpoint {since} to begin with")
    try:
        genuine = is_genuine(found) and bool(found.heads)
    except ValueError:
        genuine = False
    if not genuine:
        raise Invalid(f"checkpoint {since} is not signed by us: begin with another, or with none")
    return found


def _feed(begun: BegunBlock, rows: Sequence[FoundRow]) -> None:
    for row in rows:
        begun.row(row.text(), row.name)


def _check_events(
    checker: Checker, blocks: Sequence[AuditBlock], texts: dict[int, bytes]
) -> list[Flaw]:
    flaws: list[Flaw] = []
    for each in blocks:
        rows = [(texts[seq], RowName("event", None, seq)) for seq in each.seqs if seq in texts]
        flaws += checker.block(ChainName.AUDIT, each.block, rows, each.seqs)
    return flaws


def _batches(page: Sequence[Blocks], most: int) -> list[Sequence[Blocks]]:
    """Split blocks so that each part has at most so many rows, or is a single one."""
    parts: list[Sequence[Blocks]] = []
    start = rows = 0
    for place, each in enumerate(page):
        if rows and rows + each.block.rows > most:
            parts.append(page[start:place])
            start, rows = place, 0
        rows += each.block.rows
    parts.append(page[start:])
    return parts
