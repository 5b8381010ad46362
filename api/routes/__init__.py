"""One resource per file. A handler parses, makes one service call, and renders."""

from aiohttp import web
from pydantic import BaseModel

from api.keys import SOURCE


def render(view: BaseModel, status: int = 200) -> web.Response:
    return web.Response(status=status, text=view.model_dump_json(), content_type="application/json")


def source_of(request: web.Request) -> str | None:
    """Return the caller's address, whoever has passed the call on; None if it has none."""
    return request.get(SOURCE)
