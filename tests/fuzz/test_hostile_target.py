"""Our connection to a target, when whoever answers there is no PostgreSQL, or stops being one: only
the declared errors, in bounded time, and no descriptor left."""

import asyncio
import gc
import itertools
import socket
import ssl
import struct
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
import uvloop

from broker.domain.credential import ClientKeys, verifier_of
from broker.domain.server import ServerAddress, TlsMode
from proxy.dial import LoginRefused, TargetDown, Upstream
from proxy.own_certificate import CertificateFiles, ensure_certificate
from proxy.scram import ScramError, ServerExchange
from proxy.tls import client_context
from proxy.wire.errors import WireError
from proxy.wire.messages import (
    AUTHENTICATION_OK,
    SCRAM_SHA_256,
    BackendKeyData,
    encode_authentication_sasl,
    encode_backend_key,
    encode_error,
    encode_frame,
    encode_sasl_continue,
    encode_sasl_final,
)

KEYS = ClientKeys(bytes(range(32)), bytes(range(32, 64)))
VERIFIER = verifier_of(KEYS, b"sixteen of salt.", 1)
PATIENCE_S = 2.0  # a session has a deadline for all of its login, which is not under test here
STALL_S = 0.05
SEEDS_PER_S = 15

Answer = Callable[[socket.socket, Random], None]


def log_in(sock: socket.socket, random: Random) -> None:
    """Be PostgreSQL for some messages, and noise from then on. Raises OSError, ScramError."""
    honest = random.randrange(8)
    server = ServerExchange([VERIFIER], b"target's nonce", None)

    def say(step: int, message: bytes) -> None:
        if step == honest:
            message = noise(random, message)
        while message:
            size = random.randint(1, 400)
            sock.sendall(message[:size])
            message = message[size:]

    sock.settimeout(STALL_S)
    sock.recv(10_000)
    say(0, encode_authentication_sasl([SCRAM_SHA_256]))
    initial = sock.recv(10_000)[5:]
    first = initial[len(SCRAM_SHA_256) + 5 :]
    say(1, encode_sasl_continue(server.first(SCRAM_SHA_256, first)))
    say(2, encode_sasl_final(server.final(sock.recv(10_000)[5:]).server_final))
    say(3, AUTHENTICATION_OK)
    say(4, encode_frame(b"S", b"server_version\x0018.1\0"))
    say(5, encode_backend_key(BackendKeyData(1, bytes(32))))
    say(6, encode_frame(b"Z", b"I"))
    time.sleep(random.choice((0, 0, STALL_S)))
    reset_on_close(sock, random.randrange(2))


def noise(random: Random, expected: bytes) -> bytes:
    match random.randrange(5):
        case 0:
            return random.randbytes(random.choice((1, 5, 300, 70_000)))
        case 1:
            kind = random.choice(b"RSKZENv1\0").to_bytes()
            return encode_frame(kind, random.randbytes(random.randrange(60)))
        case 2:
            return encode_error(random.choice(("28P01", "53300", "no", "")), "no \N{SNOWMAN}")
        case 3:
            return b"R" + random.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\1\0\1"))
        case _:
            place = random.randrange(len(expected))
            return expected[:place] + random.randbytes(random.randrange(4)) + expected[place + 1 :]


def in_the_clear(sock: socket.socket, random: Random) -> None:
    log_in(sock, random)


def under_tls(context: ssl.SSLContext) -> Answer:
    def answer(sock: socket.socket, random: Random) -> None:
        sock.recv(8)
        match random.randrange(4):
            case 0:
                sock.sendall(noise(random, b"S"))
            case 1:
                sock.sendall(random.choice((b"N", b"S\x15\x03\x03\0\x02\x02\x28", b"S" * 50)))
            case _:
                sock.sendall(b"S")
                with context.wrap_socket(sock, server_side=True) as encrypted:
                    log_in(encrypted, random)

    return answer


@contextmanager
def listening(answer: Answer) -> Iterator[int]:
    """Answer one connection after another, each with the next seed."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer_all() -> None:
        with suppress(OSError):
            for seed in itertools.count():
                sock, _peer = listener.accept()
                with sock, suppress(OSError, ScramError):
                    answer(sock, Random(seed))  # noqa: S311

    thread = threading.Thread(target=answer_all)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("mode", [TlsMode.DISABLE, TlsMode.REQUIRE])
def test_a_login_ends_whatever_the_target_says(
    tmp_path: Path, fuzz_seconds: float, mode: TlsMode
) -> None:
    files = CertificateFiles(tmp_path / "proxy.pem", tmp_path / "proxy.key", tmp_path / "root.pem")
    ensure_certificate(files, ["localhost"], datetime.now(UTC))
    answer = under_tls(client_context(files.certificate, files.key))
    with listening(answer if mode is TlsMode.REQUIRE else in_the_clear) as port:
        upstream = Upstream(ServerAddress("127.0.0.1", port, "orders", mode))
        outcomes: set[str] = set()

        async def log_in_often(count: int) -> None:
            for _ in range(count):
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        stream, _logged_in = await upstream.log_in(KEYS, {"user": "jit_dev"})
                    stream.transport.abort()
                    outcomes.add("in")
                except (TargetDown, LoginRefused, WireError, ScramError, TimeoutError) as error:
                    outcomes.add(type(error).__name__)

        uvloop.run(log_in_often(5))
        before = descriptors()
        uvloop.run(log_in_often(int(fuzz_seconds * SEEDS_PER_S)))
    assert descriptors() <= before
    assert outcomes >= {"in", "TargetDown", "LoginRefused", "ScramError"}


def reset_after_the_first_byte(sock: socket.socket, random: Random) -> None:
    sock.recv(8)
    reset_on_close(sock, 1)
    sock.sendall(b"S")
    sock.close()


def test_a_target_that_resets_before_the_handshake_costs_nobody_their_descriptor() -> None:
    """A socket object that outlives its descriptor closes whatever has its number by then."""
    with listening(reset_after_the_first_byte) as port:
        upstream = Upstream(ServerAddress("127.0.0.1", port, "orders", TlsMode.REQUIRE))

        async def log_in_often() -> None:
            for _ in range(30):
                with pytest.raises(TargetDown, match="it closed the connection"):
                    await upstream.log_in(KEYS, {"user": "jit_dev"})

        with warnings.catch_warnings(record=True) as unclosed:
            warnings.simplefilter("always")
            uvloop.run(log_in_often())
            gc.collect()
    assert not [str(each.message) for each in unclosed]


def reset_on_close(sock: socket.socket, whether: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", whether, 0))


def close_at_once(sock: socket.socket, random: Random) -> None:
    """As fast as can be done."""
    sock.close()


def test_a_cancel_request_that_nobody_takes_fails_as_it_says() -> None:
    """Whatever else it raised would end the worker. What happens is a matter of the moment in which
    the target closes: hence so many."""
    with listening(close_at_once) as port:
        upstream = Upstream(ServerAddress("127.0.0.1", port, "orders", TlsMode.DISABLE))

        async def cancel_often() -> None:
            for _ in range(1_000):
                with suppress(TargetDown):
                    await upstream.cancel(BackendKeyData(1, b"four"))

        uvloop.run(cancel_often())
