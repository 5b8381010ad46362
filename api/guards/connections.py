"""Whatever is said on our port that no route ever sees: what is no HTTP, or too long to be.

It is answered as everything else is, briefly, and not logged: everybody could fill the log with it.
"""

import asyncio
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from api.guards.headers import secure
from api.problems import http_problem, problem_of

LONGEST_LINE = 8190  # bytes; what most servers take
# A bearer token of a provider that puts somebody's groups into it takes more than a line.
LONGEST_FIELD = 16_384  # bytes, with its name
MOST_FIELDS = 100
# Longer than load balancers keep theirs, which would otherwise send into one that just closed.
_KEEPALIVE_S = 620.0

_OPTIONS: dict[str, Any] = {
    "access_log": None,
    "keepalive_timeout": _KEEPALIVE_S,
    "max_line_size": LONGEST_LINE,
    "max_field_size": LONGEST_FIELD,
    "max_headers": MOST_FIELDS,
}
_TOO_LARGE, _TOO_LONG = HTTPStatus(431), HTTPStatus(414)
_TOO_MANY = "Too many headers received"  # as aiohttp's parsers say it


class Runner(web.AppRunner):
    """Serves an application under these limits, with no access log."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made.request_handler, request_factory=made.request_factory)


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=asyncio.get_running_loop(), **_OPTIONS)


class _Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be read, or could not be handled in a way that nobody foresaw."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        response = unreadable(exc)
        secure(response.headers, over_tls=False)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """What a request expects (RFC 9110, 10.1.1), aiohttp refuses before any route sees it."""
        if isinstance(resp, web.HTTPException):
            resp = problem_of(resp)
        return await super().finish_response(request, resp, start_time)


def unreadable(error: HttpProcessingError) -> web.Response:
    """Return the problem, which repeats nothing of what was sent."""
    match error:
        case LineTooLong() if LONGEST_FIELD in error.args:
            status, why = _TOO_LARGE, f"a header has at most {LONGEST_FIELD:,} bytes"
        case LineTooLong():
            status, why = _TOO_LONG, f"the address has at most {LONGEST_LINE:,} bytes"
        case _ if error.message == _TOO_MANY:
            status, why = _TOO_LARGE, f"there are at most {MOST_FIELDS} headers"
        case _:
            status, why = HTTPStatus.BAD_REQUEST, "this is not HTTP as it should be"
    return http_problem(status, why)
