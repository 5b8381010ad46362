"""/openapi.json: what this API is, to programs. It says nothing of what there is."""

import json
from functools import lru_cache

from aiohttp import web

from api.keys import DOOR, OPERATIONS
from api.openapi import describe
from api.operations import Media, Operation, Operations

# It changes with the version that serves it, and no sooner.
_KEPT = "public, max-age=300"

routes = Operations("service")


@routes.get("/openapi.json", "get_openapi", answers={200: Media("application/json")})
async def openapi(request: web.Request) -> web.Response:
    text = _text(request.app[OPERATIONS], request.app[DOOR].public_url)
    return web.Response(
        text=text, content_type="application/json", headers={"Cache-Control": _KEPT}
    )


@lru_cache(maxsize=1)
def _text(operations: tuple[Operation, ...], server: str | None) -> str:
    """Making it takes a while, and most processes are never asked."""
    return json.dumps(describe(operations, server), separators=(",", ":"))
