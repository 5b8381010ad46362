"""/healthz, /readyz and /metrics: for load balancers, Prometheus and people on call. No token is
needed, so they say little: which parts answer and how much there is, never where, or of whom."""

from aiohttp import web

from api.keys import BROKER
from api.metrics import CONTENT_TYPE, exposition
from broker.domain.errors import LedgerUnavailable
from broker.service.health import TargetHealth
from broker.service.instruments import Proxies

routes = web.RouteTableDef()


@routes.get("/healthz")
async def healthz(request: web.Request) -> web.Response:
    """The process serves."""
    del request
    return web.json_response({"status": "ok"})


@routes.get("/readyz")
async def readyz(request: web.Request) -> web.Response:
    """200 while requests can be taken, and whoever has access gets in. A target that is down is
    shown and stops only itself."""
    broker = request.app[BROKER]
    try:
        proxies = await broker.instruments.proxies()
        ledger = "ok"
    except LedgerUnavailable:
        proxies, ledger = Proxies(), "unreachable"
    is_ready = ledger == "ok" and not proxies.refusing
    return web.json_response(
        {
            "ledger": ledger,
            "targets": {each.target: _state(each) for each in broker.health.targets()},
            "spool": [
                {
                    "shipper": each.shipper,
                    "bytes": each.size,
                    "limit": each.limit,
                    "oldest_s": each.oldest_s,
                    "sink_oldest_s": each.sink_oldest_s,
                }
                for each in proxies.spools
            ],
            "refusing": proxies.refusing,
            "holding": proxies.holding,
        },
        status=200 if is_ready else 503,
    )


@routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    """Without the ledger there is only what needs none; `pgcurfew_ledger_up` says so."""
    broker = request.app[BROKER]
    try:
        known = await broker.instruments.proxies(), await broker.instruments.counts()
    except LedgerUnavailable:
        known = None
    return web.Response(
        body=exposition(broker.health.targets(), known), headers={"Content-Type": CONTENT_TYPE}
    )


def _state(target: TargetHealth) -> str:
    if target.reachable:
        return "ok"
    return "unchecked" if target.checked_at is None else "unreachable"
