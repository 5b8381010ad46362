"""/approvals: what waits for whoever looks, and deciding about it without going anywhere else."""

import re
from http import HTTPStatus

from aiohttp import web

from api.input.values import id_pattern
from api.keys import ACTOR, BROKER
from api.web.drafts import Draft
from api.web.pages.request import Shown
from api.web.rendering import page
from api.web.steps import request_steps, takes
from broker.domain.ids import IdKind
from broker.service.request_cards import RequestCard

routes = web.RouteTableDef()

_REQUEST_ID = id_pattern(IdKind.REQUEST)


@routes.get("/approvals")
async def show(request: web.Request) -> web.Response:
    return await approvals_page(request)


async def approvals_page(
    request: web.Request, draft: Draft | None = None, status: HTTPStatus = HTTPStatus.OK
) -> web.Response:
    """Return what waits for them, with what they have sent there and have to change."""
    desk = await request.app[BROKER].request_cards.desk_of(request[ACTOR])
    asks = takes(request)

    def shown(cards: tuple[RequestCard, ...]) -> list[Shown]:
        return [
            Shown(
                card=each,
                steps=request_steps(each, asks),
                draft=draft if draft is not None and draft.about == each.request.id else None,
            )
            for each in cards
        ]

    return await page(
        request,
        "approvals.html",
        status=status,
        desk=desk,
        waiting_here=shown(desk.waiting),
        with_others=shown(desk.with_others),
        draft=draft,
        done=await _just_done(request),
        back="approvals",
    )


async def _just_done(request: web.Request) -> RequestCard | None:
    """Return the request that the reader has just decided about, which the page leads away from."""
    request_id = request.query.get("done", "")
    if not re.fullmatch(_REQUEST_ID, request_id):
        return None
    found = await request.app[BROKER].request_cards.find(request_id, request[ACTOR])
    return found if found is not None and (found.outcome or found.yours) else None
