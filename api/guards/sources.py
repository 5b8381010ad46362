"""From which address a request is: its peer, or whom trusted proxies in front of us say that they
speak for.

Each of them adds to X-Forwarded-For, at its right end, whom it was called by. So that is read from
the right, and no further than the first that is none of them: what stands left of it, anybody may
have made up.
"""

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

from aiohttp import hdrs, web

from api.callers.browsers import Handler
from api.keys import GUARDS, SOURCE
from broker.domain.network import Address, Network


@web.middleware
async def sources(request: web.Request, handler: Handler) -> web.StreamResponse:
    peer = read_address(request.remote or "")
    if peer is not None:
        hops = request.headers.getall(hdrs.X_FORWARDED_FOR, ())
        trusted = request.app[GUARDS].terms.trusted_proxies
        request[SOURCE] = str(real_source(peer, hops, trusted))
    return await handler(request)


def real_source(peer: Address, forwarded: Sequence[str], trusted: Sequence[Network]) -> Address:
    """Return the last address that is no trusted proxy's. `forwarded` are X-Forwarded-For headers,
    in their order. One that makes no sense says nothing: then it is the proxy that wrote it."""
    source = peer
    for hop in reversed([hop for line in forwarded for hop in line.split(",")]):
        if not any(source in network for network in trusted):
            return source
        named = read_address(hop.strip())
        if named is None:
            return source
        source = named
    return source


def read_address(text: str) -> Address | None:
    """Return the address, an IPv4-mapped one as IPv4, without the port and the zone that some write
    with it; None if there is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
