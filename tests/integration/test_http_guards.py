"""What every call is held to, and what every answer says: over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api.app import make_app
from api.callers.door import Door
from api.guards.connections import LONGEST_FIELD, LONGEST_LINE, MOST_FIELDS, Runner
from api.guards.terms import Guards, Terms
from broker.domain.quota import Quota
from tests.support.house import NOBODY, House, house_on
from tests.support.stage import DEV, OTHER_DEV, Stage

pytestmark = pytest.mark.newest

ASKED = {"target": "orders", "role": "orders_reader", "duration": "PT1H"}
ORIGIN = "https://ops.example.com"
DEADLINE_S = 10.0


@pytest.fixture
async def house(shared_stage: Stage) -> AsyncIterator[House]:
    async with house_on(shared_stage) as made:
        yield made


@asynccontextmanager
async def guarded(
    house: House, terms: Terms, public_url: str | None = None
) -> AsyncIterator[House]:
    """Yield the same house with these terms, and a clock that stands still."""
    app = make_app(house.broker, Door(public_url), Guards(terms, now=lambda: 100.0))
    async with TestClient(TestServer(app)) as client:
        yield House(house.broker, client, house.tokens)


async def call(
    house: House, who: str, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Mapping[str, str], bytes]:
    if who != NOBODY:
        headers["Authorization"] = f"Bearer {await house.token(who)}"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with house.client.request(method, path, json=body, headers=named) as response:
        return response.status, response.headers, await response.read()


async def test_what_somebody_has_already_is_not_sent_again(house: House) -> None:
    status, first, body = await call(house, DEV, "GET", "/v1/tokens")
    assert (status, first["Cache-Control"]) == (200, "private, no-cache")
    etag = first["ETag"]
    status, same, nothing = await call(house, DEV, "GET", "/v1/tokens", If_None_Match=etag)
    assert (status, nothing, same["ETag"]) == (304, b"", etag)
    assert same["Cache-Control"] == first["Cache-Control"]
    assert "Content-Length" not in same
    await call(house, DEV, "POST", "/v1/tokens", {})
    status, news, more = await call(house, DEV, "GET", "/v1/tokens", If_None_Match=etag)
    assert status == 200
    assert news["ETag"] != etag
    assert len(more) > len(body)


async def test_pages_and_secrets_have_no_etag(house: House) -> None:
    for method, path in (("GET", "/sign-in"), ("POST", "/v1/tokens"), ("GET", "/healthz")):
        body: dict[str, Any] | None = {} if method == "POST" else None
        _, headers, _ = await call(house, DEV, method, path, body, Accept="text/html")
        assert "ETag" not in headers


async def test_answers_are_compressed_but_for_those_with_secrets(house: House) -> None:
    for _ in range(5):
        await call(house, DEV, "POST", "/v1/tokens", {"label": "x" * 100})
    taking = {"Accept_Encoding": "gzip"}
    _, headers, body = await call(house, DEV, "GET", "/v1/tokens", **taking)
    assert (headers["Content-Encoding"], headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert len(body) > int(headers["Content-Length"])
    assert json.loads(body)["items"]
    _, plain, _ = await call(house, DEV, "GET", "/v1/tokens", Accept_Encoding="identity")
    assert "Content-Encoding" not in plain
    assert plain["ETag"] == headers["ETag"]
    for path in ("/v1/tokens", "/v1/credentials"):
        _, secret, _ = await call(house, DEV, "POST", path, {"label": "x" * 100}, **taking)
        assert "Content-Encoding" not in secret


async def test_who_calls_too_often_is_told_when_to_come_back(house: House) -> None:
    terms = Terms(people=Quota(per_minute=60, burst=3), strangers=Quota(per_minute=30, burst=2))
    async with guarded(house, terms) as held:
        answers = [await call(held, DEV, "GET", "/v1/me") for _ in range(4)]
        assert [status for status, _, _ in answers] == [200, 200, 200, 429]
        _, headers, body = answers[-1]
        assert json.loads(body)["code"] == "rate-limited"
        assert headers["Retry-After"] == "1"
        assert headers["RateLimit"] == '"default";r=0;t=3'
        assert answers[0][1]["RateLimit-Policy"] == '"default";q=3;w=3'
        # Others have a count of their own, and whoever watches us is not counted.
        assert (await call(held, OTHER_DEV, "GET", "/v1/me"))[0] == 200
        for path in ("/healthz",) * 5:
            status, headers, _ = await call(held, NOBODY, "GET", path)
            assert (status, "RateLimit" in headers) == (200, False)
        strangers = [(await call(held, NOBODY, "GET", "/v1/sign-in"))[0] for _ in range(3)]
        assert strangers == [200, 200, 429]


async def test_guessing_is_bounded_and_shuts_out_nobody_who_is_at_work(house: House) -> None:
    async with guarded(house, Terms(strangers=Quota(per_minute=30, burst=2))) as held:
        assert (await call(held, DEV, "GET", "/v1/me"))[0] == 200
        for wanted in (401, 401, 429, 429):
            wrong = {"Authorization": "Bearer pgcurfew_wrong"}
            assert (await call(held, NOBODY, "GET", "/v1/me", None, **wrong))[0] == wanted
        assert (await call(held, DEV, "GET", "/v1/me"))[0] == 200
        # Whoever was not here before waits: nobody looks at what they bring.
        assert (await call(held, OTHER_DEV, "GET", "/v1/me"))[0] == 429


async def test_behind_a_trusted_proxy_callers_are_told_apart(
    shared_stage: Stage, house: House
) -> None:
    terms = Terms(
        strangers=Quota(per_minute=1, burst=1), trusted_proxies=(ip_network("127.0.0.0/8"),)
    )
    async with guarded(house, terms) as held:
        for caller, wanted in (("192.0.2.1", 200), ("192.0.2.1", 429), ("192.0.2.2", 200)):
            forwarded = {"X_Forwarded_For": f"198.51.100.7, {caller}"}
            assert (await call(held, NOBODY, "GET", "/v1/sign-in", **forwarded))[0] == wanted
        forwarded = {"X_Forwarded_For": "192.0.2.9"}
        _, _, asked = await call(held, DEV, "POST", "/v1/requests", ASKED, **forwarded)
    _, _, forged = await call(house, DEV, "POST", "/v1/requests", ASKED, **forwarded)
    where = "SELECT source FROM curfew.requests WHERE id = $1"
    sources = [
        await shared_stage.query_ledger(where, json.loads(each)["id"]) for each in (asked, forged)
    ]
    assert sources == ["192.0.2.9", "127.0.0.1"]


async def test_other_sites_scripts_are_let_in_only_if_they_are_named(house: House) -> None:
    async with guarded(house, Terms(cors_origins=frozenset({ORIGIN}))) as held:
        asking = {"Access_Control_Request_Method": "POST"}
        status, headers, _ = await call(
            held, NOBODY, "OPTIONS", "/v1/requests", Origin=ORIGIN, **asking
        )
        assert (status, headers["Access-Control-Allow-Origin"]) == (204, ORIGIN)
        assert "Idempotency-Key" in headers["Access-Control-Allow-Headers"]
        status, headers, _ = await call(held, DEV, "GET", "/v1/me", Origin=ORIGIN)
        assert (status, headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)
        assert "ETag" in headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in headers
        # What went wrong is theirs to read as well.
        _, headers, _ = await call(held, NOBODY, "GET", "/v1/me", Origin=ORIGIN)
        assert headers["Access-Control-Allow-Origin"] == ORIGIN
        for path, origin in (
            ("/v1/me", "https://evil.example"),
            ("/v1/me", f"{ORIGIN}.evil.example"),
            ("/me", ORIGIN),
        ):
            for method in ("GET", "OPTIONS"):
                _, headers, _ = await call(held, DEV, method, path, Origin=origin, **asking)
                assert "Access-Control-Allow-Origin" not in headers
        assert "Origin" in (await call(held, DEV, "GET", "/v1/me"))[1]["Vary"]
    status, headers, _ = await call(
        house, NOBODY, "OPTIONS", "/v1/requests", Origin=ORIGIN, **asking
    )
    assert status == 401
    assert not [name for name in headers if name.startswith("Access-Control")]


async def test_every_answer_tells_browsers_to_do_nothing_with_it(house: House) -> None:
    async with guarded(house, Terms(), public_url="https://curfew.example.com") as held:
        for path in ("/v1/me", "/v1/nothing", "/healthz", "/sign-in"):
            _, headers, _ = await call(held, NOBODY, "GET", path)
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
            assert headers["Strict-Transport-Security"] == "max-age=31536000"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Server"] == "pgcurfew"
    assert "Strict-Transport-Security" not in (await call(house, NOBODY, "GET", "/healthz"))[1]


async def test_the_api_takes_json_and_nothing_that_a_form_could_send(house: House) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        headers = {"Authorization": f"Bearer {await house.token(DEV)}", "Content-Type": kind}
        body = json.dumps(ASKED).encode()
        async with house.client.post("/v1/requests", data=body, headers=headers) as response:
            said = await response.json()
        assert (response.status, said["code"]) == (415, "unsupported-media-type")


class Line:
    """A connection on which anything can be said."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, text: str | bytes) -> None:
        self.writer.write(text if isinstance(text, bytes) else text.encode())
        await self.writer.drain()

    async def hear(self) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Return status, headers and problem of the answer."""
        async with asyncio.timeout(DEADLINE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            status, *lines = head.strip().split("\r\n")
            headers = dict(each.split(": ", 1) for each in lines)
            body = await self.reader.readexactly(int(headers["Content-Length"]))
        assert headers["Server"] == "pgcurfew"
        assert headers["Content-Type"].startswith("application/problem+json"), body
        return int(status.split()[1]), headers, json.loads(body)


@pytest.fixture
async def port(house: House) -> AsyncIterator[int]:
    """Serve as the command line does, but give up on bodies sooner."""
    runner = Runner(make_app(house.broker, None, Guards(Terms(body_patience_s=0.3))))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@asynccontextmanager
async def line_to(port: int) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()


HOST = "Host: x\r\n"


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        (f"GET /{'x' * LONGEST_LINE} HTTP/1.1\r\n{HOST}\r\n", 414, "address-too-long"),
        (
            f"GET / HTTP/1.1\r\n{HOST}A: {'x' * (LONGEST_FIELD + 1)}\r\n\r\n",
            431,
            "headers-too-large",
        ),
        (
            f"GET / HTTP/1.1\r\n{HOST}" + "A: x\r\n" * (MOST_FIELDS + 1) + "\r\n",
            431,
            "headers-too-large",
        ),
        ("\x16\x03\x01 hello\r\n\r\n", 400, "bad-request"),
        ("GET / HTTP/9.9.9\r\n\r\n", 400, "bad-request"),
        (f"GET / HTTP/1.1\r\n{HOST}Content-Length: -1\r\n\r\n", 400, "bad-request"),
        (f"GET /?{'a&' * 200} HTTP/1.1\r\n{HOST}\r\n", 400, "bad-request"),
        (f"GET / HTTP/1.1\r\n{HOST}Expect: miracles\r\n\r\n", 417, "expectation-failed"),
    ],
)
async def test_what_is_no_request_or_too_long_gets_a_clean_answer(
    port: int, caplog: pytest.LogCaptureFixture, said: str, status: int, code: str
) -> None:
    """And no trace in the log, which everybody could fill with it."""
    async with line_to(port) as line:
        await line.say(said)
        found, _, problem = await line.hear()
    assert (found, problem["code"]) == (status, code)
    assert "xxx" not in problem["detail"]
    assert [each for each in caplog.records if each.exc_info] == []


async def test_a_body_that_is_too_long_is_told_how_long_it_may_be(house: House, port: int) -> None:
    bearer = f"Authorization: Bearer {await house.token(DEV)}\r\nContent-Type: application/json\r\n"
    for length, body in (
        ("Content-Length: 70000\r\n", b"x" * 70_000),
        ("Transfer-Encoding: chunked\r\n", b"11170\r\n" + b"x" * 70_000 + b"\r\n0\r\n\r\n"),
    ):
        async with line_to(port) as line:
            await line.say(f"POST /v1/requests HTTP/1.1\r\n{HOST}{bearer}{length}\r\n")
            await line.say(body)
            status, _, problem = await line.hear()
        assert (status, problem["code"]) == (413, "too-large")
        assert "65536" in problem["detail"].replace(",", "")


@pytest.mark.parametrize("path", ["/v1/requests", "/v1/policies/replay", "/sign-in"])
async def test_a_body_that_never_ends_is_given_up_on(
    house: House, port: int, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    kind = "x-www-form-urlencoded" if path == "/sign-in" else "json"
    headers = [HOST, f"Content-Type: application/{kind}\r\n", "Content-Length: 1000\r\n"]
    headers.append(
        "Origin: http://x\r\n"
        if path == "/sign-in"
        else f"Authorization: Bearer {await house.token(DEV)}\r\n"
    )
    async with line_to(port) as line:
        await line.say(f"POST {path} HTTP/1.1\r\n{''.join(headers)}\r\n{{")
        status, _, problem = await line.hear()
        assert (status, problem["code"]) == (408, "too-slow")
        async with asyncio.timeout(DEADLINE_S):
            assert await line.reader.read() == b""  # and hung up
    assert [each for each in caplog.records if each.exc_info] == []
