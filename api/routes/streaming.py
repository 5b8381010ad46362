"""Answers that are long: sent as they are made, and broken off so that everybody sees it."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from broker.domain.errors import BrokerError

_CHUNK = 65_536  # characters: about what the socket takes at once
# A reader that takes nothing for so long is gone.
PATIENCE_S = 60.0

_log = logging.getLogger(__name__)


async def send_file(
    request: web.Request, pieces: AsyncGenerator[str, None], media_type: str, name: str
) -> web.StreamResponse:
    """Send text for people to keep under a name.

    What goes wrong ends the connection in the middle of the answer, which no reader can take for
    its end.
    """
    response = web.StreamResponse(
        headers={
            "Content-Type": f"{media_type}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        }
    )
    await response.prepare(request)
    try:
        async with aclosing(pieces):
            await _send_all(response, pieces)
        await response.write_eof()
    except ConnectionError:
        pass  # whoever wanted it has gone
    except TimeoutError:
        _log.warning("%s broke off: its reader takes nothing", name)
        cut_off(request)
    except BrokerError as error:
        _log.warning("%s broke off: %s", name, error)
        cut_off(request)
    except Exception:
        cut_off(request)
        raise
    return response


async def _send_all(response: web.StreamResponse, pieces: AsyncGenerator[str, None]) -> None:
    waiting: list[str] = []
    size = 0
    async for each in pieces:
        waiting.append(each)
        size += len(each)
        if size >= _CHUNK:
            async with asyncio.timeout(PATIENCE_S):
                await response.write("".join(waiting).encode())
            waiting, size = [], 0
    async with asyncio.timeout(PATIENCE_S):
        await response.write("".join(waiting).encode())


def cut_off(request: web.Request) -> None:
    """End the connection so that nobody takes what came for all there is."""
    if request.transport is not None:
        request.transport.abort()
