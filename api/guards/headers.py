"""What browsers are told about every answer of ours, unless a page says so itself."""

from collections.abc import MutableMapping

from aiohttp import hdrs, web

from api.keys import DOOR

_YEAR_S = 31_536_000
_SECURE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Copying to the clipboard is the one power that our pages use.
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), "
    "payment=(), publickey-credentials-get=(), usb=()",
    # It is about whoever asked: nothing in between may keep it, and a browser asks whether it still
    # holds.
    hdrs.CACHE_CONTROL: "private, no-cache",
}


async def secure_headers(request: web.Request, response: web.StreamResponse) -> None:
    public_url = request.app[DOOR].public_url
    secure(response.headers, over_tls=public_url is not None and public_url.startswith("https://"))


def secure(headers: MutableMapping[str, str], *, over_tls: bool) -> None:
    """Add what is not said yet. Under TLS, browsers are to come back by TLS alone (RFC 6797)."""
    headers[hdrs.SERVER] = "pgcurfew"
    for name, value in _SECURE.items():
        headers.setdefault(name, value)
    if over_tls:
        headers.setdefault("Strict-Transport-Security", f"max-age={_YEAR_S}")


def add_vary(headers: MutableMapping[str, str], name: str) -> None:
    """Say that the answer depends on this header of the request, besides others."""
    said = headers.get(hdrs.VARY, "")
    if name.lower() not in [each.strip().lower() for each in said.split(",")]:
        headers[hdrs.VARY] = f"{said}, {name}" if said else name
