"""/v1/targets: what this person may ask for, whether it answers, and what is wrong with it."""

from collections.abc import Iterable

from aiohttp import web

from api.input.paths import in_path
from api.keys import ACTOR, BROKER
from api.operations import Operations
from api.routes import render
from api.schemas import Page, RoleView, TargetView
from api.schemas.operating import CheckupView
from broker.domain.catalog import CatalogRole, CatalogTarget
from broker.domain.errors import NotFound
from broker.service.health import TargetHealth
from broker.service.visible import visible_roles

routes = Operations("targets")


@routes.get("/v1/targets", "list_targets", answers={200: Page[TargetView]})
async def list_targets(request: web.Request) -> web.Response:
    return render(Page(items=target_views(request), next=None))


def target_views(request: web.Request) -> tuple[TargetView, ...]:
    context = request.app[BROKER].context
    visible = visible_roles(context, request[ACTOR])
    return tuple(
        TargetView.of(
            health,
            role_views(context.catalog.targets[health.target], visible[health.target], health),
        )
        for health in request.app[BROKER].health.targets()
        if health.target in visible
    )


@routes.get("/v1/targets/{name}/findings", "check_target", answers={200: CheckupView})
async def findings(request: web.Request) -> web.Response:
    """Look the target over now."""
    name = in_path(request)
    if name not in request.app[BROKER].context.targets:
        raise NotFound("target", name)
    return render(CheckupView.of(await request.app[BROKER].doctor.check(name)))


def role_views(
    target: CatalogTarget, roles: Iterable[str], health: TargetHealth
) -> tuple[RoleView, ...]:
    return tuple(_role_view(target.roles[role], health) for role in roles)


def _role_view(role: CatalogRole, health: TargetHealth) -> RoleView:
    faults = health.role_faults.get(role.name, ())
    return RoleView(
        name=role.name,
        description=role.description,
        kinds=tuple(sorted(role.kinds)),
        problem="; ".join(faults) or None,
    )
