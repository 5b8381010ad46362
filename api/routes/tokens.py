"""/v1/tokens: one's own bearer tokens; for operators, everybody's."""

from aiohttp import web

from api.keys import ACTOR, BROKER, CREDENTIAL, REACH
from api.routes import choice, page_of, path_id, read_body, render
from api.schemas import NewTokenBody, Page, TokenView
from broker.domain.authorization import Reach
from broker.domain.errors import NotYourToken
from broker.domain.ids import IdKind
from broker.domain.person import Person
from broker.service.tokens import TokenWish

routes = web.RouteTableDef()


@routes.get("/v1/tokens")
async def list_tokens(request: web.Request) -> web.Response:
    after, limit = page_of(request)
    only_own = choice(request, "mine", ["true", "false"]) == "true"
    holder = request[ACTOR] if only_own else _holder(request)
    found = await request.app[BROKER].tokens.page(holder, after=after, limit=limit)
    views = tuple(TokenView.of(each) for each in found)
    return render(Page(items=views, next=views[-1].id if len(views) == limit else None))


@routes.post("/v1/tokens")
async def create(request: web.Request) -> web.Response:
    body = await read_body(request, NewTokenBody)
    wish = TokenWish(label=body.label, lifetime=body.duration, scopes=body.scopes)
    maker, tokens = request[CREDENTIAL], request.app[BROKER].tokens
    if body.holder is None or body.holder.lower() == maker.person.email:
        made = await tokens.create_own(maker, wish)
    elif Reach.EVERYTHING in request[REACH]:
        made = await tokens.create_for_machine(maker, body.holder, wish)
    else:
        raise NotYourToken
    return render(TokenView.of(made.token, made.secret), status=201)


@routes.delete("/v1/tokens/{id}")
async def revoke(request: web.Request) -> web.Response:
    token_id = path_id(request, IdKind.TOKEN, "token")
    token = await request.app[BROKER].tokens.revoke(
        token_id, actor=request[ACTOR].email, holder=_holder(request)
    )
    return render(TokenView.of(token))


def _holder(request: web.Request) -> Person | None:
    """Return whose tokens the caller gets at; None means everybody's."""
    return None if Reach.EVERYTHING in request[REACH] else request[ACTOR]
