"""What is said to a provider over HTTP when somebody signs in, and what may go wrong there."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from broker.domain.errors import ProviderUnreachable, SignInFailed
from broker.domain.identity.code_flow import RANDOM_BYTES, Transaction, begin, code_in
from broker.domain.identity.device_flow import DeviceCode
from broker.domain.identity.issuer import Metadata
from broker.domain.identity.relying import Answered, Relying
from broker.identity.fetching import open_http
from broker.identity.flow import (
    ask_for_device_code,
    ask_for_token,
    authorization_url,
    exchange,
)
from broker.identity.metadata import fetch_metadata
from tests.support.provider import CLI_CLIENT, NEWCOMER, WEB_CLIENT, Provider

SCOPES = ("openid", "email", "profile")
WEB = Relying(
    provider="company",
    issuer="https://id.example.com",
    client_id=WEB_CLIENT,
    client_secret="a secret",
    scopes=SCOPES,
    callback="https://curfew.example.com/sign-in/company/callback",
)
CLI = replace(WEB, client_id=CLI_CLIENT, client_secret=None, callback=None)


@pytest.fixture
async def metadata(provider: Provider) -> AsyncIterator[Metadata]:
    async with open_http() as http:
        yield await fetch_metadata(http, provider.issuer)


async def _come_back(
    provider: Provider, metadata: Metadata, email: str | None = NEWCOMER
) -> tuple[Transaction, dict[str, str]]:
    attempt = begin("company", "/me", os.urandom(RANDOM_BYTES))
    where = await provider.let_in(authorization_url(WEB, metadata, attempt), email)
    assert where.startswith(f"{WEB.callback}?")
    return attempt, dict(parse_qsl(urlsplit(where).query))


def test_a_browser_is_sent_off_with_a_challenge_and_never_with_what_answers_it(
    metadata: Metadata,
) -> None:
    attempt = begin("company", "/me", os.urandom(RANDOM_BYTES))
    asked = parse_qs(urlsplit(authorization_url(WEB, metadata, attempt)).query)
    assert asked["response_type"] == ["code"]
    assert asked["scope"] == ["openid email profile"]
    assert asked["redirect_uri"] == [WEB.callback]
    assert asked["code_challenge_method"] == ["S256"]
    assert [attempt.verifier] not in asked.values()
    assert (asked["state"], asked["nonce"]) == ([attempt.state], [attempt.nonce])


async def test_a_code_is_exchanged_once(provider: Provider, metadata: Metadata) -> None:
    attempt, answer = await _come_back(provider, metadata)
    assert metadata.always_says_issuer
    code = code_in(answer, attempt, provider.issuer, always_says_issuer=True)
    token = await exchange(WEB, metadata, code, attempt)
    assert token.id_token.count(".") == 2
    with pytest.raises(SignInFailed, match="does not take its code"):
        await exchange(WEB, metadata, code, attempt)


async def test_a_stolen_code_is_worth_nothing_without_its_verifier(
    provider: Provider, metadata: Metadata
) -> None:
    _, answer = await _come_back(provider, metadata)
    thief = begin("company", "/me", os.urandom(RANDOM_BYTES))
    with pytest.raises(SignInFailed, match="does not take its code"):
        await exchange(WEB, metadata, answer["code"], thief)


async def test_who_does_not_want_to_comes_back_without_a_code(
    provider: Provider, metadata: Metadata
) -> None:
    attempt, answer = await _come_back(provider, metadata, None)
    with pytest.raises(SignInFailed, match="company says no: you were not let in there"):
        code_in(answer, attempt, provider.issuer, always_says_issuer=True)


async def test_a_secret_goes_where_the_provider_takes_it(
    provider: Provider, metadata: Metadata
) -> None:
    for posted in (False, True):
        attempt, answer = await _come_back(provider, metadata)
        chosen = replace(metadata, takes_posted_secrets=posted)
        await exchange(WEB, chosen, answer["code"], attempt)
        assert ("client_secret" in provider.token_requests[-1]) is posted


@pytest.mark.parametrize("answered", ["a page about a bad gateway", "nothing"])
async def test_a_provider_that_does_not_answer_is_said_to_be_unreachable(
    provider: Provider, metadata: Metadata, answered: str
) -> None:
    attempt, answer = await _come_back(provider, metadata)
    provider.whims.is_broken = True
    if answered == "nothing":
        gone = "http://127.0.0.1:1/"
        metadata = replace(metadata, token_endpoint=gone, device_authorization_endpoint=gone)
    with pytest.raises(ProviderUnreachable, match="company does not answer as it should"):
        await exchange(WEB, metadata, answer["code"], attempt)
    with pytest.raises(ProviderUnreachable, match="company does not answer as it should"):
        await ask_for_device_code(CLI, metadata, datetime.now(UTC))


async def test_a_provider_without_such_a_flow_is_not_asked(metadata: Metadata) -> None:
    none = replace(
        metadata,
        authorization_endpoint=None,
        token_endpoint=None,
        device_authorization_endpoint=None,
    )
    attempt = begin("company", "/me", os.urandom(RANDOM_BYTES))
    with pytest.raises(ProviderUnreachable):
        authorization_url(WEB, none, attempt)
    with pytest.raises(ProviderUnreachable):
        await exchange(WEB, none, "a-code", attempt)
    with pytest.raises(SignInFailed, match="company lets nobody sign in from a command line"):
        await ask_for_device_code(CLI, none, datetime.now(UTC))


async def test_a_command_line_waits_until_the_person_has_allowed_it(
    provider: Provider, metadata: Metadata
) -> None:
    code = await ask_for_device_code(CLI, metadata, datetime.now(UTC))
    assert code.user_code == "WDJB-MJHT"
    assert await ask_for_token(CLI, metadata, code) == code
    provider.whims.first = ["slow_down"]
    slow = await ask_for_token(CLI, metadata, code)
    assert isinstance(slow, DeviceCode)
    assert slow.interval == code.interval + timedelta(seconds=5)
    provider.whims.allowed = NEWCOMER
    assert isinstance(await ask_for_token(CLI, metadata, slow), Answered)
    assert provider.token_requests[-1]["client_id"] == CLI_CLIENT


async def test_a_provider_that_is_away_for_a_moment_is_asked_again_later(
    provider: Provider, metadata: Metadata
) -> None:
    code = await ask_for_device_code(CLI, metadata, datetime.now(UTC))
    provider.whims.is_broken = True
    slow = await ask_for_token(CLI, metadata, code)
    assert isinstance(slow, DeviceCode)
    assert slow.interval > code.interval


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("expired_token", "waited too long"),
        ("access_denied", "not let in"),
        ("odd", "says no: odd"),
    ],
)
async def test_a_no_ends_it(provider: Provider, metadata: Metadata, error: str, said: str) -> None:
    code = await ask_for_device_code(CLI, metadata, datetime.now(UTC))
    provider.whims.first = [error]
    with pytest.raises(SignInFailed, match=said):
        await ask_for_token(CLI, metadata, code)
