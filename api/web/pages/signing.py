"""Signing in and out with a browser: /sign-in, where it leads, and /sign-out."""

from http import HTTPStatus

from aiohttp import web

from api.callers.local_path import local_path
from api.input.forms import read_form
from api.keys import BROKER, DOOR, OVER, SIGNED_IN
from api.problems import status_of
from api.routes import source_of
from api.web.rendering import lead_to, render
from broker.domain.errors import (
    BrokerError,
    NotIdentified,
    ProviderUnreachable,
    SignInFailed,
    Unauthenticated,
)
from broker.service.sign_ins import NewSignIn

routes = web.RouteTableDef()

_HOME = "/"
_SIGNED_OUT = "You have signed out. Your provider may still know you."
_NOBODY = "{} says who you are, but nobody of that description may come in here; ask an operator"
_NO_TOKEN = "this is no personal token that is good here"  # noqa: S105  (what is said of one)
_ONCE = ("state", "code", "error", "iss")  # RFC 6749, 3.1: parameters must not be there twice


@routes.get("/sign-in")
async def look(request: web.Request) -> web.Response:
    back_to = local_path(request.query.get("to"), _HOME)
    if SIGNED_IN in request:
        return lead_to(back_to)
    said = _SIGNED_OUT if "out" in request.query else request.get(OVER, "")
    return _page(request, back_to, said=said)


@routes.post("/sign-in")
async def with_token(request: web.Request) -> web.Response:
    """Sign in with a personal token, once per browser."""
    sent = await read_form(request)
    back_to = local_path(sent.get("to"), _HOME)
    try:
        new = await request.app[BROKER].sign_ins.by_token(
            sent.get("token", "").strip(), source=source_of(request)
        )
    except Unauthenticated:
        return _page(request, back_to, wrong=_NO_TOKEN, status=HTTPStatus.UNAUTHORIZED)
    return await _let_in(request, new, back_to)


@routes.get("/sign-in/{provider}")
async def begin(request: web.Request) -> web.Response:
    """Send the browser to the provider, and let it remember why."""
    sign_ins, door = request.app[BROKER].sign_ins, request.app[DOOR]
    back_to = local_path(request.query.get("to"), _HOME)
    try:
        begun = await sign_ins.begin(request.match_info["provider"], back_to)
    except ProviderUnreachable as error:
        return _not_in(request, back_to, error)
    response = lead_to(begun.url)
    door.give_way(response, begun.transaction, sign_ins.now())
    return response


@routes.get("/sign-in/{provider}/callback")
async def come_back(request: web.Request) -> web.Response:
    """Take the provider's answer, to the question that this browser asked and no other."""
    sign_ins, door = request.app[BROKER].sign_ins, request.app[DOOR]
    provider, transaction = request.match_info["provider"], door.read_way(request, sign_ins.now())
    back_to = _HOME
    try:
        if transaction is None or transaction.provider != provider:
            raise SignInFailed("this browser did not begin this, or too long ago; begin anew")
        back_to = transaction.back_to
        new = await sign_ins.finish(transaction, _answer(request), source=source_of(request))
    except NotIdentified:
        response = _not_in(request, back_to, SignInFailed(_NOBODY.format(provider)))
    except (SignInFailed, ProviderUnreachable) as error:
        response = _not_in(request, back_to, error)
    else:
        response = await _let_in(request, new, back_to)
    door.take_way_back(response)
    return response


@routes.post("/sign-out")
async def sign_out(request: web.Request) -> web.Response:
    signed_in = request.get(SIGNED_IN)
    if signed_in is not None:
        sign_ins = request.app[BROKER].sign_ins
        if "everywhere" in await read_form(request):
            await sign_ins.end_everywhere(signed_in.credential)
        else:
            await sign_ins.end(signed_in)
    response = lead_to("/sign-in?out")
    request.app[DOOR].take_pass_back(response)
    return response


async def _let_in(request: web.Request, new: NewSignIn, back_to: str) -> web.Response:
    """Give the browser a new pass, whatever it had: who planted an old one has nothing of this."""
    sign_ins, door = request.app[BROKER].sign_ins, request.app[DOOR]
    if SIGNED_IN in request:
        await sign_ins.end(request[SIGNED_IN])
    response = lead_to(back_to)
    door.give_pass(response, new.shown, sign_ins.now(), new.sign_in.expires_at)
    return response


def _not_in(request: web.Request, back_to: str, error: BrokerError) -> web.Response:
    return _page(request, back_to, wrong=str(error), status=status_of(error))


def _page(
    request: web.Request,
    back_to: str,
    *,
    wrong: str = "",
    said: str = "",
    status: HTTPStatus = HTTPStatus.OK,
) -> web.Response:
    """Return the page; `wrong` is what went wrong and `said` what has been done."""
    providers = tuple(request.app[BROKER].sign_ins.terms.web)
    return render(
        request,
        "sign_in.html",
        status=status,
        providers=providers,
        back_to=back_to,
        wrong=wrong,
        said=said,
    )


def _answer(request: web.Request) -> dict[str, str]:
    if any(len(request.query.getall(name, ())) > 1 for name in _ONCE):
        raise SignInFailed("this answer says something twice; begin anew")
    return dict(request.query)
