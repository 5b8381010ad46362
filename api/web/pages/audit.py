"""/audit: the audit trail searched, the record checked, and taken along."""

from aiohttp import web
from yarl import URL

from api.input.queries import AuditQuery, ExportQuery
from api.keys import BROKER
from api.routes.audit import PATIENCE, find_events
from api.schemas.operating import VerificationView
from api.web.filters import Filters, read_filters, shown, turned, typed_into
from api.web.rendering import lead_to, page
from broker.service.exports import ExportFormat, What

routes = web.RouteTableDef()

_EVERYTHING = Filters(shown({}), AuditQuery(), {})
_TAKING_NOTHING = Filters(shown({}), ExportQuery(), {})


@routes.get("/audit")
async def search(request: web.Request) -> web.Response:
    return await _page(request, read_filters(request, AuditQuery), _TAKING_NOTHING)


@routes.get("/audit/verification")
async def verify(request: web.Request) -> web.Response:
    """Check the record now, as far as that goes while somebody waits."""
    report = await request.app[BROKER].verification.run(since=None, within=PATIENCE)
    return await page(request, "verification.html", report=VerificationView.of(report))


@routes.get("/audit/export")
async def export(request: web.Request) -> web.Response:
    """Lead to the export without the fields that were left empty. What does not fit is said beside
    its field."""
    taking = read_filters(request, ExportQuery)
    if taking.query is None:
        return await _page(request, _EVERYTHING, taking)
    asked = typed_into(request, ExportQuery.model_fields)
    return lead_to(str(URL("/v1/audit/export").with_query(asked)))


async def _page(
    request: web.Request, filters: Filters[AuditQuery], taking: Filters[ExportQuery]
) -> web.Response:
    found = await find_events(request, filters.query) if filters.query else None
    is_last = found is None or not found.next or bool(taking.errors)
    return await page(
        request,
        "audit.html",
        status=taking.status if taking.errors else filters.status,
        filters=filters,
        taking=taking,
        found=found.items if found else (),
        older=turned(request, after=found.next) if found and not is_last else None,
        whats=[each.value for each in What],
        formats=[each.value for each in ExportFormat],
    )
