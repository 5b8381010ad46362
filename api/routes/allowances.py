"""/v1/allowances: what approvers agree to beforehand."""

from aiohttp import web

from api.keys import ACTOR, BROKER
from api.routes import choice, page_of, path_id, read_body, render
from api.schemas import AllowanceView, NewAllowance, Page
from broker.domain.ids import IdKind
from broker.service.allowances import Foresight

routes = web.RouteTableDef()


@routes.post("/v1/allowances")
async def make(request: web.Request) -> web.Response:
    body = await read_body(request, NewAllowance)
    made = await request.app[BROKER].allowances.make(Foresight(**dict(body)), request[ACTOR])
    return render(AllowanceView.of(made), status=201)


@routes.get("/v1/allowances")
async def list_allowances(request: web.Request) -> web.Response:
    after, limit = page_of(request)
    found = await request.app[BROKER].allowances.list(
        request[ACTOR],
        over_too=choice(request, "status", ["living", "all"]) == "all",
        before=after,
        limit=limit,
    )
    views = tuple(AllowanceView.of(each) for each in found)
    return render(Page(items=views, next=views[-1].id if len(views) == limit else None))


@routes.post("/v1/allowances/{id}/revocation")
async def revoke(request: web.Request) -> web.Response:
    allowance_id = path_id(request, IdKind.ALLOWANCE, "allowance")
    revoked = await request.app[BROKER].allowances.revoke(allowance_id, request[ACTOR])
    return render(AllowanceView.of(revoked))
