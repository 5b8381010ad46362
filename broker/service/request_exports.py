"""Taking requests along, as a table: all that somebody wants of those that they may see.

They are read page by page and given on row by row: nothing here grows with their number, and no
transaction in the ledger waits for who reads slowly. What was taken is on record before the first
row goes out.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator

from broker.domain.events import RecordRead
from broker.domain.person import Person
from broker.domain.request import Decision
from broker.domain.request_list import Place, Sort, Wanted, described
from broker.domain.request_table import REQUEST_COLUMNS, request_facts
from broker.domain.statement.columns import TableFormat, table_header, table_lines
from broker.ledger import audit, grants, requests
from broker.ledger.connection import reading, transaction
from broker.ledger.list_statements import Question
from broker.service.context import Context
from broker.service.request_pages import RequestPage, ask, fetch_page

_AT_ONCE = 500


class RequestExports:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def begin(self, person: Person, wanted: Wanted, sort: Sort) -> AsyncGenerator[str, None]:
        """Return the table in pieces of several lines, once it is on record who takes what."""
        question = await ask(self._context, person, wanted, sort)
        event = RecordRead(how="export", what="requests", only=described(wanted))
        async with transaction(self._context.ledger) as db:
            await audit.append(db, event, actor=person.email, now=self._context.now())
        return self._table(question)

    async def _table(self, question: Question) -> AsyncGenerator[str, None]:
        yield table_header(TableFormat.TSV, REQUEST_COLUMNS)
        after: Place | None = None
        while True:
            page = await fetch_page(self._context.ledger, question, after, _AT_ONCE)
            yield await self._lines(page)
            if page.next is None:
                return
            after = page.next

    async def _lines(self, page: RequestPage) -> str:
        decided: defaultdict[str, list[Decision]] = defaultdict(list)
        async with reading(self._context.ledger) as db:
            for each in await requests.fetch_decisions_about(db, [each.id for each in page.items]):
                decided[each.request_id].append(each)
            given = await grants.fetch_each(db, [each.grant_id for each in page.items])
        rows = (
            request_facts(each, decided[each.id], given.get(each.grant_id or ""))
            for each in page.items
        )
        return table_lines(TableFormat.TSV, REQUEST_COLUMNS, rows)
