"""Issuers: what they say of themselves, and where we take their word from."""

from dataclasses import dataclass
from urllib.parse import urlsplit

_OURSELVES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """An issuer's addresses. Those of the flows are None where it has no such flow.

    `always_says_issuer`: its answers to browsers name it (RFC 9207). `takes_posted_secrets`: it
    takes a client's secret only in the body of what it is sent, not in a header.
    """

    issuer: str
    jwks_uri: str
    authorization_endpoint: str | None
    token_endpoint: str | None
    device_authorization_endpoint: str | None
    userinfo_endpoint: str | None
    always_says_issuer: bool = False
    takes_posted_secrets: bool = False


def is_issuer_url(text: str) -> bool:
    """Say whether nobody on the way can change what is read there: https, or this very machine."""
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment or not text.isprintable():
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in _OURSELVES)
