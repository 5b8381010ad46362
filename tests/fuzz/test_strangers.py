"""Whatever arrives on the port: it ends in a bounded time, with the right answer or none, and one
line in the log at the most, and costs nobody else anything."""

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from struct import pack

import pytest

from tests.support.hostile import (
    BUSY_S,
    FAULTS,
    HURRIED_S,
    STARTUP_TIMEOUT_S,
    HostileProxy,
    run_hostile_proxy,
)
from tests.support.raw_client import (
    SSL_REQUEST,
    EncryptedLine,
    Hangup,
    Line,
    RawClient,
    Refused,
    encrypt,
    message,
    open_line,
    startup,
    trusting_context,
)
from tests.support.stage import Stage

pytestmark = pytest.mark.newest

PATIENCE_S = 30.0
PROMPT_S = STARTUP_TIMEOUT_S / 5  # at once: long before the deadline
DRAIN_S, ENDING_S = 1.0, 6.0  # as the settings say; for last words to clients and to the ledger
CROWD, CROWD_S = 100, 6.0
FLOOD = 500
HALF_OPEN, PER_ADDRESS = 50, 40
LIMITS = {"half_open": HALF_OPEN, "half_open_per_address": PER_ADDRESS}
# Everything in 127.0.0.0/8 is this machine.
ELSEWHERE = "127.0.0.2"

HTTP = b"GET / HTTP/1.1\r\nHost: db.example.com\r\n\r\n"
SSH = b"SSH-2.0-OpenSSH_9.6\r\n"
REFUSED = b"C08P01\0Minvalid message length "

Saying = Callable[[Line], Awaitable[bytes]]


def plainly(data: bytes) -> Saying:
    async def say(line: Line) -> bytes:
        await line.send(data)
        return await line.until_closed()

    return say


def under_tls(data: bytes, *alpn: str) -> Saying:
    """TLS from the first byte on, with these protocols in ALPN. Returns what is said inside."""

    async def say(line: Line) -> bytes:
        encrypted = EncryptedLine(line, trusting_context(alpn))
        try:
            await encrypted.shake_hands()
            await encrypted.send(data)
            return await encrypted.receive()
        except (Hangup, OSError):
            return b""

    return say


async def old_tls(line: Line) -> bytes:
    """A client that knows TLS up to 1.1 only, as an old scanner does."""
    await line.send(b"\x16\x03\x01\0\x2d\x01\0\0\x29\x03\x02" + bytes(32) + b"\0\0\x02\0\x2f\x01\0")
    return await line.until_closed()


async def a_handshake_in_the_clear(line: Line) -> bytes:
    await line.send(SSL_REQUEST)
    assert await line.receive() == b"S"
    await line.send(HTTP)
    return await line.until_closed()


async def startup_under_tls_twice(line: Line) -> bytes:
    encrypted = await encrypt(line)
    await encrypted.send(SSL_REQUEST)
    return await encrypted.receive()


