"""A process and its parent, joined by a pipe: the parent's end of it closes when it dies, whatever
it dies of, and what it writes asks to read the settings again."""

import asyncio
import sys

from proxy.orders import Orders

WITH_PARENT = "--with-parent"
"""The argument with which a parent promises that our standard input is a pipe from it."""

RELOAD = b"reload\n"
"""What the parent writes. Unlike a signal it waits until somebody is there to take it."""


async def obey_parent(orders: Orders) -> None:
    """Pass on what the parent wants, until it has left and we are to stop."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while await reader.read(1024):
        orders.reload.set()
    orders.stop.set()
