"""Requests, page by page: what a person may see of those that they want."""

from dataclasses import dataclass

from broker.domain.person import Person
from broker.domain.request import AccessRequest
from broker.domain.request_list import Place, Sort, Wanted, place_of
from broker.ledger import request_lists
from broker.ledger.connection import Pool, searching
from broker.ledger.list_statements import Question
from broker.service.context import Context
from broker.service.visible import deciding_of, visible_to


@dataclass(frozen=True, slots=True)
class RequestPage:
    """Requests in their order, and where the next page begins, if there is one."""

    items: tuple[AccessRequest, ...]
    next: Place | None


async def ask(context: Context, person: Person, wanted: Wanted, sort: Sort) -> Question:
    """Return a question that any page may be fetched for. Asks who is on call, so never inside a
    transaction."""
    visible = await visible_to(context, person)
    return Question(
        visible=visible,
        wanted=wanted,
        sort=sort,
        deciding=deciding_of(context, visible),
        now=context.now(),
    )


async def fetch_page(
    ledger: Pool, question: Question, after: Place | None, limit: int
) -> RequestPage:
    async with searching(ledger) as db:
        found = await request_lists.fetch_page(db, question, after, limit + 1)
    items = tuple(found[:limit])
    more = len(found) > limit
    return RequestPage(items, place_of(items[-1], question.sort) if more else None)
