"""/requests/ID: everything about a request, and the whole life of the grant that came of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from itertools import groupby

from aiohttp import web

from api.input.paths import in_path
from api.keys import ACTOR, BROKER
from api.schemas.fit import HeldView, PrivilegeFitView
from api.schemas.insight import BlastRadiusView
from api.web.drafts import Draft
from api.web.rendering import lead_to, page
from api.web.steps import RequestSteps, grant_steps, request_steps, takes
from broker.domain.expiries import expiries
from broker.service.request_cards import RequestCard

routes = web.RouteTableDef()

_MOST_LINES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A request on a page, with the forms that it has there; `draft` is what did not fit."""

    card: RequestCard
    steps: RequestSteps
    draft: Draft | None = None

    @property
    def choices(self) -> tuple[timedelta, ...]:
        return expiries(self.card.longest)


@routes.get("/requests/{id}")
async def show(request: web.Request) -> web.Response:
    return await request_page(request, in_path(request))


@routes.get("/grants/{id}")
async def lead_to_request(request: web.Request) -> web.Response:
    """A grant is shown with the request that it came of."""
    grant_id = in_path(request)
    request_id = await request.app[BROKER].dossiers.request_of(grant_id, request[ACTOR])
    return lead_to(f"/requests/{request_id}")


@routes.get("/grants/{id}/privilege-fit")
async def show_privilege_fit(request: web.Request) -> web.Response:
    """What its sessions used of what its role may do, and which role would have done."""
    grant_id = in_path(request)
    fit = PrivilegeFitView.of(await request.app[BROKER].privilege_fits.of(grant_id, request[ACTOR]))
    return await page(
        request,
        "privilege_fit.html",
        grant_id=grant_id,
        fit=fit,
        unused=_by_relation(fit.unused),
        most=_MOST_LINES,
    )


async def request_page(
    request: web.Request,
    request_id: str,
    draft: Draft | None = None,
    status: HTTPStatus = HTTPStatus.OK,
) -> web.Response:
    """Return the page of a request, with what somebody has sent there and has to change."""
    broker = request.app[BROKER]
    dossier = await broker.dossiers.of(request_id, request[ACTOR])
    asks, life = takes(request), dossier.life
    return await page(
        request,
        "request.html",
        status=status,
        shown=Shown(card=dossier.card, steps=request_steps(dossier.card, asks), draft=draft),
        life=life,
        grant_steps=grant_steps(life, asks, broker.context.now()) if life is not None else None,
        timeline=dossier.timeline,
        draft=draft,
        back="request",
    )


@routes.get("/requests/{id}/blast-radius")
async def show_blast_radius(request: web.Request) -> web.Response:
    """What it would let them do: the part of the page that a target has to be asked for."""
    radius = await request.app[BROKER].blast_radius.of(in_path(request), request[ACTOR])
    return await page(request, "blast_radius.html", radius=BlastRadiusView.of(radius))


def _by_relation(held: Iterable[HeldView]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the name of each table or view with the privileges on it; they come in its order."""
    relations = groupby(held, lambda each: f"{each.schema_name}.{each.name}")
    return tuple((name, tuple(each.privilege for each in group)) for name, group in relations)
