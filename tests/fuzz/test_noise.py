"""Bytes that mean nothing, or almost something, at every state of a connection.

What one seed throws is always the same; `--fuzz-seconds` says for how long new seeds are taken.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from struct import pack

import pytest

from tests.support.hostile import BALANCER, HURRIED_S, STARTUP_TIMEOUT_S, HostileProxy
from tests.support.raw_client import (
    SSL_REQUEST,
    EncryptedLine,
    Ending,
    Hangup,
    Line,
    LineCut,
    RawClient,
    Refused,
    cancel_request,
    encrypt,
    message,
    open_line,
    random_pieces,
    startup,
)
from tests.support.rough_link import Flow, Then, Weather

pytestmark = pytest.mark.newest

BATCH = 60  # seeds, after which the proxy has to be as it was
PATIENCE_S = 40.0
STALL_S = 0.1
MOST_GROWTH_MB = 64.0

Send = Callable[[bytes], Awaitable[None]]
Throw = Callable[[HostileProxy, int], Awaitable[None]]
V1_HEADER = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
V2_HEADER = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12)
# A handshake of TLS 1.3 up to where it gets long, and two records of other kinds.
CLIENT_HELLO = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(32) + b"\x20" + bytes(32)
VALID = [
    SSL_REQUEST,
    pack("!II", 8, 80877104),
    startup(user="jit_dev", database="orders", application_name="psql"),
    startup(3, 2, user="jit_dev", **{"_pq_.x": "y"}),
    cancel_request(bytes(36)),
    V1_HEADER,
    V2_HEADER,
    CLIENT_HELLO,
    b"\x15\x03\x03\0\x02\x02\x28",
    b"\x17\x03\x03\0\x40" + bytes(64),
    message(b"p", b"SCRAM-SHA-256\0" + pack("!i", 12) + b"n,,n=,r=abcd"),
    message(b"p", b"SCRAM-SHA-256-PLUS\0" + pack("!i", -1)),
    message(b"p", b"c=biws,r=abcd,p=" + b"A" * 43 + b"="),
    message(b"Q", b"SELECT 1\0"),
    message(b"Q", b"COPY pg_class TO STDOUT\0"),
    message(b"P", b"s\0SELECT $1::int\0" + pack("!H", 0)),
    message(b"B", b"\0s\0" + pack("!HHi1sH", 0, 1, 1, b"7", 0)),
    message(b"E", b"\0" + pack("!i", 0)),
    message(b"S"),
    message(b"d", b"1\n"),
    message(b"c"),
    message(b"f", b"no\0"),
    message(b"X"),
]


def noise(random: Random) -> bytes:
    """Return something that a peer should not say, mostly short."""
    match random.randrange(6):
        case 0:
            return random.randbytes(random.choice((1, 3, 5, 9, 40, 400, 5_000)))
        case 1:
            return random.randbytes(random.choice((70_000, 300_000)))
        case 2:  # a message of a kind that is known, with whatever in it
            kind = random.choice(b"BCDEFHPQSXcdfp\0").to_bytes()
            return message(kind, random.randbytes(random.randrange(200)))
        case 3:  # a length that lies
            length = random.choice((0, 3, 4, 5, 1_025, 10_001, 2**31 - 1, 2**31, 2**32 - 1))
            return random.choice((b"", b"p", b"Q", b"d")) + pack("!I", length) + random.randbytes(9)
        case _:
            return b"".join(changed(random) for _ in range(random.randint(1, 4)))


def changed(random: Random) -> bytes:
    """Return a message with some of its bytes replaced, taken out, doubled, or its end missing."""
    data = random.choice(VALID)
    for _ in range(random.randrange(4)):
        start = random.randrange(len(data) + 1)
        end = start + random.randrange(9)
        middle = random.choice((b"", random.randbytes(random.randint(1, 8)), data[start:end] * 2))
        data = data[:start] + middle + data[end:]
    return data[: random.randrange(len(data) + 1)] if random.random() < 0.2 else data


async def first(line: Line, proxy: HostileProxy, random: Random) -> Send:
    return line.send


async def behind_a_header(line: Line, proxy: HostileProxy, random: Random) -> Send:
    await line.send(random.choice((V1_HEADER, V2_HEADER)))
    return line.send


async def in_place_of_the_handshake(line: Line, proxy: HostileProxy, random: Random) -> Send:
    await line.send(SSL_REQUEST)
    assert await line.receive() == b"S"
    return line.send


async def among_the_records(line: Line, proxy: HostileProxy, random: Random) -> Send:
    """Behind the handshake, and not encrypted."""
    await encrypt(line)
    return line.send


async def _channel(line: Line, random: Random) -> Line | EncryptedLine:
    return await encrypt(line, direct=random.random() < 0.5) if random.random() < 0.5 else line


async def under_tls(line: Line, proxy: HostileProxy, random: Random) -> Send:
    return (await encrypt(line, direct=random.random() < 0.5)).send


async def in_place_of_sasl(line: Line, proxy: HostileProxy, random: Random) -> Send:
    client = RawClient(await _channel(line, random), proxy.account)
    await client.send(client.startup())
    return client.send


async def in_place_of_the_proof(line: Line, proxy: HostileProxy, random: Random) -> Send:
    client = RawClient(await _channel(line, random), proxy.account)
    await client.send(client.startup() + client.sasl_initial())
    if random.random() < 0.5:
        await client.sasl_response()
    return client.send


async def behind_the_proof(line: Line, proxy: HostileProxy, random: Random) -> Send:
    """Before the proxy has logged in to the target."""
    client = RawClient(await _channel(line, random), proxy.account)
    await client.send(client.startup() + client.sasl_initial())
    response = await client.sasl_response()

    async def send(data: bytes) -> None:
        await client.send(response + data)

    return send


async def in_a_session(line: Line, proxy: HostileProxy, random: Random) -> Send:
    client = RawClient(await _channel(line, random), proxy.account)
    await client.log_in()
    return client.send


async def in_a_copy(line: Line, proxy: HostileProxy, random: Random) -> Send:
    client = RawClient(await _channel(line, random), proxy.account)
    await client.log_in()
    await client.query("CREATE TEMP TABLE t(a text)")
    await client.send(message(b"Q", b"COPY t FROM STDIN\0"))
    await client.until(b"G")
    return client.send


STATES = [
    first,
    behind_a_header,
    in_place_of_the_handshake,
    among_the_records,
    under_tls,
    in_place_of_sasl,
    in_place_of_the_proof,
    behind_the_proof,
    in_a_session,
    in_a_copy,
]


async def throw(proxy: HostileProxy, seed: int) -> None:
    """Come into one state, make noise, go."""
    random = Random(seed)  # noqa: S311
    reach = STATES[seed % len(STATES)]
    balanced = reach is behind_a_header or (reach is first and random.random() < 0.3)
    pieces = random_pieces(random)
    async with (
        asyncio.timeout(PATIENCE_S),
        open_line(proxy.port, from_address=BALANCER if balanced else "127.0.0.1") as line,
    ):
        send = await reach(line, proxy, random)
        said = b"".join(noise(random) for _ in range(random.randint(1, 3)))
        with suppress(OSError):
            for piece in pieces(said) if len(said) < 2_000 else [said]:
                await send(piece)
        await line.end(random.choice(list(Ending)), stall_s=STALL_S)


async def listen(proxy: HostileProxy, seed: int) -> None:
    """Log in and work while the target, or whoever answers in its place, begins to make noise."""
    random = Random(seed)  # noqa: S311
    flow = Flow(
        limit=random.randrange(1_200),
        piece=random.choice((None, None, 1, 100)),
        then=random.choice(list(Then)),
        babble=b"".join(noise(random) for _ in range(2)),
    )
    async with open_line(proxy.port) as line:
        proxy.link.next_weather(Weather(down=flow))
        client = RawClient(await _channel(line, random), proxy.account)
        with suppress(Hangup, Refused, OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await client.log_in()
            async with asyncio.timeout(STALL_S):
                while True:
                    await client.query("SELECT 1")
        # Who only closes may still be answered for a while, which nobody does here.
        await line.end(Ending.RESET)


@pytest.mark.parametrize(
    ("one", "share", "at_once", "login_s"),
    [(throw, 0.75, 6, STARTUP_TIMEOUT_S), (listen, 0.25, 30, HURRIED_S)],
)
async def test_noise_at_any_state_costs_nobody_else_anything(
    proxy: HostileProxy,
    fuzz_seconds: float,
    one: Throw,
    share: float,
    at_once: int,
    login_s: float,
) -> None:
    """From clients, and from a target, which may stall for as long as a login may take."""
    until = time.monotonic() + fuzz_seconds * share
    seed, memory = 0, proxy.memory_mb()
    while time.monotonic() < until:
        async with proxy.unharmed(), proxy.hurried(login_s):
            await throw_many(proxy, one, range(seed, seed + BATCH), at_once)
        seed += BATCH
        assert proxy.memory_mb() < memory + MOST_GROWTH_MB
    print(f"{seed} seeds, {memory:.1f} MB before, {proxy.memory_mb():.1f} MB after")


async def throw_many(proxy: HostileProxy, throw_one: Throw, seeds: range, at_once: int) -> None:
    turns = asyncio.Semaphore(at_once)

    async def one(seed: int) -> None:
        async with turns:
            try:
                await throw_one(proxy, seed)
            except (Hangup, LineCut, Refused, OSError, TimeoutError) as error:
                raise AssertionError(f"seed {seed}: {error!r}") from error

    async with asyncio.TaskGroup() as tasks:
        for seed in seeds:
            tasks.create_task(one(seed))
