"""What roles may do, what approving a request risks, and who and what is on a target."""

from aiohttp import web

from api.input.paths import in_path
from api.keys import ACTOR, BROKER
from api.operations import Operations
from api.routes import render
from api.routes.targets import role_views
from api.schemas import Page
from api.schemas.insight import (
    BlastRadiusView,
    LeftoversView,
    MembersView,
    RoleInsightView,
    TargetDetailsView,
)

routes = Operations("targets")


@routes.get("/v1/targets/{name}", "get_target", answers={200: TargetDetailsView})
async def target(request: web.Request) -> web.Response:
    details = request.app[BROKER].targets.get(in_path(request), request[ACTOR])
    roles = role_views(details.catalog, details.roles, details.health)
    return render(TargetDetailsView.with_details(details, roles))


@routes.get("/v1/targets/{name}/roles", "list_roles", answers={200: Page[RoleInsightView]})
async def roles(request: web.Request) -> web.Response:
    """Say what each role may do. The target is looked at, at most once a minute."""
    found = await request.app[BROKER].role_insights.roles(in_path(request), request[ACTOR])
    return render(Page(items=tuple(map(RoleInsightView.of, found)), next=None))


@routes.get("/v1/targets/{name}/members", "list_members", answers={200: MembersView})
async def members(request: web.Request) -> web.Response:
    """Say who is in what. The target is looked at, at most once a minute."""
    return render(MembersView.of(await request.app[BROKER].role_insights.members(in_path(request))))


@routes.get("/v1/targets/{name}/leftovers", "list_leftovers", answers={200: LeftoversView})
async def leftovers(request: web.Request) -> web.Response:
    """Look for what should not be there now."""
    return render(LeftoversView.of(await request.app[BROKER].leftovers.of(in_path(request))))


@routes.get("/v1/requests/{id}/blast-radius", "get_blast_radius", answers={200: BlastRadiusView})
async def blast_radius(request: web.Request) -> web.Response:
    """Say what an approver risks. The target is looked at, at most once a minute."""
    found = await request.app[BROKER].blast_radius.of(in_path(request), request[ACTOR])
    return render(BlastRadiusView.of(found))
