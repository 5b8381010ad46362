"""Every deliberate failure becomes a problem with the right status, and nothing else leaks."""

import json
import re
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from pydantic import ValidationError

from api.input.faults import Fault, InvalidInput, faults_of
from api.problems import codes, faults_in, problem_of, problems
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

DOCS = Path(__file__).parents[3] / "docs" / "api.md"


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
        (web.HTTPRequestTimeout(), 408, "too-slow"),
        (web.HTTPRequestEntityTooLarge(65_536), 413, "too-large"),
        (web.HTTPUnsupportedMediaType(), 415, "unsupported-media-type"),
        (web.HTTPExpectationFailed(), 417, "expectation-failed"),
        (web.HTTPTooManyRequests(), 429, "rate-limited"),
        (web.HTTPGone(), 410, "http-410"),
        (web.RequestPayloadError("odd"), 400, "bad-request"),
    ],
)
async def test_a_failure_has_its_status_and_code(
    failure: Exception, status: int, code: str
) -> None:
    found, body = await _answer(failure)
    assert found == status
    assert body["status"] == status
    assert body["code"] == code


@pytest.mark.parametrize(
    ("failure", "detail"),
    [
        (web.HTTPNotFound(), "there is nothing at this address"),
        (web.HTTPGone(), "Gone"),
        (web.HTTPBadRequest(text="a query has at most 100 parameters"), None),
        (web.HTTPRequestEntityTooLarge(65_536), "Maximum request body size 65536 exceeded."),
    ],
)
def test_what_http_has_a_word_for_is_told_in_words(
    failure: web.HTTPException, detail: str | None
) -> None:
    said = json.loads(problem_of(failure).text or "")["detail"]
    assert said == (detail or failure.text)


def test_what_a_client_needs_to_do_better_stays() -> None:
    assert problem_of(web.HTTPMethodNotAllowed("GET", ["POST"])).headers["Allow"] == "POST"


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


def test_the_docs_list_every_code_by_its_status() -> None:
    rows = re.findall(r"^\| \d{3} \|.*\|$", DOCS.read_text(), re.MULTILINE)
    wanted = [
        f"| {status.value} | {', '.join(f'`{each}`' for each in sorted(those))} |"
        for status, those in codes().items()
    ]
    wrong = "\n".join(each for each in wanted if each not in rows)
    assert rows == wanted, f"these rows of docs/api.md are to be:\n{wrong}"


def test_a_mistake_about_a_field_names_it_with_what_it_may_be() -> None:
    fault = faults_in(UnknownTarget("x", ["orders", "billing"]))
    assert fault == (
        Fault("target", str(UnknownTarget("x", ["orders", "billing"])), ("orders", "billing")),
    )
    assert faults_in(PolicyDenied("no")) == ()
