"""How often somebody may call: people by who they are, everybody else by their address.

Who brings a wrong proof of identity counts by address, too. Once an address has used its calls up,
proofs from there are not even looked at, unless they were good here lately: so guessing costs the
ledger nothing, and shuts out nobody who is at work behind the same address.

Counts are this process's own: several of them allow as many times more.
"""

from hashlib import sha256
from ipaddress import ip_address

from aiohttp import hdrs, web

from api.callers.browsers import Handler
from api.keys import ACTOR, DOOR, GUARDS, SOURCE, STANDING
from broker.domain.buckets import counted_as
from broker.domain.errors import Unauthenticated
from broker.domain.quota import Standing

# What load balancers and Prometheus ask, and what a browser gets once.
_FREE = frozenset({"/healthz", "/readyz", "/metrics"})
_FREE_FOLDER = "/static/"
_NOWHERE = -1  # callers without an address share a count


@web.middleware
async def strangers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count whoever is not known. Stands before anybody looks at who they are."""
    guards = request.app[GUARDS]
    if guards.strangers is None or is_free(request.path):
        return await handler(request)
    whence, proof = _whence(request), _proof(request)
    if proof is None:
        _require(request, guards.strangers.take(whence, guards.now()))
        return await handler(request)
    if proof not in guards.known:
        _require(request, guards.strangers.look(whence, guards.now()))
    try:
        return await handler(request)
    except Unauthenticated:
        guards.known.discard(proof)
        guards.strangers.take(whence, guards.now())
        raise
    finally:
        if ACTOR in request:
            guards.known.add(proof)


@web.middleware
async def people(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count whoever is known. Stands behind who says so."""
    guards = request.app[GUARDS]
    if guards.people is not None and ACTOR in request and not is_free(request.path):
        _require(request, guards.people.take(request[ACTOR].id, guards.now()))
    return await handler(request)


async def rate_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Tell programs what they have left."""
    standing = request.get(STANDING)
    if standing is None:
        return
    if request.path.startswith("/v1/"):
        response.headers.update(headers_of(standing))
    if response.status == web.HTTPTooManyRequests.status_code:
        response.headers[hdrs.RETRY_AFTER] = str(standing.wait_s)


def headers_of(standing: Standing) -> dict[str, str]:
    """https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/

    The quota is what a full bucket holds, and its window what an empty one takes to be full.
    """
    quota = standing.quota
    return {
        "RateLimit-Policy": f'"default";q={quota.burst};w={quota.window_s}',
        "RateLimit": f'"default";r={standing.left};t={standing.full_s}',
    }


def is_free(path: str) -> bool:
    return path in _FREE or path.startswith(_FREE_FOLDER)


def _require(request: web.Request, standing: Standing) -> None:
    request[STANDING] = standing
    if not standing.is_within:
        raise web.HTTPTooManyRequests(
            text=f"{standing.quota.per_minute} calls a minute are allowed, and "
            f"{standing.quota.burst} at once; try again in {standing.wait_s} s"
        )


def _whence(request: web.Request) -> int:
    source = request.get(SOURCE)
    return counted_as(ip_address(source)) if source is not None else _NOWHERE


def _proof(request: web.Request) -> bytes | None:
    """Return a digest of what the caller brings along to say who they are, if anything."""
    shown = request.headers.get(hdrs.AUTHORIZATION) or request.app[DOOR].shown_pass(request)
    return sha256(shown.encode(errors="surrogatepass")).digest() if shown else None
