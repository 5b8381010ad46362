"""/v1/allowances: what approvers agree to beforehand."""

from aiohttp import web

from api.input.paths import in_path
from api.input.queries import AllowancesQuery
from api.keys import ACTOR, BROKER
from api.operations import Operations
from api.routes import render
from api.schemas import AllowanceView, NewAllowance, Page
from broker.service.allowances import Foresight

routes = Operations("allowances")


@routes.post("/v1/allowances", "create_allowance", body=NewAllowance, answers={201: AllowanceView})
async def make(request: web.Request, body: NewAllowance) -> web.Response:
    made = await request.app[BROKER].allowances.make(Foresight(**dict(body)), request[ACTOR])
    return render(AllowanceView.of(made), status=201)


@routes.get(
    "/v1/allowances", "list_allowances", query=AllowancesQuery, answers={200: Page[AllowanceView]}
)
async def list_allowances(request: web.Request, query: AllowancesQuery) -> web.Response:
    found = await request.app[BROKER].allowances.list(
        request[ACTOR],
        over_too=query.status == "all",
        before=query.after,
        limit=query.limit,
    )
    views = tuple(AllowanceView.of(each) for each in found)
    return render(Page(items=views, next=views[-1].id if len(views) == query.limit else None))


@routes.post("/v1/allowances/{id}/revocation", "revoke_allowance", answers={200: AllowanceView})
async def revoke(request: web.Request) -> web.Response:
    allowance_id = in_path(request)
    revoked = await request.app[BROKER].allowances.revoke(allowance_id, request[ACTOR])
    return render(AllowanceView.of(revoked))
