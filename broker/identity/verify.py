"""Whether a token is what it says: signed with a key of its issuer, for us, and for now."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx2
from joserfc import jws, jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from broker.domain.errors import NotIdentified
from broker.domain.identity.identified import Identified, Refused
from broker.domain.identity.issuer import Metadata
from broker.domain.identity.provider import Provider, identify_person
from broker.domain.identity.unverified import Unverified, peek
from broker.domain.identity.workload import Workload, identify_machine
from broker.identity.keys import IssuerKeys

# Asymmetric ones only: with HS256 a published key would be the secret, with `none` there is none.
ALGORITHMS = frozenset(
    {
        *("RS256", "RS384", "RS512"),
        *("PS256", "PS384", "PS512"),
        *("ES256", "ES384", "ES512"),
        *("EdDSA", "Ed25519"),
    }
)
# RFC 8725, 3.11: what is another kind of token is not taken for one of these.
_ID_TOKEN_TYPES = (None, "jwt")
_BEARER_TYPES = (None, "jwt", "at+jwt")
_ID_TOKEN_CLAIMS = ("iss", "sub", "aud", "exp", "iat")  # OpenID Connect Core 2
_BEARER_CLAIMS = ("iss", "sub", "aud", "exp")


class _Registry(jws.JWSRegistry):
    """Room for claims of people in very many groups, and not a word about EdDSA, whose new name in
    RFC 9864 no issuer uses yet."""

    max_header_length = 8192  # with a chain of certificates in it
    max_payload_length = 1 << 16
    max_signature_length = 2048

    def get_alg(self, name: str) -> Any:  # the type has no public name
        if name not in ALGORITHMS:
            raise JoseError(f"algorithm {name[:20]!r} is not allowed")
        return self.algorithms[name]


# RFC 7515, 4: header parameters that one does not understand are ignored, unless `crit` names them.
_REGISTRY = _Registry(algorithms=ALGORITHMS, strict_check_header=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedProvider:
    """`audiences` are our client ids there."""

    provider: Provider
    issuer: str
    audiences: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedWorkload:
    workload: Workload
    issuer: str
    audience: str


class Verifier:
    """Every method raises NotIdentified for what proves nothing, and ProviderUnreachable."""

    def __init__(
        self,
        providers: Collection[TrustedProvider],
        workloads: Collection[TrustedWorkload],
        http: httpx2.AsyncClient,
        *,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        clock_skew: timedelta,
    ) -> None:
        self._providers = {each.provider.name: each for each in providers}
        self._workloads = {each.issuer: each for each in workloads}
        issuers = {each.issuer for each in providers} | set(self._workloads)
        self._keys = {issuer: IssuerKeys(issuer, http, clock) for issuer in issuers}
        self._now = now
        self._clock_skew = clock_skew

    async def metadata(self, provider_name: str) -> Metadata:
        """Return the addresses of a provider's flows."""
        return await self._keys[self._providers[provider_name].issuer].metadata()

    async def verified_claims(
        self, provider_name: str, token: str, *, nonce: str | None, audience: str
    ) -> dict[str, Any]:
        """Return the claims of an ID token, which the provider made for the client of ours that is
        the `audience`. More of them may be elsewhere."""
        trusted = self._providers[provider_name]
        unverified = _peek(token)
        if audience not in trusted.audiences:
            raise NotIdentified(f"{audience!r} is no client of ours at {provider_name}", unverified)
        _require_type(unverified, _ID_TOKEN_TYPES)
        claims = await self._verify(token, trusted.issuer, unverified)
        self._require(claims, trusted.issuer, audience, _ID_TOKEN_CLAIMS, unverified)
        if claims.get("azp", audience) != audience:
            raise NotIdentified("the token was made for another client (azp)", unverified)
        if nonce is not None and claims.get("nonce") != nonce:
            raise NotIdentified("the token is not of this sign-in (nonce)", unverified)
        return claims

    def identify(self, provider_name: str, claims: Mapping[str, Any]) -> Identified:
        """Return whom verified claims of the provider mean."""
        found = identify_person(self._providers[provider_name].provider, claims)
        return _accepted(found, claims)

    async def verify_bearer(self, token: str) -> Identified:
        """Return the machine that a workload's token stands for."""
        unverified = _peek(token)
        trusted = self._workloads.get(unverified.unverified_issuer or "")
        if trusted is None:
            raise NotIdentified("no workload is configured for this issuer", unverified)
        _require_type(unverified, _BEARER_TYPES)
        claims = await self._verify(token, trusted.issuer, unverified)
        self._require(claims, trusted.issuer, trusted.audience, _BEARER_CLAIMS, unverified)
        return _accepted(identify_machine(trusted.workload, claims), claims)

    async def _verify(self, token: str, issuer: str, unverified: Unverified) -> dict[str, Any]:
        keys = await self._keys[issuer].find(unverified.unverified_kid)
        try:
            return _decode(token, keys)
        except InvalidKeyIdError:
            raise NotIdentified("the issuer has no such key", unverified) from None
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise NotIdentified(f"the signature is not one: {_said(error)}", unverified) from None

    def _require(
        self,
        claims: dict[str, Any],
        issuer: str,
        audience: str,
        essential: Collection[str],
        unverified: Unverified,
    ) -> None:
        """Raises NotIdentified for a token that is not from there, not for us, or not for now."""
        rules: dict[str, jwt.ClaimsOption] = {name: {"essential": True} for name in essential}
        rules["iss"] = {"essential": True, "value": issuer}
        rules["aud"] = {"essential": True, "value": audience}
        now = int(self._now().timestamp())
        skew = int(self._clock_skew.total_seconds())
        try:
            jwt.JWTClaimsRegistry(now=now, leeway=skew, **rules).validate(claims)
        except JoseError as error:
            raise NotIdentified(_said(error), unverified) from None
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if several and claims.get("azp") != audience:
            # Any of the others could show us what they were shown.
            raise NotIdentified(
                "the token is for several audiences and made for another", unverified
            )


def _peek(token: str) -> Unverified:
    unverified = peek(token)
    if unverified is None:
        raise NotIdentified("it is not a signed JWT")
    return unverified


def _require_type(unverified: Unverified, allowed: tuple[str | None, ...]) -> None:
    kind = unverified.unverified_type
    if (kind and kind.lower().removeprefix("application/")) not in allowed:
        raise NotIdentified("it is another kind of JWT (typ)", unverified)


def _decode(token: str, keys: KeySet) -> dict[str, Any]:
    return jwt.decode(token, keys, registry=_REGISTRY).claims


def _accepted(found: Identified | Refused, claims: Mapping[str, Any]) -> Identified:
    if isinstance(found, Refused):
        said = Unverified(
            unverified_issuer=str(claims.get("iss")), unverified_subject=str(claims.get("sub"))
        )
        raise NotIdentified(found.reason, said)
    return found


def _said(error: Exception) -> str:
    return error.description if isinstance(error, JoseError) else type(error).__name__
