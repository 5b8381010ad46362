"""Every route, called as every kind of person, against what the table says; and whose things they
see."""

import itertools
import re
from typing import Any

import pytest
import yaml

from api.access import ROUTES, Access
from api.web.assets import asset_url
from broker.domain.authorization import Actor, Reach, may, reach
from broker.domain.verdict import Allow, Deny
from tests.support.house import (
    AUDITOR,
    EVERYTHING_AT_ONCE,
    JOB,
    NOBODY,
    OPERATOR,
    Holding,
    House,
    house_on,
)
from tests.support.stage import DEV, OTHER_DEV, POLICIES, REVIEWER, Stage

pytestmark = pytest.mark.newest

REFUSED = {401, 403, 404}
# What the policy has against it, whoever asks.
POLICYS = {"not-escalatable", "approvers-only", "approval-needed", "not-yours-to-confirm"}
# How one comes in: what they refuse is what they are shown, whoever shows it.
WAYS_IN = {
    "POST /sign-in",
    "GET /sign-in/{provider}",
    "GET /sign-in/{provider}/callback",
    "POST /v1/sign-in",
}
# What a call needs in its body to be one that could work; nothing, unless it is named here.
BODIES: dict[str, dict[str, str]] = {
    "POST /v1/requests": {"target": "orders", "role": "orders_reader", "duration": "PT1H"},
    "POST /v1/credentials": {"target": "orders", "role": "orders_reader", "duration": "PT1H"},
    "POST /v1/requests/{id}/comments": {"text": "now"},
    "POST /v1/grants/{id}/extension": {"duration": "PT1H"},
    "POST /v1/grants/{id}/review": {"text": "it was burning"},
    "POST /access/{id}/extension": {"duration": "1h"},
    "POST /requests/{id}/approval": {"duration": "30m"},
    "POST /requests/{id}/comments": {"text": "now"},
    "POST /grants/{id}/extension": {"duration": "1h"},
    "POST /grants/{id}/review": {"text": "it was burning"},
    "POST /v1/policies/test": {"target": "orders", "role": "orders_reader"},
    "POST /v1/policies/replay": {
        "policies": yaml.safe_dump(POLICIES),
        "since": "2026-01-01T00:00:00Z",
    },
    "POST /v1/allowances": {
        "person": OTHER_DEV,
        "target": "orders",
        "role": "orders_reader",
        "duration": "PT1H",
        "ends_at": "2100-01-01T00:00:00Z",
    },
}


async def path_of(house: House, route: str, holding: Holding) -> str:  # noqa: C901, PLR0912  (flat)
    """Return the route's path with something in it that could be acted on."""
    path = route.partition(" ")[2]
    if path == "/v1/audit/stream":
        return f"{path}?follow=false"  # it would go on for ever
    if "{" not in path:
        return path
    match path.removeprefix("/v1").split("/")[1:3]:
        case ["requests" | "request", _]:
            return path.format(id=holding.request)
        case ["grants" | "access", _]:
            return path.format(id=holding.grant)
        case ["sessions", _]:
            return path.format(id=holding.session)
        case ["held-commits", _]:
            return path.format(id=await house.held_commit(holding))
        case ["alarms", _]:
            return path.format(id=await house.alarm(holding.grant))
        case ["bans", *_]:
            return path.format(key=(await house.ban()).replace("/", "%2F"))
        case ["allowances", _]:
            return path.format(id=await house.allowance(holding.email))
        case ["tokens", _]:
            return path.format(id=await house.spare_token(holding.email))
        case ["policies", "versions"]:
            return path.format(number=house.broker.context.policy_version)
        case ["people", _]:
            return path.format(email=holding.email)
        case ["targets", _]:
            return path.format(name="orders")
        case ["static", _]:
            return asset_url("style.css")
        case _:
            pytest.fail(f"path_of() knows nothing that {route} could act on: add a case")


def is_of_a_thing(route: str, access: Access) -> bool:
    """Say whether the call is about something that is somebody's: by its path, or by its body. A
    target is nobody's: everybody here may ask for something on it."""
    if "/targets/" in route:
        return False
    return "{" in route or (Reach.OWN not in access.through and not route.startswith("GET "))


def is_let_in(access: Access, actor: Actor | None, ties: set[Reach], *, of_a_thing: bool) -> bool:
    """Say what the table means for somebody who has to do with the thing in these ways."""
    if access.is_open or actor is None:
        return access.is_open
    if not of_a_thing:
        return not isinstance(reach(actor, access.through), Deny)
    near = [access.through[each] for each in ties if each in access.through]
    return any(isinstance(may(actor, action), Allow) for action in near)


