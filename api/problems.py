"""Domain errors → problem+json (RFC 9457). The only file that knows both."""

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from aiohttp import web

from api.faults import Fault, InvalidInput
from broker.domain.errors import (
    BrokerError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Unauthenticated,
    Unavailable,
)

_STATUS: tuple[tuple[type[BrokerError], HTTPStatus], ...] = (
    (Invalid, HTTPStatus.UNPROCESSABLE_ENTITY),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (Unauthenticated, HTTPStatus.UNAUTHORIZED),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
)

# Not from HTTPStatus: Python has renamed some of its members from one version to the next.
_HTTP_CODES = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
}

_log = logging.getLogger(__name__)


def problem(
    status: HTTPStatus,
    code: str,
    detail: str,
    faults: Sequence[Fault] = (),
) -> web.Response:
    body: dict[str, object] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "code": code,
        "detail": detail,
    }
    if faults:
        body["errors"] = [_error(each) for each in faults]
    headers = {"WWW-Authenticate": "Bearer"} if status is HTTPStatus.UNAUTHORIZED else None
    return web.Response(
        status=status,
        text=json.dumps(body),
        content_type="application/problem+json",
        headers=headers,
    )


@web.middleware
async def problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn every failure into a problem that says what is wrong, and nothing about our insides."""
    try:
        return await handler(request)
    except BrokerError as error:
        return problem(status_of(error), error.code, str(error), faults_in(error))
    except web.HTTPException as error:
        status = HTTPStatus(error.status)
        code = _HTTP_CODES.get(error.status, f"http-{error.status}")
        return problem(status, code, error.text or status.phrase)
    except web.RequestPayloadError:
        return problem(HTTPStatus.BAD_REQUEST, "bad-request", "the body cannot be read")
    except Exception:
        _log.exception("%s %s failed", request.method, request.path)
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "something went wrong on our side"
        )


def faults_in(error: BrokerError) -> tuple[Fault, ...]:
    """Return which fields of the question are wrong, as far as it is one of them."""
    if isinstance(error, InvalidInput):
        return error.faults
    if isinstance(error, Invalid) and error.field is not None:
        return (Fault(error.field, str(error), error.allowed),)
    return ()


def _error(fault: Fault) -> dict[str, object]:
    told = {"field": fault.field, "message": fault.message}
    return {**told, "allowed": fault.allowed} if fault.allowed else {**told}


def status_of(error: BrokerError) -> HTTPStatus:
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR
