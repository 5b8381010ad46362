"""Whether a request that a browser sent with our cookie is one that our own pages made.

Cookies come along with whatever other sites let a browser send, so a change by cookie needs both: a
token that only our pages know, and the browser's own word that the request is ours. A bearer token
never comes along by itself and needs neither.
"""

import hmac
import os
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import urlsplit

CSRF_FIELD = "csrf"
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_INFO = b"pgcurfew csrf"


def csrf_token(secret: bytes) -> str:
    """Return the token of the sign-in with this secret part, which itself is in no page.

    It looks different every time: by the length of compressed pages, which also repeat what is in
    their address, a text that stays the same could be guessed bit by bit (BREACH).
    """
    pad = os.urandom(sha256().digest_size)
    return urlsafe_b64encode(pad + _masked(_digest(secret), pad)).decode().rstrip("=")


def is_csrf_token(text: str, secret: bytes) -> bool:
    try:
        # A header may hold bytes that are no text.
        shown = b64decode(f"{text}==", altchars=b"-_", validate=True)
    except ValueError:
        return False
    pad, masked = shown[: sha256().digest_size], shown[sha256().digest_size :]
    if len(pad) != len(masked):
        return False
    return hmac.compare_digest(_masked(masked, pad), _digest(secret))


def _digest(secret: bytes) -> bytes:
    return hmac.digest(secret, _INFO, sha256)


def _masked(content: bytes, pad: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(content, pad, strict=True))


def is_ours(headers: Mapping[str, str], public_url: str | None) -> bool:
    """Whether the browser says that a page of ours made the request.

    Browsers since 2023 say so in `Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/), all of
    them in `Origin`; one that says neither is refused. Without `public_url`, ours is whatever host
    was asked: under another name that leads to us, a browser has other cookies.
    """
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site is None and origin is None:
        return False
    if site not in (None, "same-origin"):
        return False
    return origin is None or _is_own(origin, headers.get("Host", ""), public_url)


def _is_own(origin: str, host: str, public_url: str | None) -> bool:
    if public_url is not None:
        return origin == origin_of(public_url)
    # Something in front of us may have taken TLS off, so the scheme says nothing.
    return origin.partition("://")[2] == host != ""


def origin_of(url: str) -> str:
    """Return scheme, host and port as browsers write them."""
    parts = urlsplit(url)
    default = {"https": 443, "http": 80}.get(parts.scheme)
    host = parts.hostname or ""
    named = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{parts.scheme}://{named}{port}"