def _code(said: Any) -> str:
    """Return why it was refused; a form that was refused is a page again, and says so there."""
    return str(said["code"] if isinstance(said, dict) else said)


async def test_every_route_lets_in_whom_the_table_lets_in(stage: Stage) -> None:
    wrong = []
    async with house_on(stage) as house:
        devs, jobs = await house.holding_of(DEV), await house.holding_of(JOB)
        house.broker.events.stop()  # who is let in would follow them for ever
        for each in (devs, jobs):
            await house.review_due(each.grant)
        callers: list[tuple[str, Holding, set[Reach]]] = [
            (NOBODY, devs, set()),
            (OTHER_DEV, devs, set()),
            (JOB, devs, set()),
            (AUDITOR, devs, {Reach.EVERYTHING}),
            (JOB, jobs, {Reach.OWN}),
            (DEV, devs, {Reach.OWN}),
            (REVIEWER, devs, {Reach.APPROVED}),
            (OPERATOR, devs, {Reach.EVERYTHING}),
        ]
        authority = house.broker.context.authority
        actors = {
            who: None if who == NOBODY else authority.actor(await house.person(who))
            for who, _, _ in callers
        }
        routes = [each for each in ROUTES.items() if each[0] not in WAYS_IN]
        for (who, holding, ties), (route, access) in itertools.product(callers, routes):
            wanted = is_let_in(access, actors[who], ties, of_a_thing=is_of_a_thing(route, access))
            path = await path_of(house, route, holding)
            status, said = await house.call(who, route.split()[0], path, BODIES.get(route))
            refused = status in REFUSED and _code(said) not in POLICYS
            if refused == wanted or status in {405, 422, 500}:
                wrong.append((who, sorted(ties), route, status, said))
    assert not wrong, (
        "these are not as api/access.py says; a 422 wants a body in BODIES:\n"
        + "\n".join(map(str, wrong))
    )


async def test_two_people_never_see_each_others_things(stage: Stage) -> None:
    async with house_on(stage) as house:
        holdings = {who: await house.holding_of(who) for who in (DEV, OTHER_DEV, JOB)}
        for path, kind in (
            ("/v1/requests", "request"),
            ("/v1/grants", "grant"),
            ("/v1/sessions", "session"),
        ):
            ids = {who: getattr(holding, kind) for who, holding in holdings.items()}
            for who, own in ids.items():
                assert await house.listed(who, path) == {own}
                for each in ids.values():
                    status, _ = await house.call(who, "GET", f"{path}/{each}")
                    assert status == (200 if each == own else 404)
            for who in (REVIEWER, OPERATOR, AUDITOR):
                assert await house.listed(who, path) == set(ids.values())
        assert await house.listed(OPERATOR, "/v1/grants?mine=true") == set()
        alarms = {await house.alarm(holding.grant) for holding in holdings.values()}
        assert [await house.listed(who, "/v1/alarms") for who in (DEV, REVIEWER, AUDITOR)] == [
            set(),
            alarms,
            alarms,
        ]


async def test_an_auditor_and_a_token_that_reads_change_nothing(stage: Stage) -> None:
    """Whatever else the auditor is, and whatever the token's holder may do."""
    changing = [
        route
        for route, access in ROUTES.items()
        if access.through and not set(access.through.values()) & {"read", "tokens", "sign"}
    ]
    assert changing
    async with house_on(stage) as house:
        for route in changing:
            method, path = re.sub(r"{\w+}", "something", route).split()
            for who, scopes, code in (
                (AUDITOR, None, "auditor-changes-nothing"),
                (EVERYTHING_AT_ONCE, None, "auditor-changes-nothing"),
                (OPERATOR, "read", "out-of-scope"),
            ):
                status, problem = await house.call(who, method, path, scopes=scopes)
                assert (status, problem["code"]) == (403, code), (who, route)


async def test_what_is_in_no_table_is_refused_and_what_is_nowhere_is_not_found(
    stage: Stage,
) -> None:
    async with house_on(stage) as house:
        for who in (DEV, OPERATOR, AUDITOR):
            status, problem = await house.call(who, "GET", "/v1/unlisted")
            assert (status, problem["code"]) == (403, "unlisted-route")
        assert (await house.call(NOBODY, "GET", "/v1/unlisted"))[0] == 401
        assert (await house.call(DEV, "GET", "/v1/nowhere"))[0] == 404
        assert (await house.call(NOBODY, "GET", "/v1/nowhere"))[0] == 401
        assert (await house.call(DEV, "PATCH", "/v1/grants"))[0] == 405


