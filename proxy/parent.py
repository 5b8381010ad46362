"""Leaving with one's parent: a process that dies without a word still closes its end of a pipe."""

import asyncio
import sys

WITH_PARENT = "--with-parent"
"""The argument with which a parent promises that our standard input is a pipe from it."""


async def wait_until_parent_left() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while await reader.read(1024):
        pass
