"""/v1/grants: what was given, its secret, and its end."""

from datetime import timedelta

from aiohttp import web

from api.input.paths import in_path
from api.input.queries import GrantsQuery
from api.keys import ACTOR, BROKER, REACH
from api.operations import Operations
from api.routes import render, source_of
from api.schemas import (
    ApprovalView,
    CredentialView,
    Extension,
    FindingView,
    GrantView,
    NewReview,
    Page,
    ReceiptView,
    ReviewView,
    Revocation,
)
from api.schemas.fit import PrivilegeFitView
from broker.domain.grant import GrantState
from broker.domain.request import RequestState
from broker.domain.statement.budget import Used
from broker.service.extensions import More

routes = Operations("grants")


@routes.get("/v1/grants", "list_grants", query=GrantsQuery, answers={200: Page[GrantView]})
async def list_grants(request: web.Request, query: GrantsQuery) -> web.Response:
    found = await request.app[BROKER].grants.list(
        request[ACTOR],
        only_own=query.mine,
        state=query.status,
        before=query.after,
        limit=query.limit,
    )
    views = tuple(GrantView.of(each) for each in found)
    return render(Page(items=views, next=views[-1].id if len(views) == query.limit else None))


@routes.get("/v1/grants/{id}", "get_grant", answers={200: GrantView})
async def get(request: web.Request) -> web.Response:
    grant_id = in_path(request)
    return render(GrantView.of(await request.app[BROKER].grants.get(grant_id, request[ACTOR])))


@routes.post("/v1/grants/{id}/credential", "hand_out_credential", answers={201: CredentialView})
async def hand_out(request: web.Request) -> web.Response:
    grant_id = in_path(request)
    credential = await request.app[BROKER].hand_out(
        grant_id, request[ACTOR], source=source_of(request)
    )
    response = render(CredentialView.of(credential), status=201)
    response.headers["Cache-Control"] = "no-store"
    return response


@routes.post(
    "/v1/grants/{id}/relinquishment", "relinquish_grant", answers={200: GrantView, 202: GrantView}
)
async def relinquish(request: web.Request) -> web.Response:
    grant_id = in_path(request)
    return _ending(GrantView.of(await request.app[BROKER].relinquish(grant_id, request[ACTOR])))


@routes.post(
    "/v1/grants/{id}/revocation",
    "revoke_grant",
    body=Revocation,
    answers={200: GrantView, 202: GrantView},
)
async def revoke(request: web.Request, body: Revocation) -> web.Response:
    grant_id = in_path(request)
    details = await request.app[BROKER].revoke(
        grant_id, request[ACTOR], reason=body.reason, reach=request[REACH]
    )
    return _ending(GrantView.of(details))


@routes.get("/v1/grants/{id}/receipt", "get_receipt", answers={200: ReceiptView})
async def receipt(request: web.Request) -> web.Response:
    grant_id = in_path(request)
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


@routes.get("/v1/grants/{id}/findings", "list_findings", answers={200: Page[FindingView]})
async def findings(request: web.Request) -> web.Response:
    grant_id = in_path(request)
    found = await request.app[BROKER].grants.get_findings(grant_id, request[ACTOR])
    return render(Page(items=tuple(FindingView.of(each) for each in found), next=None))


@routes.get("/v1/grants/{id}/privilege-fit", "get_privilege_fit", answers={200: PrivilegeFitView})
async def privilege_fit(request: web.Request) -> web.Response:
    grant_id = in_path(request)
    fit = await request.app[BROKER].privilege_fits.of(grant_id, request[ACTOR])
    return render(PrivilegeFitView.of(fit))


@routes.post(
    "/v1/grants/{id}/extension",
    "extend_grant",
    body=Extension,
    answers={200: ApprovalView, 202: ApprovalView},
)
async def extend(request: web.Request, body: Extension) -> web.Response:
    grant_id = in_path(request)
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


@routes.get("/v1/grants/{id}/review", "get_review", answers={200: ReviewView})
async def get_review(request: web.Request) -> web.Response:
    grant_id = in_path(request)
    return render(ReviewView.of(await request.app[BROKER].reviews.get(grant_id, request[ACTOR])))


@routes.post("/v1/grants/{id}/review", "write_review", body=NewReview, answers={201: ReviewView})
async def review(request: web.Request, body: NewReview) -> web.Response:
    grant_id = in_path(request)
    written = await request.app[BROKER].reviews.write(grant_id, request[ACTOR], body.text)
    return render(ReviewView.of(written), status=201)


def _ending(view: GrantView) -> web.Response:
    """202 while the login is still being removed, 200 once it is gone."""
    return render(view, status=200 if view.state is GrantState.ENDED else 202)
