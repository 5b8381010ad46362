"""Many clients that log in, ask something, and then do nothing, in a process of their own.

They speak the protocol by hand: a thousand of any driver's connections take more memory and time
than what they are there to measure.
"""

import asyncio
import signal
import ssl
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import pbkdf2_hmac, sha256
from hmac import digest
from multiprocessing import get_context
from multiprocessing.connection import Connection
from secrets import token_urlsafe
from struct import pack

import uvloop
from errors import CannotMeasure
from standin import message

_AT_ONCE = 16
_LOGIN_TIMEOUT_S = 30.0
_ANSWER_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0
_SSL_REQUEST = pack("!II", 8, 80877103)
_QUERY = message(b"Q", b"SELECT 1\0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    tls: bool


class Crowd:
    """Raises CannotMeasure when a client is not served as it should be."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def open(self, count: int) -> None:
        """Let so many more clients in; each asks one question."""
        self._do(("open", count))

    def ask(self) -> None:
        """Let every client ask again, and get its answer."""
        self._do(("ask", 0))

    def leave(self) -> None:
        """Let every client leave."""
        self._do(("leave", 0))

    def _do(self, command: tuple[str, int]) -> None:
        self._pipe.send(command)
        failure = self._pipe.recv()
        if failure is not None:
            raise CannotMeasure(f"to {command[0]}: {failure}")


@contextmanager
def run_crowd(entry: Entry) -> Iterator[Crowd]:
    context = get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(entry, theirs), daemon=True)
    process.start()
    try:
        yield Crowd(ours)
    except EOFError:
        raise CannotMeasure("the process of the clients has ended") from None
    finally:
        process.terminate()
        process.join(_STOP_TIMEOUT_S)
        process.kill()


def _run(entry: Entry, pipe: Connection) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    uvloop.run(_obey(entry, pipe))


async def _obey(entry: Entry, pipe: Connection) -> None:
    clients: list[_Client] = []
    loop = asyncio.get_running_loop()
    while True:
        verb, count = await loop.run_in_executor(None, pipe.recv)
        failure = None
        try:
            match verb:
                case "open":
                    clients += await _open(entry, count)
                case "ask":
                    async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                        for client in clients:
                            client.put_question()
                        for client in clients:
                            await client.read_answer()
                case _:
                    for client in clients:
                        client.leave()
                    clients.clear()
        except* Exception as errors:
            failure = repr(_first(errors))
        pipe.send(failure)


def _first(errors: BaseExceptionGroup[Exception]) -> BaseException:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def _open(entry: Entry, count: int) -> "list[_Client]":
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one() -> _Client:
        async with turns, asyncio.timeout(_LOGIN_TIMEOUT_S):
            return await _log_in(entry)

    async with asyncio.TaskGroup() as tasks:
        opening = [tasks.create_task(one()) for _ in range(count)]
    return [each.result() for each in opening]


@dataclass(frozen=True, slots=True)
class _Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def put_question(self) -> None:
        self.writer.write(_QUERY)

    async def read_answer(self) -> None:
        await self.read_until(b"Z")

    def leave(self) -> None:
        self.writer.write(message(b"X", b""))
        self.writer.close()

    async def read_until(self, wanted: bytes) -> bytes:
        """Return the body of the next message of that kind."""
        while True:
            kind = await self.reader.readexactly(1)
            length = int.from_bytes(await self.reader.readexactly(4))
            body = await self.reader.readexactly(length - 4)
            if kind == wanted:
                return body
            if kind == b"E":
                raise CannotMeasure(body.replace(b"\0", b" ").decode(errors="replace"))


async def _log_in(entry: Entry) -> _Client:
    reader, writer = await asyncio.open_connection("127.0.0.1", entry.port)
    client = _Client(reader, writer)
    if entry.tls:
        writer.write(_SSL_REQUEST)
        if await reader.readexactly(1) != b"S":
            raise CannotMeasure("the proxy does not speak TLS")
        await writer.start_tls(_require_tls())
    parameters = f"user\0{entry.user}\0database\0{entry.database}\0\0".encode()
    writer.write(pack("!II", len(parameters) + 8, 3 << 16) + parameters)
    await client.read_until(b"R")
    bare = f"n=,r={token_urlsafe(18)}"
    first = f"n,,{bare}".encode()
    writer.write(message(b"p", b"SCRAM-SHA-256\0" + pack("!I", len(first)) + first))
    challenge = (await client.read_until(b"R"))[4:].decode()
    writer.write(message(b"p", _final(entry.password, bare, challenge).encode()))
    await client.read_answer()
    client.put_question()
    await client.read_answer()
    return client


def _final(password: str, bare: str, challenge: str) -> str:
    """RFC 5802, the client's last word."""
    nonce, salt, iterations = (part[2:] for part in challenge.split(","))
    client_key = _client_key(password, salt, int(iterations))
    without_proof = f"c=biws,r={nonce}"
    signed = f"{bare},{challenge},{without_proof}".encode()
    signature = digest(sha256(client_key).digest(), signed, "sha256")
    proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
    return f"{without_proof},p={b64encode(proof).decode()}"


@cache
def _client_key(password: str, salt: str, iterations: int) -> bytes:
    """The slow part, the same for all."""
    salted = pbkdf2_hmac("sha256", password.encode(), b64decode(salt), iterations)
    return digest(salted, b"Client Key", "sha256")


@cache
def _require_tls() -> ssl.SSLContext:
    """As libpq's sslmode=require."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
