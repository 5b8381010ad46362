"""A stand-in for a PostgreSQL that has as many slots as anybody wants, in a process of its own.

It verifies SCRAM-SHA-256 as PostgreSQL does, from the login's verifier, and greets as PostgreSQL 18
does. To every query it answers with one row.
"""

import asyncio
import re
import signal
import socket
import ssl
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import digest
from multiprocessing import get_context
from pathlib import Path
from secrets import token_urlsafe
from struct import pack

import uvloop
from errors import CannotMeasure

_BACKLOG = 4096
_STOP_TIMEOUT_S = 10.0
_SSL_CODE = 80877103
_VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)")
_PARAMETERS = {
    "application_name": "",
    "client_encoding": "UTF8",
    "DateStyle": "ISO, MDY",
    "default_transaction_read_only": "off",
    "in_hot_standby": "off",
    "integer_datetimes": "on",
    "IntervalStyle": "postgres",
    "is_superuser": "off",
    "scram_iterations": "4096",
    "search_path": '"$user", public',
    "server_encoding": "UTF8",
    "server_version": "18.0",
    "session_authorization": "login",
    "standard_conforming_strings": "on",
    "TimeZone": "UTC",
}


@dataclass(frozen=True, slots=True)
class StandIn:
    """`certificate` and `key` are PEM files; without them it declines TLS."""

    verifier: str = field(repr=False)
    certificate: Path | None = None
    key: Path | None = None


def message(kind: bytes, body: bytes) -> bytes:
    return kind + pack("!I", len(body) + 4) + body


_GREETING = b"".join(
    message(b"S", f"{name}\0{value}\0".encode()) for name, value in _PARAMETERS.items()
)
_READY = message(b"Z", b"I")
_ANSWER = (
    message(b"T", pack("!H", 1) + b"one\0" + pack("!IhIhih", 0, 0, 23, 4, -1, 0))
    + message(b"D", pack("!HI", 1, 1) + b"1")
    + message(b"C", b"SELECT 1\0")
    + _READY
)


@contextmanager
def run_stand_in(plan: StandIn) -> Iterator[int]:
    """Run it on loopback; yield its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener:
        process = get_context("fork").Process(target=_serve, args=(plan, listener), daemon=True)
        process.start()
        try:
            yield int(listener.getsockname()[1])
            if not process.is_alive():
                raise CannotMeasure("the stand-in for PostgreSQL has ended")
        finally:
            process.terminate()
            process.join(_STOP_TIMEOUT_S)
            process.kill()


def _serve(plan: StandIn, listener: socket.socket) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    uvloop.run(_serve_for_ever(plan, listener))


async def _serve_for_ever(plan: StandIn, listener: socket.socket) -> None:
    context = None
    if plan.certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(plan.certificate, plan.key)

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await _Backend(reader, writer, plan.verifier).serve(context)
        writer.close()

    server = await asyncio.start_server(serve_one, sock=listener)
    await server.serve_forever()


class _Backend:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, verifier: str
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._verifier = verifier

    async def serve(self, context: ssl.SSLContext | None) -> None:
        startup = await self._body()
        if int.from_bytes(startup[:4]) == _SSL_CODE:
            self._writer.write(b"N" if context is None else b"S")
            if context is not None:
                await self._writer.start_tls(context)
            startup = await self._body()
        await self._authenticate()
        key = message(b"K", pack("!II", 1, 1))
        self._writer.write(message(b"R", pack("!I", 0)) + _GREETING + key + _READY)
        while await self._kind() != b"X":
            await self._body()
            self._writer.write(_ANSWER)

    async def _authenticate(self) -> None:
        """RFC 5802, the server's side, without channel binding."""
        parts = _VERIFIER.fullmatch(self._verifier)
        assert parts is not None
        iterations, salt, stored_key, server_key = parts.groups()
        self._writer.write(message(b"R", pack("!I", 10) + b"SCRAM-SHA-256\0\0"))
        _mechanism, _, initial = (await self._sasl()).partition(b"\0")
        client_first = initial[4:].decode().split(",", 2)[2]  # without the gs2 header
        nonce = client_first.split("r=")[1] + token_urlsafe(18)
        server_first = f"r={nonce},s={salt},i={iterations}"
        self._writer.write(message(b"R", pack("!I", 11) + server_first.encode()))
        without_proof, _, proof = (await self._sasl()).decode().rpartition(",p=")
        signed = f"{client_first},{server_first},{without_proof}".encode()
        signature = digest(b64decode(stored_key), signed, "sha256")
        client_key = bytes(
            one ^ other for one, other in zip(b64decode(proof), signature, strict=True)
        )
        if sha256(client_key).digest() != b64decode(stored_key):
            self._writer.write(message(b"E", b"SFATAL\0C28P01\0Mwrong keys\0\0"))
            raise ConnectionAbortedError
        proved = b64encode(digest(b64decode(server_key), signed, "sha256"))
        self._writer.write(message(b"R", pack("!I", 12) + b"v=" + proved))

    async def _sasl(self) -> bytes:
        await self._kind()
        return await self._body()

    async def _kind(self) -> bytes:
        return await self._reader.readexactly(1)

    async def _body(self) -> bytes:
        length = int.from_bytes(await self._reader.readexactly(4))
        return await self._reader.readexactly(length - 4)
