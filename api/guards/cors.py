"""Which other sites' scripts may call the API: none, unless the operator names them.

They come with a bearer token. Cookies they cannot send: no answer says that they may, and a change
by cookie takes a page of ours (api.callers.same_site). https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from http import HTTPStatus

from aiohttp import hdrs, web

from api.callers.browsers import Handler
from api.guards.headers import add_vary
from api.keys import GUARDS

_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_SENT = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID"
_SHOWN = (
    "ETag, Retry-After, RateLimit, RateLimit-Policy, Idempotency-Replayed, WWW-Authenticate, "
    "Content-Disposition, Link"
)
_PREFLIGHT_HOLDS_S = 600


@web.middleware
async def preflights(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what a browser asks before it lets another site's script call us."""
    if (
        request.method == hdrs.METH_OPTIONS
        and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        and _is_allowed(request)
    ):
        allowed = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _SENT,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(_PREFLIGHT_HOLDS_S),
        }
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=allowed)
    return await handler(request)


async def cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Let the scripts of allowed sites read the answer, whatever it is."""
    if not request.app[GUARDS].terms.cors_origins or not _is_of_the_api(request):
        return
    add_vary(response.headers, hdrs.ORIGIN)
    if _is_allowed(request):
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = request.headers[hdrs.ORIGIN]
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _SHOWN


def _is_allowed(request: web.Request) -> bool:
    origins = request.app[GUARDS].terms.cors_origins
    return _is_of_the_api(request) and request.headers.get(hdrs.ORIGIN) in origins


def _is_of_the_api(request: web.Request) -> bool:
    return request.path.startswith(("/v1/", "/openapi."))
