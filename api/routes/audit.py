"""/v1/audit: the audit trail, for those who look over everybody's shoulder."""

from datetime import timedelta

from aiohttp import web

from api.input.queries import AuditQuery, VerificationQuery
from api.keys import BROKER
from api.operations import Operations
from api.routes import render
from api.schemas import Page
from api.schemas.operating import AuditEventView, VerificationView
from broker.ledger.audit import AuditFilter

# Whoever asks over HTTP waits for so long; a record that is longer is for the command line.
PATIENCE = timedelta(seconds=20)

routes = Operations("audit")


@routes.get("/v1/audit", "list_audit_events", query=AuditQuery, answers={200: Page[AuditEventView]})
async def list_events(request: web.Request, query: AuditQuery) -> web.Response:
    return render(await find_events(request, query))


async def find_events(request: web.Request, query: AuditQuery) -> Page[AuditEventView]:
    wanted = AuditFilter(
        grant_id=query.grant,
        request_id=query.request,
        person=query.person,
        kind=query.kind,
        since=query.since,
    )
    found = await request.app[BROKER].trail.list(wanted, before=query.after, limit=query.limit)
    views = tuple(AuditEventView.of(each) for each in found)
    return Page(items=views, next=str(views[-1].seq) if len(views) == query.limit else None)


@routes.get(
    "/v1/audit/verification",
    "verify_record",
    query=VerificationQuery,
    answers={200: VerificationView},
)
async def verify(request: web.Request, query: VerificationQuery) -> web.Response:
    report = await request.app[BROKER].verification.run(since=query.since, within=PATIENCE)
    return render(VerificationView.of(report))