AT_ONCE: list[tuple[Saying, bytes]] = [
    (plainly(HTTP), REFUSED),
    (plainly(b"POST /v1/requests HTTP/1.1\r\n\r\n"), REFUSED),
    (plainly(SSH), REFUSED),
    (plainly(b"\r\n\r\n"), b"C08P01\0"),
    (plainly(b"EHLO example.com\r\n"), REFUSED),
    (plainly(b"*1\r\n$4\r\nPING\r\n"), REFUSED),
    (plainly(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"), b"C08P01\0Ma PROXY protocol header"),
    (plainly(b"\x7f\xff\xff\xff" + bytes(100)), REFUSED),
    (plainly(b"\xff\xff\xff\xff" + bytes(100)), REFUSED),
    (plainly(bytes(100)), REFUSED),
    (plainly(message(b"Q", b"SELECT 1\0")), REFUSED),
    (plainly(startup(2, 0, user="x")), b"C0A000\0Munsupported frontend protocol 2.0"),
    (plainly(b"\x16\x03\x01\0\x04HTTP"), b"\x15\x03"),  # a TLS alert
    (old_tls, b"\x15\x03"),
    (a_handshake_in_the_clear, b""),
    (under_tls(HTTP), b""),
    (under_tls(HTTP, "http/1.1", "h2"), b""),
    (under_tls(HTTP, "postgresql"), REFUSED),
    (under_tls(SSH, "postgresql", "http/1.1"), REFUSED),
    (startup_under_tls_twice, b"C08P01\0Mthis connection is already encrypted"),
]


@pytest.mark.parametrize(("say", "answer"), AT_ONCE)
async def test_what_is_not_postgresql_is_told_so_or_closed_at_once(
    proxy: HostileProxy, say: Saying, answer: bytes
) -> None:
    async with proxy.unharmed(log_lines=1):
        began = time.monotonic()
        async with asyncio.timeout(PATIENCE_S), open_line(proxy.port) as line:
            said = b""
            # Bytes that nobody reads make the kernel reset the connection.
            with suppress(ConnectionResetError):
                said = await say(line)
        assert time.monotonic() - began < PROMPT_S
        assert answer in said


async def nothing(line: Line) -> None:
    """A client of MySQL, say, which waits to be greeted."""


async def a_part_of_a_length(line: Line) -> None:
    await line.send(b"\0\0")


async def a_body_that_does_not_come(line: Line) -> None:
    await line.send(pack("!I", 10_000) + bytes(9_000))


async def a_handshake_that_does_not_come(line: Line) -> None:
    await line.send(SSL_REQUEST)


async def a_part_of_a_record(line: Line) -> None:
    await line.send(b"\x16\x03\x01\x40\0" + bytes(100))


async def a_handshake_and_nothing_else(line: Line) -> None:
    await encrypt(line)


async def a_name_and_no_proof(line: Line) -> None:
    await line.send(startup(user="nobody"))


async def drops(line: Line) -> None:
    """A byte now and then does not buy more time."""
    await line.send(pack("!I", 10_000))

    async def drip() -> None:
        with suppress(OSError):
            while True:
                await line.send(b"\0")
                await asyncio.sleep(0.2)

    async with asyncio.TaskGroup() as tasks:
        dripping = tasks.create_task(drip())
        await line.until_closed()
        dripping.cancel()


SILENCES = [
    nothing,
    a_part_of_a_length,
    a_body_that_does_not_come,
    a_handshake_that_does_not_come,
    a_part_of_a_record,
    a_handshake_and_nothing_else,
    a_name_and_no_proof,
    drops,
]


async def test_a_crowd_that_hangs_is_closed_at_the_deadline_and_keeps_nobody_out(
    proxy: HostileProxy,
) -> None:
    """Whoever says nothing, and whoever stops anywhere before the proof, all at the same time."""
    hanging = asyncio.Event()
    arrived = 0

    async def hang(number: int) -> float:
        nonlocal arrived
        began = time.monotonic()  # before the proxy can begin to count
        async with asyncio.timeout(PATIENCE_S), open_line(proxy.port) as line:
            arrived += 1
            if arrived == CROWD:
                hanging.set()
            await SILENCES[number % len(SILENCES)](line)
            await line.until_closed()
        return time.monotonic() - began

    async with (
        proxy.unharmed(log_lines=CROWD + 4),
        proxy.hurried(CROWD_S),
        asyncio.TaskGroup() as tasks,
    ):
        crowd = [tasks.create_task(hang(number)) for number in range(CROWD)]
        await hanging.wait()
        async with proxy.client() as client:
            await client.query("SELECT 1")
        assert not any(each.done() for each in crowd)
    for each in crowd:
        assert CROWD_S - 0.5 < each.result() < CROWD_S + BUSY_S


async def log_in_from(proxy: HostileProxy, address: str) -> None:
    """Raises Hangup or ConnectionResetError when turned away."""
    async with asyncio.timeout(PATIENCE_S), open_line(proxy.port, from_address=address) as line:
        await RawClient(line, proxy.account).log_in()


async def test_a_flood_from_one_address_is_closed_at_once_and_keeps_nobody_else_out(
    proxy: HostileProxy,
) -> None:
    # More than one line a period says how many were turned away.
    async with (
        proxy.unharmed(log_lines=20),
        proxy.hurried(STARTUP_TIMEOUT_S, limits=LIMITS),
        AsyncExitStack() as stack,
    ):
        lines = [await stack.enter_async_context(open_line(proxy.port)) for _ in range(FLOOD)]
        async with asyncio.timeout(PROMPT_S), asyncio.TaskGroup() as tasks:
            ends = [tasks.create_task(line.until_closed()) for line in lines]
            await log_in_from(proxy, ELSEWHERE)
            while (closed := sum(end.done() for end in ends)) < FLOOD - PER_ADDRESS:
                await asyncio.sleep(0.02)
            assert closed == FLOOD - PER_ADDRESS  # the others have until the deadline
            for end in ends:
                end.cancel()


async def test_a_flood_from_everywhere_keeps_others_out_for_the_deadline_at_most(
    proxy: HostileProxy,
) -> None:
    async with (
        proxy.unharmed(log_lines=20),
        proxy.hurried(limits=LIMITS),
        AsyncExitStack() as stack,
    ):
        for number in range(FLOOD):
            await stack.enter_async_context(
                open_line(proxy.port, from_address=f"127.0.1.{number % 100 + 1}")
            )
        began = time.monotonic()
        refused = 0
        while True:
            try:
                await log_in_from(proxy, ELSEWHERE)
                break
            except (Hangup, Refused, OSError):
                refused += 1
                await asyncio.sleep(0.05)
        assert refused
        assert time.monotonic() - began < HURRIED_S + BUSY_S


async def test_without_descriptors_nobody_else_suffers_and_others_get_in_later(
    proxy: HostileProxy,
) -> None:
    """More strangers than the worker can open sockets for; those in sessions do not notice."""
    worker = proxy.worker
    before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    async with proxy.unharmed(), proxy.hurried(), AsyncExitStack() as stack:
        client = await stack.enter_async_context(proxy.client())
        few = proxy.descriptors() + HALF_OPEN
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (few, before[1]))
        try:
            for _ in range(HALF_OPEN + 10):
                await stack.enter_async_context(open_line(proxy.port))
            await client.query("SELECT 1")
            began = time.monotonic()
            await log_in_from(proxy, ELSEWHERE)  # once the others have been closed
            assert time.monotonic() - began < HURRIED_S + BUSY_S
        finally:
            resource.prlimit(worker, resource.RLIMIT_NOFILE, before)


async def test_a_crowd_that_hangs_does_not_hold_up_the_end(stage: Stage) -> None:
    """Before the proof and behind it: a proxy that is told to stop closes them all, and its log
    knows no fault."""
    with run_hostile_proxy(stage) as proxy:
        async with AsyncExitStack() as stack:
            for number in range(CROWD):
                line = await stack.enter_async_context(open_line(proxy.port))
                if SILENCES[number % len(SILENCES)] is not drops:
                    await SILENCES[number % len(SILENCES)](line)
            for _ in range(5):
                client = await stack.enter_async_context(proxy.client())
                await client.send(message(b"Q", b"SELECT pg_sleep(60)\0"))
                client = await stack.enter_async_context(proxy.client())
                await client.send(message(b"Q", b"SELECT generate_series(1, 10000000)\0"))
            began = time.monotonic()
            proxy.service.process.terminate()
            await asyncio.to_thread(proxy.service.process.wait, PATIENCE_S)
            assert time.monotonic() - began < DRAIN_S + ENDING_S + BUSY_S
        log = proxy.service.log.read_text()
        assert not [fault for fault in FAULTS if fault in log], log[-5_000:]
