"""/v1/requests: asking, and deciding."""

from aiohttp import web

from api.keys import ACTOR, BROKER, REACH
from api.routes import choice, page_of, path_id, read_body, render, source_of
from api.schemas import (
    Approval,
    ApprovalView,
    Denial,
    NewComment,
    NewRequest,
    Page,
    RequestView,
)
from broker.domain.ids import IdKind
from broker.domain.request import RequestState
from broker.service.approvals import Consent
from broker.service.asking import Wish

routes = web.RouteTableDef()


@routes.post("/v1/requests")
async def ask(request: web.Request) -> web.Response:
    body = await read_body(request, NewRequest)
    wish = Wish(source=source_of(request), **dict(body))
    details = await request.app[BROKER].ask(wish, request[ACTOR])
    return render(RequestView.with_details(details), status=201)


@routes.get("/v1/requests")
async def list_requests(request: web.Request) -> web.Response:
    after, limit = page_of(request)
    state = choice(request, "status", [each.value for each in RequestState])
    found = await request.app[BROKER].requests.list(
        request[ACTOR],
        state=RequestState(state) if state else None,
        before=after,
        limit=limit,
    )
    views = tuple(RequestView.of(each) for each in found)
    return render(Page(items=views, next=views[-1].id if len(views) == limit else None))


@routes.get("/v1/requests/{id}")
async def get(request: web.Request) -> web.Response:
    request_id = path_id(request, IdKind.REQUEST, "request")
    details = await request.app[BROKER].requests.get(request_id, request[ACTOR])
    return render(RequestView.with_details(details))


@routes.post("/v1/requests/{id}/approval")
async def approve(request: web.Request) -> web.Response:
    request_id = path_id(request, IdKind.REQUEST, "request")
    body = await read_body(request, Approval)
    consent = Consent(**dict(body))
    approved = await request.app[BROKER].approve(request_id, request[ACTOR], consent)
    return render(ApprovalView.of(approved), status=202 if approved.grant is None else 201)


@routes.post("/v1/requests/{id}/denial")
async def deny(request: web.Request) -> web.Response:
    request_id = path_id(request, IdKind.REQUEST, "request")
    body = await read_body(request, Denial)
    details = await request.app[BROKER].deny(request_id, request[ACTOR], reason=body.reason)
    return render(RequestView.with_details(details))


@routes.post("/v1/requests/{id}/cancellation")
async def cancel(request: web.Request) -> web.Response:
    request_id = path_id(request, IdKind.REQUEST, "request")
    details = await request.app[BROKER].requests.cancel(request_id, request[ACTOR])
    return render(RequestView.with_details(details))


@routes.post("/v1/requests/{id}/comments")
async def comment(request: web.Request) -> web.Response:
    request_id = path_id(request, IdKind.REQUEST, "request")
    body = await read_body(request, NewComment)
    details = await request.app[BROKER].requests.comment(
        request_id, request[ACTOR], body.text, reach=request[REACH]
    )
    return render(RequestView.with_details(details), status=201)


@routes.post("/v1/requests/{id}/escalation")
async def escalate(request: web.Request) -> web.Response:
    request_id = path_id(request, IdKind.REQUEST, "request")
    details = await request.app[BROKER].requests.escalate(request_id, request[ACTOR])
    return render(RequestView.with_details(details))
