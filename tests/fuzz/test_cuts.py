"""A conversation that works, its client's side cut at every byte and glued in every way.

Nonces differ from connection to connection, so that the client computes what it says; only where it
is cut is the test's decision.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from enum import Enum, auto
from random import Random
from struct import pack

import pytest

from tests.support.hostile import BUSY_S, HURRIED_S, HostileProxy
from tests.support.raw_client import (
    Account,
    EncryptedLine,
    Ending,
    Hangup,
    Line,
    LineCut,
    Message,
    Pieces,
    RawClient,
    cancel_request,
    encrypt,
    message,
    open_line,
    random_pieces,
    single_bytes,
    whole,
)

pytestmark = pytest.mark.newest

AT_ONCE = 10
STALLED_AT_ONCE = 100  # PostgreSQL has room for 200
STALL_S = 0.3  # in the relay, where a client may be silent as long as it likes
PATIENCE_S = 30.0
THOROUGH_S = 30.0  # with as much time, every byte under TLS is tried


class Transport(Enum):
    PLAIN = auto()
    TLS = auto()
    DIRECT_TLS = auto()


def _query(sql: str) -> bytes:
    return message(b"Q", sql.encode() + b"\0")


# What the client says once it is in, and the message that ends the answer.
TALK: Sequence[tuple[bytes, bytes]] = [
    (_query("CREATE TEMP TABLE t(a int)"), b"Z"),
    (
        message(b"P", b"\0SELECT $1::int\0" + pack("!H", 0))
        + message(b"B", b"\0\0" + pack("!HHi1sH", 0, 1, 1, b"7", 0))
        + message(b"D", b"P\0")
        + message(b"E", b"\0" + pack("!i", 0))
        + message(b"S"),
        b"Z",
    ),
    (_query("COPY t FROM STDIN"), b"G"),
    (message(b"d", b"1\n") + message(b"d", b"2\n") + message(b"c"), b"Z"),
    (_query("COPY t TO STDOUT"), b"Z"),
    (_query("SELECT sum(a) FROM t"), b"Z"),
]
GOODBYE = message(b"X")
ANSWERS = ["CZ", "12TDCZ", "G", "CZ", "HddcCZ", "TDCZ"]


async def converse(
    line: Line, account: Account, transport: Transport, *, glued: bool = False
) -> list[str]:
    """Say everything and return the kinds of the answers. `glued`: what need not wait is said at
    once, everything behind the proof."""
    channel: Line | EncryptedLine = line
    if transport is not Transport.PLAIN:
        channel = await encrypt(line, direct=transport is Transport.DIRECT_TLS)
    client = RawClient(channel, account)
    answers: list[list[Message]] = []
    if glued:
        await client.log_in(eager=b"".join(data for data, _end in TALK) + GOODBYE)
        answers += [await client.until(end) for _data, end in TALK]
    else:
        await client.send(client.startup())
        await client.next()
        await client.send(client.sasl_initial())
        await client.send(await client.sasl_response())
        await client.welcome()
        for data, end in TALK:
            await client.send(data)
            answers.append(await client.until(end))
        await client.send(GOODBYE)
    assert await channel.receive() == b""
    rows = [each.body for answer in answers for each in answer if each.kind in (b"D", b"d")]
    assert [row[-1:] for row in rows] == [b"7", b"\n", b"\n", b"3"]
    return ["".join(each.kind.decode() for each in answer) for answer in answers]


async def length_of(proxy: HostileProxy, transport: Transport) -> int:
    """Return how many bytes the client says."""
    async with open_line(proxy.port) as line:
        assert await converse(line, proxy.account, transport) == ANSWERS
        return line.said


async def cut(
    proxy: HostileProxy,
    transport: Transport,
    budget: int,
    ending: Ending,
    turns: asyncio.Semaphore,
) -> None:
    """Say the beginning when it is our turn, then go. The proxy may close before us, as long as it
    does so in time."""
    async with AsyncExitStack() as stack:
        async with turns:
            await stack.enter_async_context(asyncio.timeout(PATIENCE_S))
            line = await stack.enter_async_context(open_line(proxy.port, budget=budget))
            with suppress(LineCut, Hangup, OSError):
                await converse(line, proxy.account, transport)
        await line.end(ending, stall_s=STALL_S)


@pytest.mark.parametrize("ending", Ending)
async def test_a_client_that_goes_after_any_byte_leaves_nothing_behind(
    proxy: HostileProxy, ending: Ending, stride: int
) -> None:
    length = await length_of(proxy, Transport.PLAIN)
    turns = asyncio.Semaphore(AT_ONCE)
    there = asyncio.Semaphore(STALLED_AT_ONCE)  # a client that stalls keeps nobody waiting

    async def one(budget: int) -> None:
        async with there:
            await cut(proxy, Transport.PLAIN, budget, ending, turns)

    async with proxy.unharmed(), asyncio.TaskGroup() as tasks:
        step = 1 if ending is Ending.CLOSE else stride
        for budget in range(ending.value % step, length, step):
            tasks.create_task(one(budget))


@pytest.mark.parametrize("transport", [Transport.TLS, Transport.DIRECT_TLS])
async def test_so_does_one_under_tls(
    proxy: HostileProxy, fuzz_seconds: float, transport: Transport
) -> None:
    """Cut inside the handshake and inside records, with each ending in turn."""
    length = await length_of(proxy, transport)
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(budget: int, ending: Ending) -> None:
        await cut(proxy, transport, budget, ending, turns)

    share = 1 if fuzz_seconds >= THOROUGH_S else 5
    async with proxy.unharmed(), asyncio.TaskGroup() as tasks:
        for number, ending in enumerate((Ending.CLOSE, Ending.RESET, Ending.HALF_CLOSE)):
            for budget in range(number, length, share):
                tasks.create_task(one(budget, ending))


async def test_a_client_that_stops_before_it_is_in_is_closed_at_the_deadline(
    proxy: HostileProxy,
) -> None:
    """All at once, since each takes its time."""
    before_the_proof = len(RawClient.startup(client := _unconnected(proxy)) + client.sasl_initial())

    async def one(budget: int) -> float:
        began = asyncio.get_running_loop().time()
        async with open_line(proxy.port, budget=budget) as line:
            with suppress(LineCut):
                await converse(line, proxy.account, Transport.PLAIN)
            await asyncio.wait_for(line.until_closed(), PATIENCE_S)
        return asyncio.get_running_loop().time() - began

    async with proxy.unharmed(), proxy.hurried(), asyncio.TaskGroup() as tasks:
        took = [tasks.create_task(one(budget)) for budget in range(before_the_proof)]
    for each in took:
        assert HURRIED_S - 0.5 < each.result() < HURRIED_S + BUSY_S


def _unconnected(proxy: HostileProxy) -> RawClient:
    """A client that only says what it would send."""
    return RawClient(Line.__new__(Line), proxy.account)


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize("glued", [False, True])
async def test_the_answers_are_the_same_however_the_bytes_are_glued(
    proxy: HostileProxy, fuzz_seconds: float, transport: Transport, *, glued: bool
) -> None:
    ways: list[Pieces] = [whole, single_bytes]
    ways += [random_pieces(Random(seed)) for seed in range(max(3, int(fuzz_seconds)))]  # noqa: S311
    async with proxy.unharmed():
        for pieces in ways:
            async with asyncio.timeout(PATIENCE_S), open_line(proxy.port, pieces=pieces) as line:
                answers = await converse(line, proxy.account, transport, glued=glued)
            assert answers == ANSWERS


@pytest.mark.parametrize("transport", Transport)
async def test_what_is_sent_long_before_its_turn_is_not_lost(
    proxy: HostileProxy, transport: Transport
) -> None:
    """More than is read ahead, behind the proof: the proxy still has to log in to the target."""
    rows = b"".join(b"%d\n" % number for number in range(300_000))
    pieces = (rows[at : at + 60_000] for at in range(0, len(rows), 60_000))
    ahead = (
        _query("CREATE TEMP TABLE t(a text)")
        + _query("COPY t FROM STDIN")
        + b"".join(message(b"d", piece) for piece in pieces)
        + message(b"c")
        + _query("SELECT count(*) FROM t")
        + GOODBYE
    )
    async with proxy.unharmed(), asyncio.timeout(PATIENCE_S), open_line(proxy.port) as line:
        channel: Line | EncryptedLine = line
        if transport is not Transport.PLAIN:
            channel = await encrypt(line, direct=transport is Transport.DIRECT_TLS)
        client = RawClient(channel, proxy.account)
        await client.log_in(eager=ahead)
        await client.until(b"Z")
        await client.until(b"Z")
        assert b"300000" in (await client.until(b"Z"))[1].body


@pytest.mark.parametrize("transport", Transport)
async def test_a_cancel_request_cut_anywhere_harms_nobody(
    proxy: HostileProxy, transport: Transport
) -> None:
    """With the key of a session that is there; whole, it cancels a query that is not running."""
    async with proxy.unharmed(), proxy.client() as victim:
        request = cancel_request(victim.cancel_key)
        for ending in (Ending.CLOSE, Ending.RESET, Ending.HALF_CLOSE):
            for end in range(len(request) + 1):
                async with asyncio.timeout(PATIENCE_S), open_line(proxy.port) as line:
                    channel: Line | EncryptedLine = line
                    if transport is not Transport.PLAIN:
                        channel = await encrypt(line, direct=transport is Transport.DIRECT_TLS)
                    await channel.send(request[:end])
                    await line.end(ending)
        async with asyncio.timeout(PATIENCE_S):
            while (await victim.query("SELECT 1"))[0].kind != b"T":
                pass  # cancelled: the last request took its time
