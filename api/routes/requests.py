"""/v1/requests: asking, and deciding."""

from aiohttp import web

from api.input.paths import in_path
from api.input.queries import RequestsFilter, RequestsQuery
from api.keys import ACTOR, BROKER, REACH
from api.operations import Media, Operations
from api.routes import render, source_of
from api.routes.streaming import send_file
from api.schemas import (
    Approval,
    ApprovalView,
    Denial,
    NewComment,
    NewRequest,
    Page,
    RequestView,
)
from broker.domain.request_list import decode_place, encode_place
from broker.service.approvals import Consent
from broker.service.asking import Wish

routes = Operations("requests")


@routes.post("/v1/requests", "create_request", body=NewRequest, answers={201: RequestView})
async def ask(request: web.Request, body: NewRequest) -> web.Response:
    wish = Wish(source=source_of(request), **dict(body))
    details = await request.app[BROKER].ask(wish, request[ACTOR])
    return render(RequestView.with_details(details), status=201)


@routes.get("/v1/requests", "list_requests", query=RequestsQuery, answers={200: Page[RequestView]})
async def list_requests(request: web.Request, query: RequestsQuery) -> web.Response:
    after = decode_place(query.after, query.sort) if query.after is not None else None
    page = await request.app[BROKER].requests.list(
        request[ACTOR], query.wanted(), sort=query.sort, after=after, limit=query.limit
    )
    views = tuple(RequestView.of(each) for each in page.items)
    return render(Page(items=views, next=encode_place(page.next) if page.next else None))


@routes.get(
    "/v1/requests.tsv",
    "export_requests",
    query=RequestsFilter,
    answers={200: Media("text/tab-separated-values")},
    allow_head=False,
)
async def export(request: web.Request, query: RequestsFilter) -> web.StreamResponse:
    exports = request.app[BROKER].request_exports
    table = await exports.begin(request[ACTOR], query.wanted(), query.sort)
    return await send_file(request, table, "text/tab-separated-values", "pgcurfew-requests.tsv")


@routes.get("/v1/requests/{id}", "get_request", answers={200: RequestView})
async def get(request: web.Request) -> web.Response:
    request_id = in_path(request)
    details = await request.app[BROKER].requests.get(request_id, request[ACTOR])
    return render(RequestView.with_details(details))


@routes.post(
    "/v1/requests/{id}/approval",
    "approve_request",
    body=Approval,
    answers={201: ApprovalView, 202: ApprovalView},
)
async def approve(request: web.Request, body: Approval) -> web.Response:
    request_id = in_path(request)
    consent = Consent(**dict(body))
    approved = await request.app[BROKER].approve(request_id, request[ACTOR], consent)
    return render(ApprovalView.of(approved), status=202 if approved.grant is None else 201)


@routes.post("/v1/requests/{id}/denial", "deny_request", body=Denial, answers={200: RequestView})
async def deny(request: web.Request, body: Denial) -> web.Response:
    request_id = in_path(request)
    details = await request.app[BROKER].deny(request_id, request[ACTOR], reason=body.reason)
    return render(RequestView.with_details(details))


@routes.post("/v1/requests/{id}/cancellation", "cancel_request", answers={200: RequestView})
async def cancel(request: web.Request) -> web.Response:
    request_id = in_path(request)
    details = await request.app[BROKER].requests.cancel(request_id, request[ACTOR])
    return render(RequestView.with_details(details))


@routes.post(
    "/v1/requests/{id}/comments", "comment_on_request", body=NewComment, answers={201: RequestView}
)
async def comment(request: web.Request, body: NewComment) -> web.Response:
    request_id = in_path(request)
    details = await request.app[BROKER].requests.comment(
        request_id, request[ACTOR], body.text, reach=request[REACH]
    )
    return render(RequestView.with_details(details), status=201)


@routes.post("/v1/requests/{id}/escalation", "escalate_request", answers={200: RequestView})
async def escalate(request: web.Request) -> web.Response:
    request_id = in_path(request)
    details = await request.app[BROKER].requests.escalate(request_id, request[ACTOR])
    return render(RequestView.with_details(details))
