"""/v1/sign-in: how programs that people run sign them in, and out."""

from aiohttp import web

from api.keys import BROKER, CREDENTIAL, DOOR, SIGNED_IN
from api.operations import Operations
from api.routes import render, source_of
from api.schemas import ProviderView, SignedInView, SignIn, SignInWays

routes = Operations("sign-in")


@routes.get("/v1/sign-in", "list_sign_in_ways", answers={200: SignInWays})
async def ways(request: web.Request) -> web.Response:
    """Say with whom a command line signs people in. Nothing of it is secret."""
    found = request.app[BROKER].sign_ins.terms.command_line.values()
    return render(SignInWays(providers=tuple(ProviderView.of(each) for each in found)))


@routes.post("/v1/sign-in", "sign_in", body=SignIn, answers={201: SignedInView}, also=(401, 404))
async def exchange(request: web.Request, body: SignIn) -> web.Response:
    made = await request.app[BROKER].sign_ins.by_id_token(
        body.provider, body.id_token, body.access_token, source=source_of(request)
    )
    response = render(SignedInView.of(made), status=201)
    response.headers["Cache-Control"] = "no-store"
    return response


@routes.delete("/v1/sign-in", "sign_out", answers={204: None})
async def end(request: web.Request) -> web.Response:
    sign_ins = request.app[BROKER].sign_ins
    response = web.Response(status=204)
    if SIGNED_IN in request:
        await sign_ins.end(request[SIGNED_IN])
        request.app[DOOR].take_pass_back(response)
    else:
        await sign_ins.end_command_line(request[CREDENTIAL])
    return response
