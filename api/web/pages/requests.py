"""/requests: all requests that somebody may see, for ever: filtered, searched, sorted, in pages."""

from dataclasses import dataclass

from aiohttp import web
from yarl import URL

from api.input.queries import RequestsFilter, RequestsQuery
from api.keys import ACTOR, BROKER
from api.problems import faults_in
from api.web.filters import Filters, read_filters, turned, typed_into
from api.web.rendering import page
from broker.domain.errors import Invalid
from broker.domain.request import RequestState
from broker.domain.request_list import Sort, decode_place, encode_place
from broker.service.request_pages import RequestPage

routes = web.RouteTableDef()

_NAMES, _NAMES_BACKWARDS = "A to Z", "Z to A"
# Its heading, and the orders that it leads to: first this one, then back and forth.
_COLUMNS = (
    ("Asked", (Sort.NEWEST, "newest first"), (Sort.OLDEST, "oldest first")),
    ("Who", (Sort.PERSON, _NAMES), (Sort.PERSON_BACKWARDS, _NAMES_BACKWARDS)),
    ("Role", (Sort.ROLE, _NAMES), (Sort.ROLE_BACKWARDS, _NAMES_BACKWARDS)),
    ("Target", (Sort.TARGET, _NAMES), (Sort.TARGET_BACKWARDS, _NAMES_BACKWARDS)),
    ("For", (Sort.DURATION, "shortest first"), (Sort.DURATION_BACKWARDS, "longest first")),
    ("State", (Sort.STATE, _NAMES), (Sort.STATE_BACKWARDS, _NAMES_BACKWARDS)),
    ("Closed", (Sort.CLOSED_BACKWARDS, "latest first"), (Sort.CLOSED, "earliest first")),
)
_ORDERS = [
    (order.value, f"{name}, {words}") for name, *orders in _COLUMNS for order, words in orders
]
_DOWN = {Sort.NEWEST, Sort.CLOSED_BACKWARDS}  # what is latest comes first


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; `href` sorts by it, and the other way round where that is so already. `sorted_as`
    is what a screen reader says: ascending, descending or nothing."""

    name: str
    href: str
    sorted_as: str | None


@routes.get("/requests")
async def list_requests(request: web.Request) -> web.Response:
    filters = read_filters(request, RequestsQuery)
    found: RequestPage | None = None
    try:
        found = await _find(request, filters.query) if filters.query is not None else None
    except Invalid as error:
        filters = Filters(filters.typed, None, _errors(error))
    sort = filters.query.sort if filters.query is not None else Sort.NEWEST
    return await page(
        request,
        "requests.html",
        status=filters.status,
        filters=filters,
        states=[each.value for each in RequestState],
        orders=_ORDERS,
        columns=[
            _column(request, sort, name, usual, otherwise)
            for name, (usual, _), (otherwise, _) in _COLUMNS
        ],
        found=found.items if found is not None else (),
        is_first="after" not in filters.typed,
        older=turned(request, after=encode_place(found.next)) if found and found.next else None,
        as_tsv=_tsv(request),
    )


async def _find(request: web.Request, query: RequestsQuery) -> RequestPage:
    after = decode_place(query.after, query.sort) if query.after is not None else None
    return await request.app[BROKER].requests.list(
        request[ACTOR], query.wanted(), sort=query.sort, after=after, limit=query.limit
    )


def _errors(error: Invalid) -> dict[str, str]:
    return {each.field: each.message for each in faults_in(error)} or {"q": str(error)}


def _tsv(request: web.Request) -> str:
    """Return where all of what the filters say is to be had as a table."""
    asked = typed_into(request, RequestsFilter.model_fields)
    return str(URL("/v1/requests.tsv").with_query(asked))


def _column(request: web.Request, sort: Sort, name: str, usual: Sort, otherwise: Sort) -> Column:
    leads_to = otherwise if sort is usual else usual
    direction = {usual: usual in _DOWN, otherwise: usual not in _DOWN}.get(sort)
    return Column(
        name,
        turned(request, sort=leads_to, after=None),
        None if direction is None else "descending" if direction else "ascending",
    )
