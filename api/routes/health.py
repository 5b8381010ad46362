"""/healthz, /readyz and /metrics: for load balancers, Prometheus and people on call. No token is
needed, so they say little: which parts answer and how much there is, never where, or of whom."""

from aiohttp import web

from api.keys import BROKER
from api.metrics import CONTENT_TYPE, exposition
from api.operations import Media, Operations
from api.routes import render
from api.schemas.readiness import HealthView, ReadinessView
from broker.domain.errors import LedgerUnavailable

routes = Operations("service")


@routes.get("/healthz", "get_health", answers={200: HealthView})
async def healthz(request: web.Request) -> web.Response:
    del request
    return render(HealthView())


@routes.get("/readyz", "get_readiness", answers={200: ReadinessView, 503: ReadinessView})
async def readyz(request: web.Request) -> web.Response:
    broker = request.app[BROKER]
    try:
        proxies = await broker.instruments.proxies()
    except LedgerUnavailable:
        proxies = None
    readiness = ReadinessView.of(proxies, broker.health.targets())
    return render(readiness, status=200 if readiness.is_ready else 503)


@routes.get("/metrics", "get_metrics", answers={200: Media("text/plain")})
async def metrics(request: web.Request) -> web.Response:
    """In Prometheus' text format. Without the ledger there is only what needs none;
    `pgcurfew_ledger_up` says so."""
    broker = request.app[BROKER]
    try:
        known = await broker.instruments.proxies(), await broker.instruments.counts()
    except LedgerUnavailable:
        known = None
    return web.Response(
        body=exposition(broker.health.targets(), known), headers={"Content-Type": CONTENT_TYPE}
    )
