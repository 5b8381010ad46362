"""/v1/tokens: one's own bearer tokens; for operators, everybody's."""

from aiohttp import web

from api.input.paths import in_path
from api.input.queries import TokensQuery
from api.keys import ACTOR, BROKER, CREDENTIAL, REACH
from api.operations import Operations
from api.routes import render
from api.schemas import NewTokenBody, Page, TokenView
from broker.domain.authorization import Reach
from broker.domain.errors import NotYourToken
from broker.domain.person import Person
from broker.service.tokens import TokenWish

routes = Operations("tokens")


@routes.get("/v1/tokens", "list_tokens", query=TokensQuery, answers={200: Page[TokenView]})
async def list_tokens(request: web.Request, query: TokensQuery) -> web.Response:
    holder = request[ACTOR] if query.mine else _holder(request)
    found = await request.app[BROKER].tokens.page(holder, after=query.after, limit=query.limit)
    views = tuple(TokenView.of(each) for each in found)
    return render(Page(items=views, next=views[-1].id if len(views) == query.limit else None))


@routes.post("/v1/tokens", "create_token", body=NewTokenBody, answers={201: TokenView})
async def create(request: web.Request, body: NewTokenBody) -> web.Response:
    wish = TokenWish(label=body.label, lifetime=body.duration, scopes=body.scopes)
    maker, tokens = request[CREDENTIAL], request.app[BROKER].tokens
    if body.holder is None or body.holder.lower() == maker.person.email:
        made = await tokens.create_own(maker, wish)
    elif Reach.EVERYTHING in request[REACH]:
        made = await tokens.create_for_machine(maker, body.holder, wish)
    else:
        raise NotYourToken
    response = render(TokenView.of(made.token, made.secret), status=201)
    response.headers["Cache-Control"] = "no-store"
    return response


@routes.delete("/v1/tokens/{id}", "revoke_token", answers={200: TokenView})
async def revoke(request: web.Request) -> web.Response:
    token_id = in_path(request)
    token = await request.app[BROKER].tokens.revoke(
        token_id, actor=request[ACTOR].email, holder=_holder(request)
    )
    return render(TokenView.of(token))


def _holder(request: web.Request) -> Person | None:
    """Return whose tokens the caller gets at; None means everybody's."""
    return None if Reach.EVERYTHING in request[REACH] else request[ACTOR]
