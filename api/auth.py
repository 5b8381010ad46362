"""Who is calling: a bearer token → a Person."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from api.keys import ACTOR, BROKER
from broker.domain.errors import Unauthenticated

_OPEN_PATHS = ("/healthz", "/readyz")


@web.middleware
async def authentication(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Let nobody past without a token, but those who ask whether we live."""
    if request.path not in _OPEN_PATHS:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated
        request[ACTOR] = await request.app[BROKER].tokens.authenticate(token.strip())
    return await handler(request)
