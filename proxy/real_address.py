"""Who a connection is from: its peer, or whom a trusted load balancer says that it speaks for."""

import asyncio
import socket

from broker.domain.network import Address
from proxy.wire.proxy_header import Header, read_header


async def read_source(sock: socket.socket, peer: Address) -> Address:
    """Read the PROXY protocol header that `peer` begins with, and not one byte more.

    Raises MalformedProxyHeader for anything else, and ConnectionResetError.
    """
    loop = asyncio.get_running_loop()
    data = b""
    while True:
        match read_header(data):
            case Header(source=source):
                return source or peer
            case need:
                part = await loop.sock_recv(sock, need.at_least)
                if not part:
                    raise ConnectionResetError
                data += part
