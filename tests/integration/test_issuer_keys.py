"""Keys of an issuer over HTTP: rotation, an issuer that is down, and answers that make no sense."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from aiohttp import web
from joserfc.jwk import RSAKey

from broker.domain.errors import ProviderUnreachable
from broker.identity.fetching import Unusable, open_http
from broker.identity.keys import IssuerKeys
from broker.identity.metadata import fetch_metadata
from tests.support.issuer import Issuer, key_of, public, run_issuer

DISCOVERY = "/.well-known/openid-configuration"
NO_LONGER = web.Response(status=503)


@dataclass(slots=True)
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def keys_of(issuer: Issuer) -> AsyncIterator[tuple[IssuerKeys, Clock]]:
    clock = Clock()
    async with open_http() as http:
        yield IssuerKeys(issuer.url, http, clock), clock


async def kids(keys: IssuerKeys, wanted: str | None = None) -> list[str | None]:
    return [key.kid for key in await keys.find(wanted)]


def publish(issuer: Issuer, *names: str) -> None:
    issuer.published = [public(key_of("P-256", name)) for name in names]


async def test_keys_are_asked_for_once_and_then_held() -> None:
    async with run_issuer() as issuer, keys_of(issuer) as (keys, clock):
        for _ in range(3):
            assert await kids(keys, "k1") == ["k1"]
            clock.now += 100
        assert issuer.asked == [DISCOVERY, "/keys"]
        assert (await keys.metadata()).jwks_uri == f"{issuer.url}/keys"


@pytest.mark.parametrize(
    ("cache_control", "held_for"),
    [
        ("", 600),
        ("public, max-age=900", 900),
        ("max-age=5", 60),
        ("max-age=31536000", 3600),
        ("max-age=99999999999999999999", 600),
        ("no-store", 600),
    ],
)
async def test_keys_are_held_for_as_long_as_the_issuer_says_within_reason(
    cache_control: str, held_for: float
) -> None:
    async with run_issuer() as issuer, keys_of(issuer) as (keys, clock):
        issuer.cache_control = cache_control
        await kids(keys)
        clock.now += held_for - 1
        await kids(keys)
        assert issuer.times_asked_for_keys == 1
        clock.now += 1
        await kids(keys)
        assert issuer.times_asked_for_keys == 2


async def test_a_new_key_is_found_when_it_is_first_used_and_a_withdrawn_one_is_gone() -> None:
    async with run_issuer() as issuer, keys_of(issuer) as (keys, clock):
        assert await kids(keys, "k1") == ["k1"]
        publish(issuer, "k2")
        clock.now += 10
        assert await kids(keys, "k2") == ["k2"]


async def test_unknown_keys_cannot_make_us_flood_the_issuer() -> None:
    async with run_issuer() as issuer, keys_of(issuer) as (keys, clock):
        await kids(keys, "k1")
        for number in range(50):
            assert await kids(keys, f"unknown-{number}") == ["k1"]
        assert issuer.times_asked_for_keys == 1
        clock.now += 10
        for number in range(50):
            assert await kids(keys, f"unknown-{number}") == ["k1"]
        assert issuer.times_asked_for_keys == 2


async def test_many_at_once_ask_once() -> None:
    async with run_issuer() as issuer, keys_of(issuer) as (keys, clock):
        await asyncio.gather(*(kids(keys, "k1") for _ in range(20)))
        assert issuer.times_asked_for_keys == 1
        clock.now += 10
        publish(issuer, "k1", "k2")
        found = await asyncio.gather(*(kids(keys, each) for each in ("k1", "k2") * 10))
        assert {tuple(each) for each in found[1::2]} == {("k1", "k2")}
        assert issuer.times_asked_for_keys == 2


async def test_while_somebody_asks_anew_all_others_use_what_is_held() -> None:
    async with run_issuer() as issuer, keys_of(issuer) as (keys, clock):
        await kids(keys)
        clock.now += 600
        publish(issuer, "k2")
        found = await asyncio.gather(*(kids(keys, "k1") for _ in range(3)))
        assert found == [["k2"], ["k1"], ["k1"]]
        assert issuer.times_asked_for_keys == 2


async def test_keys_go_on_serving_while_their_issuer_is_down_but_not_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with run_issuer() as issuer, keys_of(issuer) as (keys, clock):
        await kids(keys)
        issuer.answers["/keys"] = NO_LONGER
        for _ in range(23):
            clock.now += 3600
            assert await kids(keys, "k1") == ["k1"]
        assert [each.message for each in caplog.records] == [
            f"issuer {issuer.url}: {issuer.url}/keys answered 503; trying again"
        ]
        clock.now += 3601
        with pytest.raises(ProviderUnreachable, match="cannot be checked"):
            await kids(keys, "k1")
        del issuer.answers["/keys"]
        clock.now += 10
        assert await kids(keys, "k1") == ["k1"]


async def test_an_issuer_that_is_down_from_the_start_is_not_asked_at_every_token() -> None:
    async with run_issuer() as issuer, keys_of(issuer) as (keys, clock):
        issuer.answers[DISCOVERY] = NO_LONGER
        for _ in range(5):
            with pytest.raises(ProviderUnreachable):
                await kids(keys)
        assert issuer.asked == [DISCOVERY]
        clock.now += 10
        issuer.answers.clear()
        assert await kids(keys) == ["k1"]


async def test_nobody_at_the_address_is_down_too() -> None:
    async with run_issuer() as issuer:
        gone = Issuer(url=issuer.url)
    async with keys_of(gone) as (keys, _clock):
        with pytest.raises(ProviderUnreachable):
            await kids(keys)


@pytest.mark.parametrize(
    ("path", "answer", "complaint"),
    [
        (DISCOVERY, {"issuer": "https://evil.example.com"}, "is of another issuer"),
        (DISCOVERY, {"jwks_uri": None}, "names no jwks_uri"),
        (DISCOVERY, {"jwks_uri": "http://id.example.com/keys"}, "jwks_uri is no https:// address"),
        (DISCOVERY, {"token_endpoint": 7}, "token_endpoint is no https:// address"),
        (DISCOVERY, web.Response(status=302, headers={"Location": "/elsewhere"}), "answered 302"),
        ("/keys", web.Response(text="<html>"), "is not JSON"),
        ("/keys", web.Response(text="[" * 100_000), "is not JSON"),
        ("/keys", web.Response(text="[]"), "is not a JSON object"),
        ("/keys", web.Response(body=b"\xff\xfe\xfd"), "is not JSON"),
        ("/keys", web.Response(body=b" " * 300_000), "is larger than 262144 bytes"),
        ("/keys", {"keys": {}}, "is no key set"),
        ("/keys", {"keys": []}, "has no key that we could use"),
    ],
)
async def test_an_answer_that_makes_no_sense_is_no_answer(
    caplog: pytest.LogCaptureFixture, path: str, answer: Any, complaint: str
) -> None:
    async with run_issuer() as issuer, keys_of(issuer) as (keys, _clock):
        if path == DISCOVERY and isinstance(answer, dict):
            answer = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys", **answer}
        issuer.answers[path] = answer
        with pytest.raises(ProviderUnreachable):
            await kids(keys)
        (record,) = caplog.records
        assert complaint in record.message


async def test_keys_that_are_not_for_us_do_not_spoil_those_that_are() -> None:
    with pytest.warns(match="2048"):
        short = RSAKey.generate_key(1024, {"kid": "short"})
    good = public(key_of("P-256", "good"))
    async with run_issuer() as issuer, keys_of(issuer) as (keys, _clock):
        issuer.published = [
            "rubbish",  # type: ignore[list-item]
            {},
            {"kty": "AKP", "kid": "of a kind to come", "alg": "ML-DSA-44", "pub": "AAAA"},
            {"kty": "oct", "kid": "published secret", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ"},
            {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
            {"kty": "EC", "kid": "odd curve", "crv": "P-7", "x": "AA", "y": "AA"},
            {"kty": "EC", "kid": "off its curve", "crv": "P-256", "x": "AA", "y": "AA"},
            {**good, "kid": "to encrypt", "use": "enc"},
            {**good, "kid": ["list"]},
            public(short),
            good,
        ]
        assert await kids(keys) == ["good"]


@pytest.mark.parametrize("name", ["jwks_uri", "token_endpoint", "userinfo_endpoint"])
async def test_an_issuer_elsewhere_cannot_send_us_to_what_listens_on_this_machine(
    name: str,
) -> None:
    elsewhere = "https://id.example.com"
    said = {"issuer": elsewhere, "jwks_uri": f"{elsewhere}/keys", name: "http://127.0.0.1:7480/"}

    async def content() -> AsyncIterator[bytes]:
        yield json.dumps(said).encode()

    answering = httpx2.MockTransport(lambda _request: httpx2.Response(200, content=content()))
    async with httpx2.AsyncClient(transport=answering) as http:
        with pytest.raises(Unusable, match=f"{name} is no https:// address"):
            await fetch_metadata(http, elsewhere)
