"""/v1/grants: what was given, its secret, and its end."""

from datetime import timedelta

from aiohttp import web

from api.fit_schemas import PrivilegeFitView
from api.keys import ACTOR, BROKER, REACH
from api.routes import choice, page_of, path_id, read_body, render, source_of
from api.schemas import (
    ApprovalView,
    CredentialView,
    Extension,
    FindingView,
    GrantView,
    NewReview,
    Page,
    ReviewView,
    Revocation,
)
from broker.domain.grant import GrantState
from broker.domain.ids import IdKind
from broker.domain.request import RequestState
from broker.domain.statement.budget import Used
from broker.service.extensions import More

routes = web.RouteTableDef()


@routes.get("/v1/grants")
async def list_grants(request: web.Request) -> web.Response:
    after, limit = page_of(request)
    state = choice(request, "status", [each.value for each in GrantState])
    found = await request.app[BROKER].grants.list(
        request[ACTOR],
        only_own=choice(request, "mine", ["true", "false"]) == "true",
        state=GrantState(state) if state else None,
        before=after,
        limit=limit,
    )
    views = tuple(GrantView.of(each) for each in found)
    return render(Page(items=views, next=views[-1].id if len(views) == limit else None))


@routes.get("/v1/grants/{id}")
async def get(request: web.Request) -> web.Response:
    grant_id = path_id(request, IdKind.GRANT, "grant")
    return render(GrantView.of(await request.app[BROKER].grants.get(grant_id, request[ACTOR])))


@routes.post("/v1/grants/{id}/credential")
async def hand_out(request: web.Request) -> web.Response:
    grant_id = path_id(request, IdKind.GRANT, "grant")
    credential = await request.app[BROKER].hand_out(
        grant_id, request[ACTOR], source=source_of(request)
    )
    response = render(CredentialView.of(credential), status=201)
    response.headers["Cache-Control"] = "no-store"
    return response


@routes.post("/v1/grants/{id}/relinquishment")
async def relinquish(request: web.Request) -> web.Response:
    grant_id = path_id(request, IdKind.GRANT, "grant")
    return _ending(GrantView.of(await request.app[BROKER].relinquish(grant_id, request[ACTOR])))


@routes.post("/v1/grants/{id}/revocation")
async def revoke(request: web.Request) -> web.Response:
    grant_id = path_id(request, IdKind.GRANT, "grant")
    body = await read_body(request, Revocation)
    details = await request.app[BROKER].revoke(
        grant_id, request[ACTOR], reason=body.reason, reach=request[REACH]
    )
    return _ending(GrantView.of(details))


@routes.get("/v1/grants/{id}/receipt")
async def receipt(request: web.Request) -> web.Response:
    grant_id = path_id(request, IdKind.GRANT, "grant")
    found = await request.app[BROKER].grants.get_receipt(grant_id, request[ACTOR])
    # As it was sealed: through a model, times would be written otherwise than its hash covers.
    return web.json_response(
        {
            "number": found.link.number,
            "previous": found.link.previous.hex(),
            "hash": found.link.hash.hex(),
            "receipt": found.facts,
        }
    )


@routes.get("/v1/grants/{id}/findings")
async def findings(request: web.Request) -> web.Response:
    grant_id = path_id(request, IdKind.GRANT, "grant")
    found = await request.app[BROKER].grants.get_findings(grant_id, request[ACTOR])
    return render(Page(items=tuple(FindingView.of(each) for each in found), next=None))


@routes.get("/v1/grants/{id}/privilege-fit")
async def privilege_fit(request: web.Request) -> web.Response:
    grant_id = path_id(request, IdKind.GRANT, "grant")
    fit = await request.app[BROKER].privilege_fits.of(grant_id, request[ACTOR])
    return render(PrivilegeFitView.of(fit))


@routes.post("/v1/grants/{id}/extension")
async def extend(request: web.Request) -> web.Response:
    grant_id = path_id(request, IdKind.GRANT, "grant")
    body = await read_body(request, Extension)
    more = More(
        duration=body.duration or timedelta(),
        reason=body.reason,
        source=source_of(request),
        budget=Used(body.rows, body.bytes),
    )
    extended = await request.app[BROKER].extend(
        grant_id, request[ACTOR], more, reach=request[REACH]
    )
    pending = extended.request.request.state is RequestState.PENDING
    return render(ApprovalView.of(extended), status=202 if pending else 200)


@routes.get("/v1/grants/{id}/review")
async def get_review(request: web.Request) -> web.Response:
    grant_id = path_id(request, IdKind.GRANT, "grant")
    return render(ReviewView.of(await request.app[BROKER].reviews.get(grant_id, request[ACTOR])))


@routes.post("/v1/grants/{id}/review")
async def review(request: web.Request) -> web.Response:
    grant_id = path_id(request, IdKind.GRANT, "grant")
    body = await read_body(request, NewReview)
    written = await request.app[BROKER].reviews.write(grant_id, request[ACTOR], body.text)
    return render(ReviewView.of(written), status=201)


def _ending(view: GrantView) -> web.Response:
    """202 while the login is still being removed, 200 once it is gone."""
    return render(view, status=200 if view.state is GrantState.ENDED else 202)
