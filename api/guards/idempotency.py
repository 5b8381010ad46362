"""Idempotency keys: a POST that is sent again with the key of the first is done once.

The first's answer is kept for a day, unless it holds a secret, which is what `no-store` says. What
only reads, whatever its method, is done again. Without a key everything is as ever.
"""

from http import HTTPStatus

from aiohttp import hdrs, web

from api.access import READ, access_to
from api.callers.browsers import Handler
from api.keys import ACTOR, BROKER
from api.problems import problem_of
from broker.domain.idempotency import Answer, Call, fingerprint, read_key

KEY_HEADER = "Idempotency-Key"
_REPLAYED = {"Idempotency-Replayed": "true"}


@web.middleware
async def idempotency(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Stands behind who says what the caller may: an old answer is only for who may call now."""
    header = request.headers.get(KEY_HEADER)
    if header is None or not _is_for_once(request):
        return await handler(request)
    call = Call(
        request[ACTOR].id,
        read_key(header),
        fingerprint(request.method, request.path_qs, await request.read()),
    )
    calls = request.app[BROKER].idempotency
    begun = await calls.begin(call)
    if isinstance(begun, Answer):
        return _again(begun)
    try:
        with begun.under_way():
            response = await handler(request)
    except Exception as error:
        await calls.failed(begun, refused=is_refusal(problem_of(error).status))
        raise
    if response.status < HTTPStatus.BAD_REQUEST:
        await calls.answered(begun, answer_of(response))
    else:
        await calls.failed(begun, refused=is_refusal(response.status))
    return response


def is_refusal(status: int) -> bool:
    """Say whether the answer means that the call was not done, because of the call."""
    return HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR


def answer_of(response: web.StreamResponse) -> Answer:
    """Return what is kept of it."""
    may_be_kept = "no-store" not in response.headers.get(hdrs.CACHE_CONTROL, "")
    body = (response.text or "") if isinstance(response, web.Response) and may_be_kept else None
    return Answer(response.status, response.content_type, body)


def _again(answer: Answer) -> web.Response:
    return web.Response(
        status=answer.status,
        text=answer.body,
        content_type=answer.content_type,
        headers=_REPLAYED,
    )


def _is_for_once(request: web.Request) -> bool:
    """Say whether it is a change that somebody known makes over the API."""
    access = access_to(request)
    return (
        request.method == hdrs.METH_POST
        and request.path.startswith("/v1/")
        and ACTOR in request
        and access is not None
        and set(access.through.values()) != {READ}
    )
