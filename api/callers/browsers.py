"""Who is calling with a browser: the pass that it keeps for us, and the word that our own page made
the request. Changes take both, and the token that our pages have besides."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from api.callers.same_site import CSRF_FIELD, CSRF_HEADER, SAFE_METHODS, is_csrf_token, is_ours
from api.input.forms import read_form
from api.keys import ACTOR, BROKER, CREDENTIAL, DOOR, OVER, SCOPES, SIGNED_IN
from broker.domain.errors import NotFromOurPage, SignInOver, Unauthenticated

# What an open page does by itself says nothing of anybody being there: it follows what happens, and
# loads what that concerns, with this header.
_EVENTS = "/v1/events"
_BY_ITSELF = "X-By-Itself"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def identify_browser(
    request: web.Request, handler: Handler, *, is_open: bool
) -> web.StreamResponse:
    """Handle a request that came without a bearer token."""
    has_pass = request.app[DOOR].has_pass(request)
    if not has_pass and not is_open:
        raise Unauthenticated
    if request.method not in SAFE_METHODS and not is_ours(
        request.headers, request.app[DOOR].public_url
    ):
        raise NotFromOurPage
    if not has_pass:
        return await handler(request)
    try:
        await _take(request)
    except SignInOver as error:
        if not is_open:
            raise
        request[OVER] = str(error)
    if SIGNED_IN in request and request.method not in SAFE_METHODS:
        await _require_token(request)
    return _keep(request, await handler(request))


async def _take(request: web.Request) -> None:
    """Let the browser's pass count. Raises SignInOver for one that is good no longer."""
    sign_ins = request.app[BROKER].sign_ins
    shown = request.app[DOOR].read_pass(request, sign_ins.now())
    by_itself = request.path == _EVENTS or _BY_ITSELF in request.headers
    look = sign_ins.glance if by_itself else sign_ins.authenticate
    signed_in = await look(shown)
    request[SIGNED_IN] = signed_in
    request[CREDENTIAL] = signed_in.credential
    request[ACTOR] = signed_in.credential.person
    request[SCOPES] = signed_in.credential.scopes


async def _require_token(request: web.Request) -> None:
    token = request.headers.get(CSRF_HEADER)
    if token is None:
        token = (await read_form(request)).get(CSRF_FIELD, "")
    if not is_csrf_token(token, request[SIGNED_IN].shown.secret):
        raise NotFromOurPage


def _keep(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Renew a pass that an older key sealed, and take back one that is good no longer."""
    door = request.app[DOOR]
    if door.says_what_becomes_of_pass(response):
        return response
    if SIGNED_IN not in request:
        door.take_pass_back(response)
    elif not door.has_fresh_pass(request):
        signed_in = request[SIGNED_IN]
        now = request.app[BROKER].sign_ins.now()
        door.give_pass(response, signed_in.shown, now, signed_in.sign_in.expires_at)
    return response
