"""The typed client of the API, and connections that do not hold."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from api.client import ApiError, ApiUnreachable, Client, open_client
from api.failures import WrongField

pytestmark = pytest.mark.newest

Handler = Callable[[web.Request], Awaitable[web.Response]]
_PROBLEM = {
    "status": 422,
    "code": "invalid",
    "detail": "scopes.0 must be one of read, ask",
    "errors": [
        {"field": "scopes.0", "message": "must be one of read, ask", "allowed": ["read", "ask"]}
    ],
}


@asynccontextmanager
async def client_of(handler: Handler) -> AsyncIterator[Client]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server, open_client(str(server.make_url("/"))) as client:
        yield client


def cut(request: web.Request) -> web.Response:
    """End the connection instead of an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def test_what_broke_off_is_sent_again_with_its_key_so_that_it_is_done_once() -> None:
    keys: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        keys.append(request.headers["Idempotency-Key"])
        return cut(request) if len(keys) == 1 else web.json_response(_PROBLEM, status=422)

    async with client_of(answer) as client:
        for _ in range(2):
            with pytest.raises(ApiError):
                await client.create_token(label="laptop")
    assert keys[0] == keys[1] != keys[2]


async def test_a_server_that_breaks_off_twice_cannot_be_reached() -> None:
    calls: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        calls.append(request.path)
        return cut(request)

    async with client_of(answer) as client:
        with pytest.raises(ApiUnreachable, match="no pgcurfew answers at "):
            await client.relinquish("grt_06gzgmx2b2v3s0ps")
    assert len(calls) == 2


async def test_an_exchange_that_works_once_is_not_tried_twice() -> None:
    calls: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        calls.append(request.path)
        return cut(request)

    async with client_of(answer) as client:
        with pytest.raises(ApiUnreachable):
            await client.sign_in("okta", "eyJ0eXAi")
    assert len(calls) == 1


async def test_a_problem_says_which_fields_are_wrong_and_what_they_may_be() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(_PROBLEM, status=422)

    async with client_of(answer) as client:
        with pytest.raises(ApiError) as caught:
            await client.create_token(scopes=["rule"])
    assert (caught.value.code, str(caught.value)) == ("invalid", _PROBLEM["detail"])
    wrong = WrongField("scopes.0", "must be one of read, ask", ("read", "ask"))
    assert caught.value.errors == (wrong,)


async def test_whether_it_is_ready_is_an_answer_though_it_is_not() -> None:
    async def answer(_request: web.Request) -> web.Response:
        told = {"ledger": "unreachable", "targets": {}, "spool": [], "refusing": [], "holding": 0}
        return web.json_response(told, status=503)

    async with client_of(answer) as client:
        assert not (await client.get_readiness()).is_ready
