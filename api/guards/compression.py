"""Compression of what is worth it and holds no secret.

The length of what is compressed tells something about it. So nothing of the API's that nobody may
keep is compressed, nor a page that says `no-transform`; and what a page holds that others must not
guess is masked anew in each (api.callers.same_site).
"""

import re
from collections.abc import Mapping

from aiohttp import hdrs, web

from api.callers.browsers import Handler
from api.guards.headers import add_vary

_LEAST_BYTES = 1024  # below, it saves no packet
_TYPES = frozenset(
    {
        "application/javascript",
        "application/json",
        "application/problem+json",
        "image/svg+xml",
        "text/css",
        "text/html",
        "text/javascript",
        "text/plain",
    }
)
_ZERO = re.compile(r"q=0(\.0{0,3})?", re.IGNORECASE)


@web.middleware
async def compression(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    if (
        isinstance(response, web.Response)
        and isinstance(response.body, bytes | bytearray)
        and response.content_type in _TYPES
        and may_be_compressed(request.path, len(response.body), response.headers)
    ):
        add_vary(response.headers, hdrs.ACCEPT_ENCODING)
        if takes_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
            response.enable_compression(web.ContentCoding.gzip)
    return response


def may_be_compressed(path: str, size: int, headers: Mapping[str, str]) -> bool:
    """Say so of an answer of so many bytes. `headers` are its own, under any case."""
    kept = headers.get(hdrs.CACHE_CONTROL, "")
    return (
        size >= _LEAST_BYTES
        and hdrs.CONTENT_ENCODING not in headers
        and "no-transform" not in kept
        and not (path.startswith("/v1/") and "no-store" in kept)
    )


def takes_gzip(accept_encoding: str) -> bool:
    """Say whether the header names gzip, or anything, and not as what is not wanted."""
    wanted: dict[str, bool] = {}
    for part in accept_encoding.split(","):
        coding, *parameters = (each.strip() for each in part.split(";"))
        wanted[coding.lower()] = not any(_ZERO.fullmatch(each) for each in parameters)
    return wanted.get("gzip", wanted.get("*", False))
