"""How much one may ask at once, and how long one may take to: what is too much is an error of the
caller's, and what never ends is given up on. How long a body may be, says who reads it."""

import asyncio

from aiohttp import web

from api.callers.browsers import Handler
from api.keys import GUARDS

_MOST_PARAMETERS = 100  # no list takes a tenth of them


class BodyTooSlow(TimeoutError):
    """A body has not come within the time for it. Aiohttp hangs up on one that it reads later."""


@web.middleware
async def sizes(request: web.Request, handler: Handler) -> web.StreamResponse:
    if has_too_many_parameters(request.query_string):
        raise web.HTTPBadRequest(text=f"a query has at most {_MOST_PARAMETERS} parameters")
    if not request.can_read_body:
        return await handler(request)
    patience_s = request.app[GUARDS].terms.body_patience_s
    # Whoever waits for the body by then is woken; who reads it, and how, need not know.
    alarm = asyncio.get_running_loop().call_later(patience_s, _give_up, request)
    try:
        return await handler(request)
    except BodyTooSlow:
        raise web.HTTPRequestTimeout(
            text=f"the body did not come within {patience_s:g} seconds; send it again"
        ) from None
    finally:
        alarm.cancel()


def has_too_many_parameters(query: str) -> bool:
    return query.count("&") >= _MOST_PARAMETERS


def _give_up(request: web.Request) -> None:
    if not request.content.is_eof():
        request.content.set_exception(BodyTooSlow())
