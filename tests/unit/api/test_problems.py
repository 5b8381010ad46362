"""Every deliberate failure becomes a problem with the right status, and nothing else leaks."""

import json

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from pydantic import ValidationError

from api.faults import InvalidInput, faults_of
from api.problems import problems
from api.schemas import NewRequest
from broker.domain.errors import (
    BrokerError,
    Conflict,
    DurationTooLong,
    IllegalTransition,
    LedgerUnavailable,
    NotFound,
    PolicyDenied,
    SelfApproval,
    TargetUnreachable,
    Unauthenticated,
    UnknownTarget,
)


async def _answer(failure: Exception) -> tuple[int, dict[str, object]]:
    async def handler(_request: web.Request) -> web.StreamResponse:
        raise failure

    response = await problems(make_mocked_request("GET", "/v1/requests"), handler)
    assert isinstance(response, web.Response)
    assert response.content_type == "application/problem+json"
    return response.status, json.loads(response.text or "")


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (UnknownTarget("x", ["orders"]), 422, "unknown-target"),
        (DurationTooLong("9h", "8h", "policy 'readers'"), 422, "duration-too-long"),
        (PolicyDenied("no"), 403, "policy-denied"),
        (SelfApproval(), 403, "self-approval"),
        (NotFound("grant", "grt_1"), 404, "not-found"),
        (Conflict("no"), 409, "conflict"),
        (IllegalTransition("grant grt_1", "ended", "revoked"), 409, "illegal-transition"),
        (Unauthenticated(), 401, "unauthenticated"),
        (LedgerUnavailable(), 503, "ledger-unavailable"),
        (TargetUnreachable("orders"), 503, "target-unreachable"),
        (BrokerError("odd"), 500, "broker-error"),
        (web.HTTPMethodNotAllowed("GET", ["POST"]), 405, "method-not-allowed"),
    ],
)
async def test_a_failure_has_its_status_and_code(
    failure: Exception, status: int, code: str
) -> None:
    found, body = await _answer(failure)
    assert found == status
    assert body["status"] == status
    assert body["code"] == code


async def test_what_we_did_not_foresee_says_nothing_about_our_insides() -> None:
    status, body = await _answer(RuntimeError("password=hunter2"))
    assert (status, body["code"]) == (500, "internal")
    assert "hunter2" not in json.dumps(body)


async def test_a_bad_body_names_its_fields_and_repeats_no_values() -> None:
    with pytest.raises(ValidationError) as error:
        NewRequest.model_validate_json('{"target": "orders", "role": 5, "secret": "hunter2"}')
    status, body = await _answer(InvalidInput(faults_of(error.value)))
    assert status == 422
    errors = body["errors"]
    assert isinstance(errors, list)
    assert {each["field"] for each in errors} == {"role", "secret"}
    assert "hunter2" not in json.dumps(body)
