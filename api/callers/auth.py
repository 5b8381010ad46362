"""Who is calling: a bearer token of ours or of a workload, or a browser that has signed in → a
Person. What they may do, access.py says."""

from aiohttp import web

from api.access import is_open
from api.callers.browsers import Handler, identify_browser
from api.keys import ACTOR, BROKER, CREDENTIAL, SCOPES
from api.routes import source_of
from broker.domain.errors import Unauthenticated

# Programs' way in: the body proves who they are, so whatever a browser adds to it means nothing.
_EXCHANGE = ("POST", "/v1/sign-in")


@web.middleware
async def authentication(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let nobody past without a token or a sign-in, but to where everybody may go."""
    if (request.method, request.path) == _EXCHANGE:
        return await handler(request)
    everybody = is_open(request)
    authorization = request.headers.get("Authorization")
    # Where everybody may go nobody looks at what the header proves. Only programs send a bearer's:
    # browsers add others by themselves, once something in front of us has asked for a password.
    if authorization is None or (everybody and not _is_bearers(authorization)):
        return await identify_browser(request, handler, is_open=everybody)
    if not everybody:
        await _identify(request, authorization)
    return await handler(request)


async def _identify(request: web.Request, authorization: str) -> None:
    """Say who calls. Whatever is wrong is answered with the same line; operators find the reason in
    the audit trail. Raises Unauthenticated."""
    bearer = bearer_of(authorization)
    if not _is_bearers(authorization) or not bearer:
        raise Unauthenticated
    authentication = request.app[BROKER].authentication
    found = await authentication.identify(bearer, source=source_of(request))
    request[ACTOR] = found.person
    request[SCOPES] = found.scopes
    request[CREDENTIAL] = found


def bearer_of(authorization: str) -> str:
    return authorization.partition(" ")[2].strip()


def _is_bearers(authorization: str) -> bool:
    return authorization.partition(" ")[0].lower() == "bearer"
