"""Domain errors → problem+json (RFC 9457). The only file that knows both."""

import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from http import HTTPStatus

from aiohttp import hdrs, web

from api.input.faults import Fault, InvalidInput
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
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    408: "too-slow",
    409: "conflict",
    411: "length-required",
    412: "precondition-failed",
    413: "too-large",
    414: "address-too-long",
    415: "unsupported-media-type",
    416: "range-not-satisfiable",
    417: "expectation-failed",
    421: "misdirected",
    422: "invalid",
    426: "upgrade-required",
    428: "precondition-required",
    429: "rate-limited",
    431: "headers-too-large",
    500: "internal",
    501: "not-implemented",
    503: "unavailable",
}
# What aiohttp says no more about than the status does.
_SAID = {
    404: "there is nothing at this address",
    405: "this address is not for that method",
    417: "nothing but 100-continue can be expected",
}
# Where errors are made that callers of the API may get; others are the operator's, at start.
_SPEAKING = ("broker.domain.", "broker.service.", "api.")
_KEPT = (hdrs.ALLOW, hdrs.RETRY_AFTER)

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
    except (BrokerError, web.HTTPException, web.RequestPayloadError) as error:
        return problem_of(error)
    except Exception as error:
        _log.exception("%s %s failed", request.method, request.path)
        return problem_of(error)


def problem_of(error: Exception) -> web.Response:
    match error:
        case BrokerError():
            return problem(status_of(error), error.code, str(error), faults_in(error))
        case web.HTTPException():
            return _http_problem(error)
        case web.RequestPayloadError():
            return http_problem(HTTPStatus.BAD_REQUEST, "the body cannot be read")
        case _:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            return http_problem(status, "something went wrong on our side")


def http_problem(status: HTTPStatus, detail: str) -> web.Response:
    """Return what HTTP itself has a word for, and we none."""
    return problem(status, _HTTP_CODES.get(status, f"http-{status}"), detail)


def _http_problem(error: web.HTTPException) -> web.Response:
    status = HTTPStatus(error.status)
    says_nothing = not error.text or error.text == f"{error.status}: {error.reason}"
    said = _SAID.get(status, status.phrase) if says_nothing else error.text or ""
    response = http_problem(status, said)
    response.headers.update({name: error.headers[name] for name in _KEPT if name in error.headers})
    return response


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
    return _status_of(type(error))


def _status_of(error: type[BrokerError]) -> HTTPStatus:
    for kind, status in _STATUS:
        if issubclass(error, kind):
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR


def codes() -> Mapping[HTTPStatus, frozenset[str]]:
    """Return every code that the API answers with, by its status."""
    found: dict[HTTPStatus, set[str]] = {
        HTTPStatus(each): {code} for each, code in _HTTP_CODES.items()
    }
    for error in _all_of(BrokerError):
        if error.__module__.startswith(_SPEAKING):
            found.setdefault(_status_of(error), set()).add(error.code)
    return {status: frozenset(each) for status, each in sorted(found.items())}


def _all_of(error: type[BrokerError]) -> Iterator[type[BrokerError]]:
    for each in error.__subclasses__():
        yield each
        yield from _all_of(each)
