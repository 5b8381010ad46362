"""Styles, scripts and pictures of our pages, from the package. Each has its digest in its address,
so that browsers keep it for ever and still never use an old one."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from mimetypes import guess_type

from aiohttp import web

_FOR_EVER = "public, max-age=31536000, immutable"
_DIGEST_LENGTH = 16  # hexadecimal digits: to tell versions apart, not to keep anybody from anything
_SERVED = (".css", ".js", ".png", ".svg")

routes = web.RouteTableDef()


@dataclass(frozen=True, slots=True)
class Asset:
    content_type: str
    digest: str
    content: bytes


def _read(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Asset]]:
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _read(entry, f"{name}/")
        elif name.endswith(_SERVED):
            yield name, _asset(name, entry.read_bytes())


def _asset(name: str, content: bytes) -> Asset:
    content_type, _encoding = guess_type(name)
    return Asset(
        content_type=content_type or "application/octet-stream",
        digest=sha256(content).hexdigest()[:_DIGEST_LENGTH],
        content=content,
    )


_ASSETS = dict(_read(files("api.web") / "static"))


def asset_url(name: str) -> str:
    """Return where browsers get a file of `static/`. Raises KeyError for one that is not there."""
    return f"/static/{_ASSETS[name].digest}/{name}"


@cache
def _packed(name: str) -> bytes:
    """Return a file as browsers that take gzip get it. Done once somebody asks for it."""
    return gzip.compress(_ASSETS[name].content, mtime=0)


@routes.get("/static/{digest}/{name:.+}")
async def serve(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    asset = _ASSETS.get(name)
    if asset is None or asset.digest != request.match_info["digest"]:
        raise web.HTTPNotFound
    headers = {"Cache-Control": _FOR_EVER, "Vary": "Accept-Encoding"}
    packed = "gzip" in request.headers.get("Accept-Encoding", "")
    if packed:
        headers["Content-Encoding"] = "gzip"
    return web.Response(
        body=_packed(name) if packed else asset.content,
        headers=headers,
        content_type=asset.content_type,
        charset="utf-8" if asset.content_type.startswith("text/") else None,
    )
