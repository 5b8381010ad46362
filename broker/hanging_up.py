"""What httpx2 leaves open: the connection of a question that is cancelled in the TLS handshake.

It closes one whose handshake fails, also for want of time. But `asyncio.timeout`, which limits a
question as a whole, cancels it; nothing refers to the connection then, and only the garbage
collector ends it.
"""

from collections.abc import Mapping
from typing import Any

import httpx2


async def _hang_up_after_a_broken_handshake(request: httpx2.Request) -> None:
    connected: list[Any] = []

    async def trace(event: str, info: Mapping[str, Any]) -> None:
        """https://www.python-httpx.org/advanced/extensions/#trace"""
        if event.endswith(".connect_tcp.complete"):
            connected.append(info["return_value"])
        elif event.endswith(".start_tls.failed"):
            for stream in connected:
                await stream.aclose()

    request.extensions = {**request.extensions, "trace": trace}


HANGING_UP = {"request": [_hang_up_after_a_broken_handshake]}
"""For `event_hooks` of every AsyncClient."""
