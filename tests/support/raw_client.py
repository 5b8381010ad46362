"""A PostgreSQL client spoken by hand, on a line that a test may cut, stall and split anywhere."""

import asyncio
import contextlib
import hmac
import os
import socket
import ssl
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache
from hashlib import pbkdf2_hmac, sha256
from random import Random
from struct import pack

from tests.support.rough_link import reset_on_close

SSL_REQUEST = pack("!II", 8, 80877103)
_READ = 65_536

Pieces = Callable[[bytes], Iterable[bytes]]


class LineCut(Exception):
    """All that the client was to say has been said."""


class Hangup(Exception):
    """The server has closed the connection."""


class Refused(Exception):
    """The server said ErrorResponse."""


class Ending(Enum):
    """How a client goes."""

    CLOSE = auto()
    RESET = auto()
    HALF_CLOSE = auto()
    STALL = auto()


def whole(data: bytes) -> list[bytes]:
    return [data]


def single_bytes(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def random_pieces(random: Random) -> Pieces:
    def split(data: bytes) -> Iterable[bytes]:
        while data:
            size = random.randint(1, random.choice((2, 10, 100, 1000)))
            yield data[:size]
            data = data[size:]

    return split


class Line:
    """One TCP connection. Says at most `budget` bytes, then raises LineCut."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pieces: Pieces = whole,
        budget: int | None = None,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._pieces = pieces
        self._budget = budget
        self.said = 0

    async def send(self, data: bytes) -> None:
        """Raises LineCut, or OSError when the server is gone."""
        if self._budget is not None:
            data = data[: self._budget - self.said]
        for piece in self._pieces(data):
            self._writer.write(piece)
            await self._writer.drain()
            self.said += len(piece)
            if self._pieces is not whole:
                await asyncio.sleep(0)  # else the loop would send all of them at once
        if self.said == self._budget:
            raise LineCut

    async def receive(self) -> bytes:
        """Return what has come, nothing at the end. Raises OSError."""
        return await self._reader.read(_READ)

    async def until_closed(self) -> bytes:
        """Return all that the server still says."""
        said = b""
        with contextlib.suppress(OSError):
            while data := await self.receive():
                said += data
        return said

    async def end(self, how: Ending, *, stall_s: float = 0.0) -> None:
        match how:
            case Ending.CLOSE:
                pass
            case Ending.RESET:
                reset_on_close(self._writer)
                self._writer.transport.abort()
            case Ending.HALF_CLOSE:
                with contextlib.suppress(OSError):
                    self._writer.write_eof()
                await self.until_closed()
            case Ending.STALL:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(stall_s):
                        await self.until_closed()
        self.close()

    def close(self) -> None:
        self._writer.close()


class EncryptedLine:
    """TLS on a line, in memory, so that what is cut and split are its bytes. Call `shake_hands`."""

    def __init__(self, line: Line, context: ssl.SSLContext) -> None:
        self._line = line
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)

    async def shake_hands(self) -> None:
        """Raises ssl.SSLError or Hangup, and what the line raises."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._feed()
            else:
                await self._flush()
                return

    async def send(self, data: bytes) -> None:
        self._tls.write(data)
        await self._flush()

    async def receive(self) -> bytes:
        while True:
            try:
                return self._tls.read(_READ)
            except ssl.SSLWantReadError:
                try:
                    await self._feed()
                except Hangup:
                    return b""
            except ssl.SSLZeroReturnError:
                return b""

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._line.send(self._outgoing.read())

    async def _feed(self) -> None:
        data = await self._line.receive()
        if not data:
            raise Hangup
        self._incoming.write(data)


def trusting_context(alpn: Sequence[str] = ("postgresql",)) -> ssl.SSLContext:
    """Encryption is under test, not trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


@dataclass(frozen=True, slots=True)
class Message:
    kind: bytes
    body: bytes = field(repr=False)


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + pack("!I", len(body) + 4) + body


def startup(major: int = 3, minor: int = 0, **parameters: str) -> bytes:
    pairs = b"".join(
        name.encode() + b"\0" + value.encode() + b"\0" for name, value in parameters.items()
    )
    body = pack("!HH", major, minor) + pairs + b"\0"
    return pack("!I", len(body) + 4) + body


def cancel_request(key: bytes) -> bytes:
    """`key` is the body of a BackendKeyData message."""
    body = pack("!I", 80877102) + key
    return pack("!I", len(body) + 4) + body


@dataclass(frozen=True, slots=True)
class Account:
    """What a client logs in with."""

    user: str
    password: str = field(repr=False)
    database: str


class RawClient:
    """Logs in step by step, so that a test may stop between any two of them."""

    def __init__(self, line: Line | EncryptedLine, account: Account) -> None:
        self._line = line
        self._account = account
        self._pending = b""
        self._first = b"n=,r=" + b64encode(os.urandom(18))
        self.cancel_key = b""

    async def send(self, data: bytes) -> None:
        await self._line.send(data)

    async def log_in(self, *, eager: bytes = b"") -> None:
        """Say the startup message with the first of SASL, which depends on nothing, then the proof
        with `eager` behind it. Returns when the server is ready. Raises Refused, Hangup."""
        await self.send(self.startup() + self.sasl_initial())
        await self.send(await self.sasl_response() + eager)
        await self.welcome()

    def startup(self) -> bytes:
        return startup(user=self._account.user, database=self._account.database)

    def sasl_initial(self) -> bytes:
        data = b"n,," + self._first
        return message(b"p", b"SCRAM-SHA-256\0" + pack("!i", len(data)) + data)

    async def sasl_response(self) -> bytes:
        """Wait for the challenge and return the proof."""
        while not (said := await self.next()).body.startswith(pack("!I", 11)):
            pass
        challenge = said.body[4:]
        parts = dict(part.split(b"=", 1) for part in challenge.split(b","))
        key, stored = _keys(self._account.password, b64decode(parts[b"s"]), int(parts[b"i"]))
        bare = b"c=biws,r=" + parts[b"r"]
        signature = hmac.digest(stored, b",".join((self._first, challenge, bare)), "sha256")
        proof = bytes(left ^ right for left, right in zip(key, signature, strict=True))
        return message(b"p", bare + b",p=" + b64encode(proof))

    async def welcome(self) -> None:
        while (said := await self.next()).kind != b"Z":
            if said.kind == b"K":
                self.cancel_key = said.body

    async def ask(self, data: bytes) -> list[Message]:
        """Send `data`, and return what comes up to ReadyForQuery."""
        await self.send(data)
        return await self.until(b"Z")

    async def query(self, sql: str) -> list[Message]:
        return await self.ask(message(b"Q", sql.encode() + b"\0"))

    async def until(self, kind: bytes) -> list[Message]:
        found = [await self.next(allow_error=True)]
        while found[-1].kind != kind:
            found.append(await self.next(allow_error=True))
        return found

    async def next(self, *, allow_error: bool = False) -> Message:
        """Return the next message. Raises Hangup, or Refused for a FATAL error."""
        while len(self._pending) < 5 or len(self._pending) < 1 + self._length():
            data = await self._line.receive()
            if not data:
                raise Hangup
            self._pending += data
        end = 1 + self._length()
        found = Message(self._pending[:1], self._pending[5:end])
        self._pending = self._pending[end:]
        if found.kind == b"E" and (not allow_error or b"VFATAL\0" in found.body):
            raise Refused(found.body.replace(b"\0", b" ").decode())
        return found

    def _length(self) -> int:
        return int.from_bytes(self._pending[1:5])


@cache
def _keys(password: str, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """Return ClientKey and StoredKey. Cached: they take longer than all the rest of a login."""
    salted = pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return client_key, sha256(client_key).digest()


@asynccontextmanager
async def open_line(
    port: int,
    *,
    pieces: Pieces = whole,
    budget: int | None = None,
    from_address: str = "127.0.0.1",
) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, local_addr=(from_address, 0), limit=_READ
    )
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        yield Line(reader, writer, pieces, budget)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def encrypt(line: Line, *, direct: bool = False) -> EncryptedLine:
    """Ask for TLS, unless `direct`, and shake hands."""
    if not direct:
        await line.send(SSL_REQUEST)
        answer = await line.receive()
        if answer != b"S":
            raise Hangup if not answer else Refused(repr(answer))
    encrypted = EncryptedLine(line, trusting_context())
    await encrypted.shake_hands()
    return encrypted