async def test_a_token_reaches_no_further_than_its_actions(stage: Stage) -> None:
    """For what somebody may do in several ways, each takes an action of its own."""
    async with house_on(stage) as house:
        theirs, own = await house.holding_of(DEV), await house.holding_of(REVIEWER)
        alarm = await house.alarm(theirs.grant)

        async def answers(who: str, scopes: str, method: str, *paths: str) -> list[int]:
            return [(await house.call(who, method, each, scopes=scopes))[0] for each in paths]

        sessions = [f"/v1/sessions/{each.session}" for each in (theirs, own)]
        of_grants = [f"/v1/grants/{each.grant}/sessions" for each in (theirs, own)]
        # 409: it has ended already. So the door and the service had nothing against it.
        assert await answers(REVIEWER, "ask", "DELETE", *sessions) == [403, 409]
        assert await answers(REVIEWER, "ask", "DELETE", *of_grants) == [403, 200]
        assert await answers(REVIEWER, "decide", "DELETE", *sessions) == [409, 409]
        assert await answers(OPERATOR, "ask decide", "DELETE", *sessions) == [403, 403]
        assert await answers(OPERATOR, "operate", "DELETE", *sessions) == [409, 409]
        extending = f"/v1/grants/{theirs.grant}/extension"
        more, text = {"duration": "PT1M", "reason": "more"}, {"text": "why?"}
        for who, scopes, path, body, status in (
            (REVIEWER, "ask", extending, more, 403),
            (DEV, "decide", extending, more, 403),
            (DEV, "ask", extending, more, 202),
            (REVIEWER, "ask", f"/v1/requests/{theirs.request}/comments", text, 403),
            (REVIEWER, "decide", f"/v1/requests/{theirs.request}/comments", text, 201),
            (REVIEWER, "ask", f"/v1/requests/{own.request}/comments", text, 201),
        ):
            found, said = await house.call(who, "POST", path, body, scopes)
            assert found == status, (who, scopes, said)
        closing = f"/v1/alarms/{alarm}/acknowledgement"
        ending = f"/v1/grants/{theirs.grant}/revocation"
        assert await answers(OPERATOR, "decide", "POST", closing, ending) == [404, 403]
        assert await answers(REVIEWER, "ask operate", "POST", closing, ending) == [403, 403]
        assert await answers(OPERATOR, "operate", "POST", closing, ending) == [200, 200]


async def test_people_make_tokens_of_their_own_and_operators_those_of_machines(
    stage: Stage,
) -> None:
    async with house_on(stage) as house:
        for who, scopes, body, answer in (
            (DEV, None, {}, (201, None)),
            (DEV, "tokens read", {}, (201, ["read", "tokens"])),
            (DEV, "tokens", {"scopes": ["ask"]}, (403, "scope-too-wide")),
            (AUDITOR, None, {}, (201, ["read"])),
            (AUDITOR, None, {"scopes": ["ask"]}, (403, "auditor-changes-nothing")),
            (OPERATOR, None, {"holder": JOB}, (201, None)),
            (OPERATOR, "operate ask", {"holder": JOB}, (201, ["ask", "operate"])),
            (OPERATOR, "tokens", {"holder": JOB}, (403, "not-your-token")),
            (OPERATOR, "operate", {}, (403, "out-of-scope")),
            (OPERATOR, None, {"holder": DEV}, (403, "not-your-token")),
            (DEV, None, {"holder": JOB}, (403, "not-your-token")),
            (EVERYTHING_AT_ONCE, None, {"holder": JOB}, (403, "not-your-token")),
            (JOB, None, {}, (403, "not-for-machines")),
        ):
            status, said = await house.call(who, "POST", "/v1/tokens", body, scopes)
            assert (status, said.get("code") or said["scopes"]) == answer, (who, body)


async def test_an_operator_sees_and_revokes_everybodys_tokens(stage: Stage) -> None:
    async with house_on(stage) as house:
        devs, jobs = await house.spare_token(DEV), await house.spare_token(JOB)
        assert {devs, jobs} <= await house.listed(OPERATOR, "/v1/tokens")
        assert {devs, jobs} <= await house.listed(AUDITOR, "/v1/tokens")
        for who, path in ((OPERATOR, "/v1/tokens?mine=true"), (OTHER_DEV, "/v1/tokens")):
            assert not {devs, jobs} & await house.listed(who, path)
        for who, scopes, status in (
            (OTHER_DEV, None, 404),
            (AUDITOR, None, 404),
            (OPERATOR, "tokens", 404),
            (OPERATOR, "operate", 200),
        ):
            found, _ = await house.call(who, "DELETE", f"/v1/tokens/{devs}", scopes=scopes)
            assert found == status, who
