"""The HTTP API as programs see it: problems that explain themselves, pages, and health."""

from typing import Any

import aiohttp
import pytest

from tests.support.service import Service
from tests.support.stage import DEV, OTHER_DEV, REVIEWER

pytestmark = pytest.mark.newest


async def _call(
    service: Service,
    method: str,
    path: str,
    *,
    who: str | None = DEV,
    body: str | None = None,
    json: dict[str, Any] | None = None,
) -> tuple[int, str, Any]:
    headers = {"Authorization": f"Bearer {service.tokens[who]}"} if who else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, service.api_url + path, data=body, json=json) as response,
    ):
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        return response.status, kind, await response.json(content_type=None)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/nothing", None, 404, "not-found"),
        ("DELETE", "/v1/requests", None, 405, "method-not-allowed"),
        ("POST", "/v1/requests", "not json", 422, "invalid"),
        ("POST", "/v1/requests", "{}", 422, "invalid"),
        ("POST", "/v1/requests", "x" * 70_000, 413, "too-large"),
        ("GET", "/v1/requests/req_0000000000000000", None, 404, "not-found"),
        ("GET", "/v1/requests/%00", None, 404, "not-found"),
        ("GET", "/v1/requests?limit=0", None, 422, "invalid"),
        ("GET", "/v1/requests?status=odd", None, 422, "invalid"),
        ("GET", "/v1/requests?after=%00", None, 422, "invalid"),
        ("GET", "/v1/sessions?grant='--", None, 422, "invalid"),
        ("GET", "/v1/grants/grt_0000000000000000", None, 404, "not-found"),
        ("POST", "/v1/grants/grt_0000000000000000/credential", None, 404, "not-found"),
    ],
)
async def test_a_mistake_is_a_problem_with_a_stable_code(
    service: Service, method: str, path: str, body: str | None, status: int, code: str
) -> None:
    found, kind, problem = await _call(service, method, path, body=body)
    assert (found, kind) == (status, "application/problem+json")
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["detail"]


@pytest.mark.parametrize("duration", ["0s", "-1h", "soon", "", 3600])
async def test_a_duration_that_is_none_is_explained(service: Service, duration: object) -> None:
    wish = {"target": "orders", "role": "orders_reader", "duration": duration}
    status, _, problem = await _call(service, "POST", "/v1/requests", json=wish)
    assert status == 422
    assert problem["errors"][0]["field"] == "duration"
    assert "example PT1H" in problem["errors"][0]["message"]


@pytest.mark.parametrize("reason", ["\x1b[2J", "a\0b", "x" * 2001, 7])
async def test_a_reason_is_text_that_is_safe_to_print(service: Service, reason: object) -> None:
    wish = {"target": "orders", "role": "orders_reader", "duration": "1h", "reason": reason}
    status, _, problem = await _call(service, "POST", "/v1/requests", json=wish)
    assert status == 422
    assert problem["errors"][0]["field"] == "reason"


async def test_too_long_a_duration_says_what_is_allowed(service: Service) -> None:
    wish = {"target": "orders", "role": "orders_reader", "duration": "PT8H1S"}
    status, _, problem = await _call(service, "POST", "/v1/requests", json=wish)
    assert (status, problem["code"]) == (422, "duration-too-long")
    assert problem["detail"] == "8h 1s is too long: policy 'readers' allows at most 8h"


async def test_nobody_gets_in_without_a_token_but_may_ask_whether_we_live(
    service: Service,
) -> None:
    status, _, problem = await _call(service, "GET", "/v1/requests", who=None)
    assert (status, problem["code"]) == (401, "unauthenticated")
    assert (await _call(service, "GET", "/healthz", who=None))[2] == {"status": "ok"}
    status, _, ready = await _call(service, "GET", "/readyz", who=None)
    assert (status, ready["ledger"], ready["targets"]) == (200, "ok", {"orders": "ok"})


async def test_approving_twice_is_a_conflict_and_approving_oneself_forbidden(
    service: Service,
) -> None:
    wish = {"target": "orders", "role": "orders_reader", "duration": "5m"}
    _, _, asked = await _call(service, "POST", "/v1/requests", json=wish)
    approval = f"/v1/requests/{asked['id']}/approval"
    status, _, problem = await _call(service, "POST", approval)
    assert (status, problem["code"]) == (403, "self-approval")
    assert (await _call(service, "POST", approval, who=REVIEWER))[0] == 201
    status, _, problem = await _call(service, "POST", approval, who=REVIEWER)
    assert (status, problem["code"]) == (409, "illegal-transition")


async def test_a_person_sees_their_own_and_an_approver_what_they_approve(
    service: Service,
) -> None:
    access = await service.get_access()
    for path in (
        f"/v1/grants/{access.grant.id}",
        f"/v1/requests/{access.grant.request_id}",
    ):
        assert (await _call(service, "GET", path, who=DEV))[0] == 200
        assert (await _call(service, "GET", path, who=REVIEWER))[0] == 200
        assert (await _call(service, "GET", path, who=OTHER_DEV))[0] == 404
    credential = f"/v1/grants/{access.grant.id}/credential"
    assert (await _call(service, "POST", credential, who=REVIEWER))[0] == 404


async def test_lists_come_in_pages(service: Service) -> None:
    async with service.client(OTHER_DEV) as other:
        before = {each.id for each in (await other.list_requests(limit=500)).items}
    wish = {"target": "orders", "role": "orders_reader", "duration": "5m"}
    made = [
        (await _call(service, "POST", "/v1/requests", who=OTHER_DEV, json=wish))[2]["id"]
        for _ in range(3)
    ]
    seen: list[str] = []
    path = "/v1/requests?limit=2"
    while True:
        _, _, page = await _call(service, "GET", path, who=OTHER_DEV)
        seen += [each["id"] for each in page["items"]]
        if page["next"] is None:
            break
        path = f"/v1/requests?limit=2&after={page['next']}"
    assert seen[:3] == made[::-1]
    assert set(seen) == before | set(made)


async def test_targets_show_what_one_may_ask_for(service: Service) -> None:
    _, _, page = await _call(service, "GET", "/v1/targets", who=REVIEWER)
    (target,) = page["items"]
    assert (target["name"], target["reachable"]) == ("orders", True)
    assert [role["name"] for role in target["roles"]] == ["orders_reader"]


async def test_a_credential_is_for_nobodys_cache_and_has_everything(service: Service) -> None:
    access = await service.get_access()
    _, _, credential = await _call(service, "POST", f"/v1/grants/{access.grant.id}/credential")
    fields = {"host", "port", "user", "password", "dbname", "sslmode", "expires_at", "dsn", "psql"}
    assert fields <= set(credential)
    assert credential["dsn"] == (
        f"postgresql://{credential['user']}:{credential['password']}@localhost:"
        f"{service.proxy_port}/{access.grant.database}?sslmode=verify-full"
    )
