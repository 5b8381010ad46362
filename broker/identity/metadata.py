"""What an issuer says of itself: OpenID Connect Discovery 1.0, and RFC 8414."""

from typing import Any

import httpx2

from broker.domain.identity.issuer import Metadata, is_issuer_url
from broker.identity.fetching import Unusable, fetch_document

_PATH = "/.well-known/openid-configuration"


async def fetch_metadata(http: httpx2.AsyncClient, issuer: str) -> Metadata:
    """Return what the issuer says of itself. Raises Unusable."""
    url = issuer.rstrip("/") + _PATH
    found = (await fetch_document(http, url)).content
    if found.get("issuer") != issuer:
        # Discovery 4.3: or somebody could speak for others.
        raise Unusable(f"{url} is of another issuer: {str(found.get('issuer'))[:200]!r}")
    jwks_uri = _address(found, "jwks_uri", url)
    if jwks_uri is None:
        raise Unusable(f"{url} names no jwks_uri")
    return Metadata(
        issuer=issuer,
        jwks_uri=jwks_uri,
        authorization_endpoint=_address(found, "authorization_endpoint", url),
        token_endpoint=_address(found, "token_endpoint", url),
        device_authorization_endpoint=_address(found, "device_authorization_endpoint", url),
        userinfo_endpoint=_address(found, "userinfo_endpoint", url),
        always_says_issuer=found.get("authorization_response_iss_parameter_supported") is True,
        takes_posted_secrets=_takes_posted_secrets(found),
    )


def _takes_posted_secrets(found: dict[str, Any]) -> bool:
    ways = found.get("token_endpoint_auth_methods_supported")  # a header is what all others take
    return isinstance(ways, list) and "client_secret_basic" not in ways


def _address(found: dict[str, Any], name: str, url: str) -> str | None:
    address = found.get(name)
    if address is None:
        return None
    # An issuer elsewhere has no business with what listens on this machine.
    elsewhere = url.startswith("https://")
    if (
        not isinstance(address, str)
        or not is_issuer_url(address)
        or (elsewhere and not address.startswith("https://"))
    ):
        raise Unusable(f"{url}: {name} is no https:// address")
    return address
