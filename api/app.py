"""The HTTP application over one broker."""

from aiohttp import web

from api.access import authorization
from api.callers.auth import authentication
from api.callers.door import Door
from api.guards.compression import compression
from api.guards.cors import cors_headers, preflights
from api.guards.etags import etags
from api.guards.headers import secure_headers
from api.guards.idempotency import idempotency
from api.guards.media_types import media_types
from api.guards.rates import people, rate_headers, strangers
from api.guards.sizes import sizes
from api.guards.sources import sources
from api.guards.terms import Guards
from api.keys import BROKER, DOOR, GUARDS, OPERATIONS
from api.problems import problems
from api.routes import (
    alarms,
    allowances,
    audit,
    bans,
    credentials,
    description,
    events,
    grants,
    health,
    held_commits,
    insight,
    me,
    overview,
    policies,
    record,
    requests,
    sessions,
    sign_in,
    targets,
    timelines,
    tokens,
)
from api.web.pages import PAGES
from api.web.problem_page import page_problems
from broker.service.broker import Broker

_MAX_BODY = 65_536  # bytes; the longest text we take is a reason


_PROGRAMS = (
    requests,
    credentials,
    grants,
    timelines,
    overview,
    allowances,
    sessions,
    held_commits,
    targets,
    insight,
    policies,
    alarms,
    bans,
    audit,
    record,
    events,
    me,
    tokens,
    sign_in,
    health,
    description,
)


# From the outside in. The order matters: strangers are counted before anybody asks who they are,
# and an answer from before is only for who may call now.
_GUARDS = (
    compression,
    etags,
    preflights,
    problems,
    page_problems,
    sources,
    sizes,
    strangers,
    authentication,
    people,
    authorization,
    media_types,
    idempotency,
)
_HEADERS = (secure_headers, cors_headers, rate_headers)


def make_app(
    broker: Broker, door: Door | None = None, guards: Guards | None = None
) -> web.Application:
    """Return the application. Without a door, browsers forget who they are when it ends; without
    guards, nobody is counted."""
    app = web.Application(middlewares=_GUARDS, client_max_size=_MAX_BODY)
    app[BROKER] = broker
    app[DOOR] = door or Door()
    app[OPERATIONS] = tuple(each for module in _PROGRAMS for each in module.routes.table)
    app[GUARDS] = guards or Guards()
    for table in (*_PROGRAMS, *PAGES):
        app.add_routes(table.routes)
    app.on_response_prepare.extend(_HEADERS)
    app.on_shutdown.append(_let_go)
    return app


async def _let_go(app: web.Application) -> None:
    """End what would go on for ever."""
    app[BROKER].following.stop()
    app[BROKER].events.stop()
