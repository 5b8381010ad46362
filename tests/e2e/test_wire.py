"""Hostile and unusual bytes against a running proxy."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from struct import pack

import pytest

from tests.support.service import Service, run_service
from tests.support.stage import DEV, REVIEWER, Stage

pytestmark = pytest.mark.newest

SSL_REQUEST = pack("!II", 8, 80877103)
GSSENC_REQUEST = pack("!II", 8, 80877104)


def _startup(major: int, minor: int, **parameters: str) -> bytes:
    pairs = b"".join(
        name.encode() + b"\0" + value.encode() + b"\0" for name, value in parameters.items()
    )
    body = pack("!HH", major, minor) + pairs + b"\0"
    return pack("!I", len(body) + 4) + body


@asynccontextmanager
async def _connected(
    service: Service, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.proxy_port, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _trusting() -> ssl.SSLContext:
    """Encryption is under test here, not trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["postgresql"])
    return context


async def _all(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(), 20)


async def test_bytes_sent_before_the_handshake_end_the_connection(service: Service) -> None:
    """CVE-2021-23214: they would otherwise pass for encrypted ones."""
    answer = b""
    async with _connected(service) as (reader, writer):
        writer.write(SSL_REQUEST + b"Q")
        # Unread bytes make the kernel reset the connection, sometimes before the error is out.
        with contextlib.suppress(ConnectionResetError):
            answer = await _all(reader)
    assert answer[:1] != b"S"
    assert answer == b"" or b"received unencrypted data after SSL request" in answer


@pytest.mark.parametrize("length", [0, 3, 7, 10_001, 0xFFFFFFFF])
async def test_a_hostile_length_is_refused_before_anything_is_buffered(
    service: Service, length: int
) -> None:
    async with _connected(service) as (reader, writer):
        writer.write(pack("!I", length))
        answer = await _all(reader)
    assert b"C08P01\0" in answer
    assert f"invalid message length {length}".encode() in answer


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (_startup(4, 0, user="x"), b"C0A000\0Munsupported frontend protocol 4.0"),
        (_startup(2, 0, user="x"), b"C0A000\0Munsupported frontend protocol 2.0"),
        (_startup(3, 0, user="x"), b"C28000\0Mthis server requires TLS"),
    ],
)
async def test_what_is_not_spoken_here_is_said_in_the_clear(
    service: Service, first: bytes, said: bytes
) -> None:
    async with _connected(service) as (reader, writer):
        writer.write(first)
        assert said in await _all(reader)


async def test_gssapi_is_declined_and_tls_still_possible(service: Service) -> None:
    async with _connected(service) as (reader, writer):
        writer.write(GSSENC_REQUEST)
        assert await reader.readexactly(1) == b"N"
        writer.write(SSL_REQUEST)
        assert await reader.readexactly(1) == b"S"


async def test_asking_for_encryption_twice_is_a_violation(service: Service) -> None:
    async with _connected(service) as (reader, writer):
        writer.write(GSSENC_REQUEST)
        assert await reader.readexactly(1) == b"N"
        writer.write(GSSENC_REQUEST)
        assert b"C08P01\0" in await _all(reader)


async def test_tls_may_be_the_first_thing_a_client_says(service: Service) -> None:
    access = await service.get_access()
    with access.connect(sslnegotiation="direct") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


async def test_a_newer_protocol_is_negotiated_down_once(service: Service) -> None:
    """What PostgreSQL 19's clients will send to find servers that do not negotiate."""
    async with _connected(service, _trusting()) as (reader, writer):
        options = {"user": "x", "_pq_.test_protocol_negotiation": ""}
        writer.write(_startup(3, 9999, **options))
        name = b"_pq_.test_protocol_negotiation\0"
        body = pack("!II", (3 << 16) + 2, 1) + name
        expected = b"v" + pack("!I", len(body) + 4) + body
        assert await reader.readexactly(len(expected)) == expected
        assert await reader.readexactly(1) == b"R"


async def test_a_client_that_stalls_is_cut_off_wherever_it_does(stage: Stage) -> None:
    proxy = {"startup_timeout": "1s"}
    with run_service(stage, (DEV, REVIEWER), proxy=proxy) as service:
        for first in (b"", SSL_REQUEST[:5], SSL_REQUEST):
            async with _connected(service) as (reader, writer):
                writer.write(first)
                assert await _all(reader) in (b"", b"S")
        # Under TLS, before the first message and in the middle of SCRAM.
        async with _connected(service, _trusting()) as (reader, writer):
            assert await _all(reader) == b""
        async with _connected(service, _trusting()) as (reader, writer):
            writer.write(_startup(3, 0, user="x"))
            assert (await _all(reader))[:1] == b"R"


@pytest.mark.parametrize(
    "message",
    [
        b"Q" + pack("!I", 4),
        b"p" + pack("!I", 5000),
        b"p" + pack("!I", 8) + b"none",
        b"p" + pack("!I", 26) + b"SCRAM-SHA-256\0" + pack("!i", 4) + b"....",
    ],
)
async def test_nonsense_instead_of_scram_is_refused(service: Service, message: bytes) -> None:
    async with _connected(service, _trusting()) as (reader, writer):
        writer.write(_startup(3, 0, user="x") + message)
        answer = await _all(reader)
    assert b"SFATAL\0" in answer
    assert b"C08P01\0" in answer or b"C28P01\0" in answer
