"""The HTTP application over one broker."""

from aiohttp import web

from api.auth import authentication
from api.keys import BROKER
from api.problems import problems
from api.routes import grants, health, requests, sessions, targets
from broker.service.broker import Broker

_MAX_BODY = 65_536  # bytes; the longest text we take is a reason


def make_app(broker: Broker) -> web.Application:
    app = web.Application(middlewares=[problems, authentication], client_max_size=_MAX_BODY)
    app[BROKER] = broker
    for table in (requests, grants, sessions, targets, health):
        app.add_routes(table.routes)
    app.on_response_prepare.append(_secure_headers)
    return app


async def _secure_headers(request: web.Request, response: web.StreamResponse) -> None:
    del request
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-cache")
    response.headers["Server"] = "pgcurfew"
