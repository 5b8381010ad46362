"""/healthz and /readyz: for load balancers and people on call. No token is needed, so they say
little: which parts answer, never where those are."""

from aiohttp import web

from api.keys import BROKER
from broker.domain.errors import LedgerUnavailable
from broker.ledger.connection import transaction

routes = web.RouteTableDef()


@routes.get("/healthz")
async def healthz(request: web.Request) -> web.Response:
    """The process serves."""
    del request
    return web.json_response({"status": "ok"})


@routes.get("/readyz")
async def readyz(request: web.Request) -> web.Response:
    """200 while requests can be taken. A target that is down is shown and stops only itself."""
    broker = request.app[BROKER]
    try:
        async with transaction(broker.context.ledger) as db:
            await db.fetchval("SELECT 1")
        ledger = "ok"
    except LedgerUnavailable:
        ledger = "unreachable"
    targets = {
        each.target: "ok"
        if each.reachable
        else "unchecked"
        if each.checked_at is None
        else "unreachable"
        for each in broker.health.targets()
    }
    return web.json_response(
        {"ledger": ledger, "targets": targets}, status=200 if ledger == "ok" else 503
    )
