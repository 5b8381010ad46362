"""Whoever stops asking in the midst of a TLS handshake leaves no connection behind."""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from broker.domain.identity.issuer import Metadata
from broker.domain.identity.relying import Relying
from broker.identity.fetching import fetch_document, open_http
from broker.identity.flow import ask_for_device_code
from broker.oncall.asking import Asking
from broker.oncall.incident_io import IncidentIo

NOW = datetime(2026, 1, 7, 12, tzinfo=UTC)


@dataclass(slots=True)
class Mute:
    """A server that hears, and never says anything."""

    url: str = ""
    greeted: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        self.greeted.set()
        while await reader.read(4096):
            pass
        self.left.set()
        writer.close()


@pytest.fixture
async def mute() -> AsyncIterator[Mute]:
    mute = Mute()
    async with await asyncio.start_server(mute.serve, "127.0.0.1", 0) as server:
        mute.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield mute


async def ask_an_issuer(url: str) -> None:
    async with open_http() as http:
        await fetch_document(http, url)


async def ask_a_provider(url: str) -> None:
    metadata = Metadata(
        issuer=url,
        jwks_uri=url,
        authorization_endpoint=url,
        token_endpoint=url,
        device_authorization_endpoint=url,
        userinfo_endpoint=url,
    )
    us = Relying(provider="company", issuer=url, client_id="pgcurfew")
    await ask_for_device_code(us, metadata, NOW)


async def ask_incident_io(url: str) -> None:
    asking = Asking(ssl.create_default_context(), timedelta(minutes=1), lambda: NOW)
    await IncidentIo("token", url, asking).shifts("01G0J1EXE7AXZ2C93K61WBPYEH", NOW)


@pytest.mark.parametrize("ask", [ask_an_issuer, ask_a_provider, ask_incident_io])
async def test_who_is_cancelled_in_a_handshake_hangs_up(
    mute: Mute, ask: Callable[[str], Coroutine[None, None, None]]
) -> None:
    gc.disable()  # it would hang up, too, some day
    try:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(ask(mute.url))
            await mute.greeted.wait()
            asking.cancel()
            await mute.left.wait()
    finally:
        gc.enable()
