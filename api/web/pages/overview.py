"""/: what needs attention, and how much there is and was of everything."""

from collections.abc import Iterator

from aiohttp import web
from markupsafe import Markup

from api.input.queries import OverviewQuery
from api.keys import ACTOR, BROKER
from api.schemas.overview import OverviewView
from api.web.filters import read_filters
from api.web.plots import Series, Times, area, bars, lines
from api.web.rendering import page
from broker.domain.request import RequestState

routes = web.RouteTableDef()

SPANS = ((7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "a year"))
# From the axis up.
_OUTCOMES = (
    ("approved", "approved", (RequestState.APPROVED,)),
    ("denied", "denied", (RequestState.DENIED,)),
    ("withdrawn or lapsed", "other", (RequestState.CANCELLED, RequestState.LAPSED)),
    ("pending", "pending", (RequestState.PENDING,)),
)


@routes.get("/")
async def home(request: web.Request) -> web.Response:
    filters = read_filters(request, OverviewQuery)
    query = filters.query or OverviewQuery()
    overview = await request.app[BROKER].overview.of(request[ACTOR], query.days)
    view = OverviewView.of(overview)
    return await page(
        request,
        "overview.html",
        status=filters.status,
        errors=filters.errors,
        overview=view,
        days=query.days,
        spans=SPANS,
        plots=tuple(_plots(view)),
    )


def _plots(view: OverviewView) -> Iterator[Markup]:
    times = Times([each.start for each in view.buckets], view.step)
    requests = [
        Series(
            name, style, [sum(each.requests[state] for state in states) for each in view.buckets]
        )
        for name, style, states in _OUTCOMES
    ]
    yield bars("Requests", times, requests)
    waits = [
        Series("half within", "median", [each.waits.median_s for each in view.buckets]),
        Series("9 of 10 within", "ninth", [each.waits.p90_s for each in view.buckets]),
    ]
    yield lines("Time to approve", times, waits, note="where people had to agree")
    lived = Series("grants", "lived", [each.grants for each in view.buckets])
    yield area("Active grants", times, lived, note="that lived at some time of it")
    if view.of_everybody:
        counts = [each.statements for each in view.buckets]
        yield bars("Statements on record", times, [Series("statements", "statements", counts)])
