"""/v1/targets: what this person may ask for, and whether it answers."""

from aiohttp import web

from api.keys import ACTOR, BROKER
from api.routes import render
from api.schemas import Page, RoleView, TargetView

routes = web.RouteTableDef()


@routes.get("/v1/targets")
async def list_targets(request: web.Request) -> web.Response:
    context = request.app[BROKER].context
    allowed = context.catalog.allowed_to(request[ACTOR], context.policies)
    views = tuple(
        TargetView.of(
            health,
            tuple(
                RoleView(
                    name=role,
                    description=context.catalog.targets[health.target].roles[role].description,
                )
                for role in allowed[health.target]
            ),
        )
        for health in request.app[BROKER].health.targets()
        if health.target in allowed
    )
    return render(Page(items=views, next=None))
