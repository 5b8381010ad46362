"""Tokens, right and wrong, and who is let in by them. The issuers answer over HTTP."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import Key

from broker.assembly.identity import open_verifier
from broker.config.identity import IdentitySettings
from broker.domain.errors import NotIdentified, ProviderUnreachable
from broker.domain.identity.identified import Identified
from broker.domain.person import PersonKind
from broker.service.context import IdentityVerifier
from tests.support.issuer import (
    AUDIENCE,
    Issuer,
    encoded,
    key_of,
    public,
    run_issuer,
    sign_with_published,
)
from tests.support.provider import CLI_CLIENT, NEWCOMER, WEB_CLIENT, Provider

SKEW = 30  # seconds; the default


@asynccontextmanager
async def verifier_of(
    issuer: Issuer | None = None,
    provider: Provider | None = None,
    *,
    shifted: timedelta = timedelta(0),
    **of_provider: Any,
) -> AsyncIterator[IdentityVerifier]:
    company = {"name": "company", "client_id": WEB_CLIENT, "cli_client_id": CLI_CLIENT}
    settings = IdentitySettings.model_validate(
        {
            "workloads": [issuer.workload()] if issuer else [],
            "providers": [{**company, "issuer": provider.issuer, **of_provider}]
            if provider
            else [],
        }
    )
    async with open_verifier(settings, lambda: datetime.now(UTC) + shifted) as verifier:
        yield verifier


async def who_signed_in(
    verifier: IdentityVerifier, token: str, *, nonce: str | None, audience: str
) -> Identified:
    claims = await verifier.verified_claims("company", token, nonce=nonce, audience=audience)
    return verifier.identify("company", claims)


async def refusal(verifier: IdentityVerifier, token: str) -> NotIdentified:
    with pytest.raises(NotIdentified) as raised:
        await verifier.verify_bearer(token)
    assert str(raised.value) == "a valid bearer token is needed"
    return raised.value


ALGORITHMS = [
    ("RSA", "RS256"),
    ("RSA", "RS384"),
    ("RSA", "RS512"),
    ("RSA", "PS256"),
    ("RSA", "PS384"),
    ("RSA", "PS512"),
    ("P-256", "ES256"),
    ("P-384", "ES384"),
    ("P-521", "ES512"),
    ("Ed25519", "EdDSA"),
    ("Ed25519", "Ed25519"),
]


async def test_a_job_is_a_machine_whatever_its_issuer_signs_with() -> None:
    async with run_issuer() as issuer, verifier_of(issuer) as verifier:
        issuer.published = [public(key_of(kind, kind)) for kind, _alg in dict(ALGORITHMS).items()]
        for kind, alg in ALGORITHMS:
            token = issuer.token(key=key_of(kind, kind), alg=alg)
            found = await verifier.verify_bearer(token)
            assert (found.email, found.kind) == ("deploy-orders@ci.machine", PersonKind.MACHINE)
            assert (found.groups, found.provider) == (frozenset({"deployers"}), "ci")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": int(time.time()) - 3600}, "The token is expired"),
        ({"exp": None}, "Missing claim: 'exp'"),
        ({"exp": "never"}, "Claim 'exp' must be a NumericDate value"),
        ({"exp": float("nan")}, "Claim 'exp' must be a NumericDate value"),
        ({"nbf": int(time.time()) + 3600}, "The token is not yet valid"),
        ({"iat": int(time.time()) + 3600}, "The token was issued in the future"),
        ({"aud": "another"}, "Invalid claim: 'aud'"),
        ({"aud": [AUDIENCE.upper()]}, "Invalid claim: 'aud'"),
        ({"aud": None}, "Missing claim: 'aud'"),
        ({"aud": {AUDIENCE: 1}}, "Claim 'aud' must be"),
        ({"aud": [AUDIENCE, "another"]}, "for several audiences"),
        ({"aud": [AUDIENCE, "another"], "azp": "another"}, "for several audiences"),
        ({"sub": None}, "Missing claim: 'sub'"),
        ({"iss": "https://evil.example.com"}, "no workload is configured for this issuer"),
        ({"iss": None}, "no workload is configured for this issuer"),
        (
            {"ref": "refs/heads/feature"},
            "no machine of workload ci is meant: ref is 'refs/heads/feature', "
            "repository is 'acme/orders'",
        ),
    ],
)
async def test_a_token_that_is_not_from_there_not_for_us_or_not_for_now_is_refused(
    changes: dict[str, Any], reason: str
) -> None:
    async with run_issuer() as issuer, verifier_of(issuer) as verifier:
        found = await refusal(verifier, issuer.token(**changes))
        assert reason in found.reason


async def test_several_audiences_are_fine_for_whom_the_token_was_made() -> None:
    async with run_issuer() as issuer, verifier_of(issuer) as verifier:
        await verifier.verify_bearer(issuer.token(aud=[AUDIENCE]))
        await verifier.verify_bearer(issuer.token(aud=["other", AUDIENCE], azp=AUDIENCE))


@pytest.mark.parametrize(
    ("seconds", "is_let_in"), [(299 + SKEW, True), (301 + SKEW, False), (-SKEW, True)]
)
async def test_clocks_may_be_off_by_so_much(seconds: int, *, is_let_in: bool) -> None:
    now = datetime.now(UTC)
    async with (
        run_issuer() as issuer,
        verifier_of(issuer, shifted=timedelta(seconds=seconds)) as verifier,
    ):
        started = int(now.timestamp())
        token = issuer.token(iat=started, nbf=started, exp=started + 300)
        if is_let_in:
            await verifier.verify_bearer(token)
        else:
            assert "expired" in (await refusal(verifier, token)).reason


async def test_a_public_key_is_no_shared_secret() -> None:
    """The classic: HS256, with the published key as the secret."""
    async with run_issuer() as issuer, verifier_of(issuer) as verifier:
        for kind in ("RSA", "P-256"):
            key = key_of(kind, "k1")
            issuer.published = [public(key)]
            for bits in (256, 384, 512):
                forged = sign_with_published(key, bits, issuer.claims())
                assert "is not allowed" in (await refusal(verifier, forged)).reason


async def test_an_unsigned_token_is_refused() -> None:
    async with run_issuer() as issuer, verifier_of(issuer) as verifier:
        for alg in ("none", "None", "NONE", "nOnE", ""):
            parts = ({"alg": alg, "kid": "k1"}, issuer.claims())
            text = ".".join(encoded(json.dumps(each).encode()) for each in parts)
            for signature in ("", issuer.token().rpartition(".")[2]):
                await refusal(verifier, f"{text}.{signature}")


async def test_a_key_that_is_not_the_issuers_is_refused() -> None:
    async with run_issuer() as issuer, verifier_of(issuer) as verifier:
        stranger = key_of("P-256", "stranger")
        assert (await refusal(verifier, issuer.token(key=stranger))).reason == (
            "the issuer has no such key"
        )
        # With the name of one that it has.
        forged = issuer.token(key=stranger, header={"kid": "k1"})
        assert "the signature is not one" in (await refusal(verifier, forged)).reason


async def test_a_key_that_a_token_brings_along_is_not_looked_at() -> None:
    async with run_issuer() as issuer, run_issuer() as evil, verifier_of(issuer) as verifier:
        stranger = key_of("P-256", "stranger")
        evil.published = [public(stranger)]
        for header in (
            {"jwk": public(stranger)},
            {"jku": f"{evil.url}/keys"},
            {"x5u": f"{evil.url}/keys"},
        ):
            await refusal(verifier, issuer.token(key=stranger, header=header))
            await refusal(verifier, issuer.token(key=stranger, header={**header, "kid": "k1"}))
        assert evil.asked == []


async def test_a_token_needs_no_key_id_where_there_is_only_one_key() -> None:
    async with run_issuer() as issuer, verifier_of(issuer) as verifier:
        await verifier.verify_bearer(issuer.token(header={"kid": None}))
    async with run_issuer() as issuer, verifier_of(issuer) as verifier:
        issuer.published += [public(key_of("P-256", "k2"))]
        await refusal(verifier, issuer.token(header={"kid": None}))


@pytest.mark.parametrize(
    ("header", "is_let_in"),
    [
        ({"typ": None}, True),
        ({"typ": "jwt"}, True),
        ({"typ": "at+jwt"}, True),
        ({"typ": "application/at+jwt"}, True),
        ({"typ": "logout+jwt"}, False),
        ({"typ": "dpop+jwt"}, False),
        ({"x-of-theirs": 1}, True),
        ({"crit": ["exp"], "exp": 1}, False),
        ({"crit": ["missing"]}, False),
    ],
)
async def test_other_kinds_of_tokens_are_not_taken_for_one(
    header: dict[str, Any], *, is_let_in: bool
) -> None:
    async with run_issuer() as issuer, verifier_of(issuer) as verifier:
        _, claims, _ = issuer.token().split(".")
        token = _sign({"alg": "ES256", "kid": "k1", **header}, claims, key_of("P-256", "k1"))
        if is_let_in:
            await verifier.verify_bearer(token)
        else:
            await refusal(verifier, token)


def _sign(header: dict[str, Any], claims: str, key: Key) -> str:
    """Sign any header at all, such as joserfc would not make itself."""
    said = {name: value for name, value in header.items() if value is not None}
    text = f"{encoded(json.dumps(said).encode())}.{claims}"
    r, s = decode_dss_signature(key.private_key.sign(text.encode(), ECDSA(SHA256())))  # type: ignore[union-attr, call-arg, arg-type]
    return f"{text}.{encoded(r.to_bytes(32) + s.to_bytes(32))}"


async def test_no_changed_byte_goes_unnoticed() -> None:
    async with run_issuer() as issuer, verifier_of(issuer) as verifier:
        token = issuer.token()
        await verifier.verify_bearer(token)
        for place in range(len(token)):
            for other in ("A" if token[place] != "A" else "B", ".", "", "=", " ", "\u20ac"):
                changed = token[:place] + other + token[place + 1 :]
                if changed == token:
                    continue
                with pytest.raises(NotIdentified):
                    await verifier.verify_bearer(changed)


@pytest.mark.parametrize(
    "rubbish", ["", "..", "a.b.c", "eyJ9.e30.", "a.b", "a.b.c.d", "a.b.c.d.e", "\u20ac.\u20ac.x"]
)
async def test_rubbish_is_refused(rubbish: str) -> None:
    async with run_issuer() as issuer, verifier_of(issuer) as verifier:
        assert (await refusal(verifier, rubbish)).reason in (
            "it is not a signed JWT",
            "no workload is configured for this issuer",
        )


@pytest.mark.parametrize(
    "header", ['"alg"', "7", "null", "[]", '["alg"]', '{"alg": 7}', '{"alg": ["ES256"]}', "{}"]
)
async def test_odd_headers_are_refused(header: str) -> None:
    async with run_issuer() as issuer, verifier_of(issuer) as verifier:
        _, claims, signature = issuer.token().split(".")
        await refusal(verifier, f"{encoded(header.encode())}.{claims}.{signature}")


async def test_a_refusal_carries_what_the_token_said_of_itself() -> None:
    async with run_issuer() as issuer, verifier_of(issuer) as verifier:
        found = await refusal(verifier, issuer.token(exp=1))
        assert found.unverified.for_the_record() == {
            "unverified_issuer": issuer.url,
            "unverified_subject": "repo:acme/orders:ref:refs/heads/main",
            "unverified_kid": "k1",
        }


async def test_an_issuer_that_is_down_is_not_the_bearers_fault() -> None:
    async with run_issuer() as issuer:
        token = issuer.token()
    async with verifier_of(issuer) as verifier:
        with pytest.raises(ProviderUnreachable):
            await verifier.verify_bearer(token)


async def test_without_issuers_nobody_is_vouched_for() -> None:
    async with run_issuer() as issuer, verifier_of() as verifier:
        assert (await refusal(verifier, issuer.token())).reason == "no workload is configured"
        with pytest.raises(NotIdentified, match="valid bearer"):
            await who_signed_in(verifier, issuer.token(), nonce=None, audience="x")
        with pytest.raises(NotIdentified, match="valid bearer"):
            await verifier.metadata("company")


async def test_a_person_is_who_their_provider_says(provider: Provider) -> None:
    """The keys are those of a real provider."""
    async with verifier_of(None, provider) as verifier:
        found = await who_signed_in(
            verifier,
            provider.id_token(NEWCOMER, WEB_CLIENT, nonce="n1"),
            nonce="n1",
            audience=WEB_CLIENT,
        )
        assert (found.email, found.name, found.manager) == (
            NEWCOMER,
            "Nina Newcomer",
            "lead@example.com",
        )
        assert (found.groups, found.kind) == (frozenset({"developers"}), PersonKind.HUMAN)
        token = provider.id_token(NEWCOMER, CLI_CLIENT)
        assert (
            await who_signed_in(verifier, token, nonce=None, audience=CLI_CLIENT)
        ).provider == "company"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"nonce": "of another sign-in"}, "not of this sign-in (nonce)"),
        ({"nonce": None}, "not of this sign-in (nonce)"),
        ({"aud": CLI_CLIENT}, "Invalid claim: 'aud'"),
        ({"azp": "another-client"}, "made for another client (azp)"),
        ({"aud": [WEB_CLIENT, "another-client"]}, "for several audiences"),
        ({"iat": None}, "Missing claim: 'iat'"),
        ({"exp": 1}, "The token is expired"),
        ({"iss": "https://evil.example.com"}, "Invalid claim: 'iss'"),
        ({"email_verified": False}, f"has not verified the address {NEWCOMER}"),
    ],
)
async def test_an_id_token_that_is_not_of_this_sign_in_is_refused(
    provider: Provider, changes: dict[str, Any], reason: str
) -> None:
    async with verifier_of(None, provider) as verifier:
        token = provider.id_token(NEWCOMER, WEB_CLIENT, **{"nonce": "n1", **changes})
        with pytest.raises(NotIdentified) as raised:
            await who_signed_in(verifier, token, nonce="n1", audience=WEB_CLIENT)
        assert reason in raised.value.reason


async def test_only_clients_of_ours_are_an_audience(provider: Provider) -> None:
    async with verifier_of(None, provider) as verifier:
        token = provider.id_token(NEWCOMER, "other")
        with pytest.raises(NotIdentified) as raised:
            await who_signed_in(verifier, token, nonce=None, audience="other")
        assert raised.value.reason == "'other' is no client of ours at company"


async def test_a_persons_id_token_is_no_bearer_token(provider: Provider) -> None:
    async with run_issuer() as issuer, verifier_of(issuer, provider) as verifier:
        await refusal(verifier, provider.id_token(NEWCOMER, WEB_CLIENT))
        with pytest.raises(NotIdentified):
            await who_signed_in(
                verifier, issuer.token(aud=WEB_CLIENT), nonce=None, audience=WEB_CLIENT
            )


async def test_a_provider_vouches_only_for_its_domains(provider: Provider) -> None:
    async with verifier_of(None, provider, domains=["example.com"]) as verifier:
        ours = provider.id_token(NEWCOMER, WEB_CLIENT)
        await who_signed_in(verifier, ours, nonce=None, audience=WEB_CLIENT)
        theirs = provider.id_token("elsewhere@example.net", WEB_CLIENT)
        with pytest.raises(NotIdentified) as raised:
            await who_signed_in(verifier, theirs, nonce=None, audience=WEB_CLIENT)
        assert "not among the domains" in raised.value.reason


async def test_more_claims_may_come_from_elsewhere(provider: Provider) -> None:
    """Some providers keep groups for their userinfo endpoint."""
    async with verifier_of(None, provider) as verifier:
        token = provider.id_token(NEWCOMER, WEB_CLIENT)
        claims = await verifier.verified_claims("company", token, nonce=None, audience=WEB_CLIENT)
        found = verifier.identify("company", {**claims, "groups": ["dba"]})
        assert found.groups == frozenset({"dba"})
