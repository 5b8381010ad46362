"""The HTTP application over one broker."""

from aiohttp import web

from api.access import authorization
from api.auth import authentication
from api.door import Door
from api.keys import BROKER, DOOR
from api.problems import problems
from api.routes import (
    alarms,
    allowances,
    audit,
    bans,
    credentials,
    grants,
    health,
    held_commits,
    me,
    policies,
    record,
    requests,
    sessions,
    sign_in,
    targets,
    timelines,
    tokens,
)
from api.web import ask, assets, signing
from api.web import me as my_page
from api.web import request as request_page
from api.web.problem_page import page_problems
from broker.service.broker import Broker

_MAX_BODY = 65_536  # bytes; the longest text we take is a reason


_PROGRAMS = (
    requests,
    credentials,
    grants,
    timelines,
    allowances,
    sessions,
    held_commits,
    targets,
    policies,
    alarms,
    bans,
    audit,
    record,
    me,
    tokens,
    sign_in,
    health,
)
_PEOPLE = (ask, my_page, request_page, signing, assets)


def make_app(broker: Broker, door: Door | None = None) -> web.Application:
    """Return the application. Without a door, browsers forget who they are when it ends."""
    middlewares = [problems, page_problems, authentication, authorization]
    app = web.Application(middlewares=middlewares, client_max_size=_MAX_BODY)
    app[BROKER] = broker
    app[DOOR] = door or Door()
    for table in (*_PROGRAMS, *_PEOPLE):
        app.add_routes(table.routes)
    app.on_response_prepare.append(_secure_headers)
    app.on_shutdown.append(_let_go)
    return app


async def _let_go(app: web.Application) -> None:
    """End what would go on for ever."""
    app[BROKER].following.stop()


async def _secure_headers(request: web.Request, response: web.StreamResponse) -> None:
    del request
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-cache")
    response.headers["Server"] = "pgcurfew"
