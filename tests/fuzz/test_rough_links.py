"""A network that splits, delays, stalls and resets, on either side of the proxy: the right answer
or a clean error, in bounded time, and nothing left behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random

import pytest

from tests.support.hostile import (
    BUSY_S,
    HURRIED_S,
    HostileProxy,
    run_hostile_proxy,
)
from tests.support.raw_client import (
    Account,
    EncryptedLine,
    Ending,
    Hangup,
    Line,
    RawClient,
    Refused,
    cancel_request,
    encrypt,
    message,
    open_line,
)
from tests.support.rough_link import FAIR, Flow, Then, Weather, rough_link
from tests.support.stage import Stage

pytestmark = pytest.mark.newest

PATIENCE_S = 40.0
AT_ONCE = 10
CONNECTIONS_PER_S = 60  # to a ledger that breaks them off
LEDGER_POOL = 8  # connections that a worker may open, and need not have open
LOGIN_BYTES = 700  # more than a target says until it is ready: the rest is of the session

SPLITTING = [
    Weather(up=Flow(piece=1), down=Flow(piece=7)),
    Weather(up=Flow(piece=64, pause_s=0.001), down=Flow(piece=4_096, pause_s=0.001)),
]


@asynccontextmanager
async def logged_in(
    port: int, account: Account, *, tls: bool = False
) -> AsyncIterator[tuple[Line, RawClient]]:
    async with asyncio.timeout(PATIENCE_S), open_line(port) as line:
        channel: Line | EncryptedLine = await encrypt(line) if tls else line
        client = RawClient(channel, account)
        await client.log_in()
        yield line, client


async def work(client: RawClient, rows: int) -> None:
    """A query, a result, and COPY both ways."""
    (_, row, _, _) = await client.query("SELECT 1")
    assert row.body.endswith(b"1")
    found = await client.query(f"SELECT generate_series(1, {rows})")
    assert [each.kind for each in found].count(b"D") == rows
    await client.query("CREATE TEMP TABLE t(a int)")
    await client.send(message(b"Q", b"COPY t FROM STDIN\0"))
    await client.until(b"G")
    lines = b"".join(message(b"d", b"%d\n" % number) for number in range(rows))
    await client.ask(lines + message(b"c"))
    copied = await client.query("COPY t TO STDOUT")
    assert b"".join(each.body for each in copied if each.kind == b"d") == b"".join(
        b"%d\n" % number for number in range(rows)
    )


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("weather", SPLITTING)
async def test_bytes_that_come_in_pieces_are_the_same_bytes(
    proxy: HostileProxy, weather: Weather, *, tls: bool
) -> None:
    """On both sides of the proxy."""
    with rough_link("127.0.0.1", proxy.port) as to_proxy:
        to_proxy.set(weather)
        async with proxy.unharmed():
            proxy.link.set(weather)
            async with logged_in(to_proxy.port, proxy.account, tls=tls) as (_line, client):
                await work(client, 300)


@pytest.mark.parametrize("then", [Then.CLOSE, Then.RESET, Then.BABBLE])
async def test_a_target_that_breaks_off_after_any_byte_is_said_to_be_down(
    proxy: HostileProxy, then: Then, stride: int
) -> None:
    at_once = asyncio.Semaphore(AT_ONCE)
    heard: set[str] = set()

    async def one(limit: int) -> None:
        async with at_once, asyncio.timeout(PATIENCE_S), open_line(proxy.port) as line:
            proxy.link.next_weather(Weather(down=Flow(limit=limit, then=then)))
            client = RawClient(line, proxy.account)
            try:
                await client.log_in()
            except Refused as refused:
                heard.add(_sqlstate(refused))
                return
            # The login fitted in: what breaks off is the session.
            with suppress(Hangup, Refused, OSError, TimeoutError):
                async with asyncio.timeout(0.1):  # babble looks like a message that does not end
                    while True:
                        await client.query("SELECT 1")
            # Who only closes may still be answered for a while, which nobody does here.
            await line.end(Ending.RESET)

    async with proxy.unharmed(), proxy.hurried(), asyncio.TaskGroup() as tasks:
        step = 1 if then is Then.CLOSE else stride
        for limit in range(then.value % step, LOGIN_BYTES, step):
            tasks.create_task(one(limit))
    assert heard <= {"08006", "08P01"}


def _sqlstate(refused: Refused) -> str:
    return str(refused).partition(" C")[2][:5]


async def test_a_target_that_stalls_during_the_login_is_given_up_at_the_deadline(
    proxy: HostileProxy,
) -> None:
    async def one(limit: int) -> float:
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(PATIENCE_S), open_line(proxy.port) as line:
            proxy.link.next_weather(Weather(down=Flow(limit=limit, then=Then.STALL)))
            with pytest.raises(Refused, match="C08006"):
                await RawClient(line, proxy.account).log_in()
        return asyncio.get_running_loop().time() - began

    async with proxy.unharmed(), proxy.hurried(), asyncio.TaskGroup() as tasks:
        took = [tasks.create_task(one(limit)) for limit in range(0, 200, 20)]
    for each in took:
        assert HURRIED_S - 0.5 < each.result() < HURRIED_S + BUSY_S


async def test_a_client_that_leaves_a_target_that_stalls_is_forgotten_after_a_while(
    proxy: HostileProxy, fuzz_seconds: float
) -> None:
    """What it asked for last may still be answered for 30 s, in case it only closed one side."""
    if fuzz_seconds < PATIENCE_S:
        pytest.skip(f"takes half a minute: --fuzz-seconds {PATIENCE_S:g}")
    async with proxy.unharmed(), AsyncExitStack() as stack:
        proxy.link.set(Weather(down=Flow(limit=2_000, then=Then.STALL)))
        for ending in (Ending.CLOSE, Ending.RESET):
            line, client = await stack.enter_async_context(logged_in(proxy.port, proxy.account))
            await client.send(message(b"Q", b"SELECT generate_series(1, 1000)\0"))
            await asyncio.sleep(1)
            await line.end(ending)


async def test_a_target_that_resets_every_connection_is_said_to_be_down(
    proxy: HostileProxy,
) -> None:
    async with proxy.unharmed():
        proxy.link.set(Weather(refuses=True))
        for _ in range(20):
            with pytest.raises(Refused, match="C08006"):
                async with logged_in(proxy.port, proxy.account):
                    pass


async def test_a_cancel_request_for_a_session_whose_target_has_left_harms_nobody(
    proxy: HostileProxy,
) -> None:
    """The client has not read all of its last result, so that the session is still there. How much
    fits between the two depends on the system: some of these sizes are just too much."""
    async with proxy.unharmed(), AsyncExitStack() as stack:
        keys = []
        for size in range(0, 6_000_000, 150_000):
            _line, client = await stack.enter_async_context(logged_in(proxy.port, proxy.account))
            sql = f"SELECT repeat('x', 1000) FROM generate_series(1, {size // 1000})"
            await client.send(message(b"Q", sql.encode() + b"\0") + message(b"X"))
            keys.append(client.cancel_key)
        await asyncio.sleep(0.5)
        async with asyncio.TaskGroup() as asking:
            for key in keys:
                asking.create_task(_ask_to_cancel(proxy.port, key))
                await asyncio.sleep(0.05)  # 20 a second are allowed


async def _ask_to_cancel(port: int, key: bytes) -> None:
    """For a session that is over this takes a second: another proxy might have it."""
    async with open_line(port) as line:
        await line.send(cancel_request(key))
        assert await line.until_closed() == b""


async def test_a_ledger_that_breaks_off_anywhere_is_found_again(
    stage: Stage, fuzz_seconds: float
) -> None:
    """While it comes and goes, people get in or are told why not; what goes on, goes on; and in the
    end every session is written down as ended."""
    server, seconds = stage.server, fuzz_seconds / 2
    random = Random(1)  # noqa: S311
    ways = [Then.CLOSE, Then.RESET]
    if fuzz_seconds >= PATIENCE_S:
        ways.append(Then.STALL)  # which is noticed after 10 s
    with (
        rough_link(server.host, server.port) as to_ledger,
        run_hostile_proxy(stage, ledger_port=to_ledger.port) as proxy,
    ):
        async with proxy.unharmed(more_descriptors=LEDGER_POOL):
            for _ in range(int(seconds * CONNECTIONS_PER_S)):
                flow = Flow(limit=random.randrange(1, 6_000), then=random.choice(ways))
                to_ledger.next_weather(random.choice((Weather(up=flow), Weather(down=flow))))
            to_ledger.cut()
            heard = await _come_and_go(proxy, seconds)
            to_ledger.set(FAIR)
            to_ledger.cut()
    assert heard >= {"in", "57P03"}
    assert heard <= {"in", "57P03", "silence"}


async def _come_and_go(proxy: HostileProxy, seconds: float) -> set[str]:
    """Return what became of those who logged in meanwhile: "in", an SQLSTATE, or "silence"."""
    heard: set[str] = set()

    async def one() -> None:
        until = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until:
            try:
                async with logged_in(proxy.port, proxy.account) as (_line, client):
                    await client.query("SELECT 1")
                    heard.add("in")
            except Refused as refused:
                heard.add(_sqlstate(refused))
            except Hangup:
                heard.add("silence")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(one())
    return heard
