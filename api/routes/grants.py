"""/v1/grants: what was given, its secret, and its end."""

from aiohttp import web

from api.keys import ACTOR, BROKER
from api.routes import choice, page_of, path_id, read_body, render, source_of
from api.schemas import CredentialView, GrantView, Page, Revocation
from broker.domain.grant import GrantState
from broker.domain.ids import IdKind

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
    credential = await request.app[BROKER].grants.hand_out(
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
    details = await request.app[BROKER].revoke(grant_id, request[ACTOR], reason=body.reason)
    return _ending(GrantView.of(details))


@routes.get("/v1/grants/{id}/receipt")
async def receipt(request: web.Request) -> web.Response:
    grant_id = path_id(request, IdKind.GRANT, "grant")
    facts = await request.app[BROKER].grants.get_receipt(grant_id, request[ACTOR])
    return web.json_response(facts)


def _ending(view: GrantView) -> web.Response:
    """202 while the login is still being removed, 200 once it is gone."""
    return render(view, status=200 if view.state is GrantState.ENDED else 202)
