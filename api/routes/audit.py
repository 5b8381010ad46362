"""/v1/audit: the audit trail, for those who look over everybody's shoulder."""

from datetime import timedelta

from aiohttp import web

from api.keys import BROKER
from api.operating_schemas import AuditEventView, VerificationView
from api.routes import (
    id_in_query,
    limit_of,
    matching_in_query,
    moment_in_query,
    number_in_query,
    render,
)
from api.schemas import Page
from broker.ledger.audit import AuditFilter

# Whoever asks over HTTP waits for so long; a record that is longer is for the command line.
_PATIENCE = timedelta(seconds=20)

routes = web.RouteTableDef()

_NUMBER = r"[0-9]{1,18}"
_KIND = r"[a-z_]{1,40}\.[a-z_]{1,40}"
_ACTOR = r"[^\x00-\x20\x7f]{1,320}"


@routes.get("/v1/audit")
async def list_events(request: web.Request) -> web.Response:
    after = matching_in_query(request, "after", _NUMBER, "184")
    limit = limit_of(request)
    wanted = AuditFilter(
        grant_id=id_in_query(request, "grant"),
        request_id=id_in_query(request, "request"),
        person=matching_in_query(request, "person", _ACTOR, "alice@example.com"),
        kind=matching_in_query(request, "kind", _KIND, "grant.ended"),
        since=moment_in_query(request, "since"),
    )
    found = await request.app[BROKER].trail.list(
        wanted, before=None if after is None else int(after), limit=limit
    )
    views = tuple(AuditEventView.of(each) for each in found)
    return render(Page(items=views, next=str(views[-1].seq) if len(views) == limit else None))


@routes.get("/v1/audit/verification")
async def verify(request: web.Request) -> web.Response:
    since = number_in_query(request, "since")
    report = await request.app[BROKER].verification.run(since=since, within=_PATIENCE)
    return render(VerificationView.of(report))
