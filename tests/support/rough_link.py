"""A TCP stand-in between two parties, with weather: it splits, delays, stalls, resets, lies."""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeVar

from tests.support.loops import running, stop_listening

_READ = 65_536
Outcome = TypeVar("Outcome")


class Then(Enum):
    """What becomes of a connection once one direction has carried all it may."""

    CLOSE = auto()
    RESET = auto()
    STALL = auto()
    BABBLE = auto()  # other bytes take the place of the rest


@dataclass(frozen=True, slots=True)
class Flow:
    """One direction. Pieces of `piece` bytes with `pause_s` between them, `limit` bytes in all,
    then `then`; `babble` is for Then.BABBLE."""

    piece: int | None = None
    pause_s: float = 0.0
    limit: int | None = None
    then: Then = Then.CLOSE
    babble: bytes = bytes(range(256)) * 4


@dataclass(frozen=True, slots=True)
class Weather:
    """`up` is what the near side, which connects to us, sends to the far one."""

    up: Flow = Flow()
    down: Flow = Flow()
    refuses: bool = False  # accept, and reset at once


FAIR = Weather()


@dataclass(eq=False, slots=True)
class _Connection:
    """Over when one direction has ended and the other one is stuck, or `end` was called."""

    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    is_over: asyncio.Event = field(default_factory=asyncio.Event)
    one_is_done: bool = False

    def one_more_is_done(self) -> None:
        if self.one_is_done:
            self.end(reset=False)
        self.one_is_done = True

    async def be_stuck(self) -> None:
        self.one_more_is_done()
        await self.is_over.wait()

    def end(self, *, reset: bool) -> None:
        for writer in self.writers:
            if reset:
                reset_on_close(writer)
                writer.transport.abort()
            else:
                writer.close()
        self.is_over.set()


class RoughLink:
    """Forwards from a port of its own. Each connection lives under the weather it began in."""

    def __init__(self, host: str, port: int) -> None:
        self._where = (host, port)
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self.port = 0
        self._weather = FAIR
        self._coming: deque[Weather] = deque()

    def set(self, weather: Weather) -> None:
        """Let every connection that comes from now on live under this weather."""
        self._coming.clear()
        self._weather = weather

    def next_weather(self, weather: Weather) -> None:
        """Let one connection live under this weather, after those of which this was said before."""
        self._coming.append(weather)

    def cut(self) -> None:
        """Reset all connections that are there."""
        self._run(self._reset_all())

    def open(self) -> None:
        self._run(self._listen())

    def close(self) -> None:
        self._run(self._end_all())

    def _run(self, step: Coroutine[None, None, Outcome]) -> Outcome:
        return asyncio.run_coroutine_threadsafe(step, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end_all(self) -> None:
        assert self._server is not None
        await stop_listening(self._server)
        self._server = None
        await self._reset_all()

    async def _reset_all(self) -> None:
        there = frozenset(self._connections)  # who comes meanwhile may stay
        for connection in there:
            connection.end(reset=True)
        while not there.isdisjoint(self._connections):
            await asyncio.sleep(0.01)

    async def _forward(
        self, near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter
    ) -> None:
        weather = self._coming.popleft() if self._coming else self._weather
        if weather.refuses:
            reset_on_close(near_writer)
            near_writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._where)
        except OSError:
            near_writer.close()
            return
        if self._server is None:  # closed meanwhile
            near_writer.transport.abort()
            far_writer.transport.abort()
            return
        connection = _Connection((near_writer, far_writer))
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_carry(near_reader, far_writer, weather.up, connection))
                tasks.create_task(_carry(far_reader, near_writer, weather.down, connection))
        finally:
            self._connections.discard(connection)
            connection.end(reset=False)


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flow: Flow, connection: _Connection
) -> None:
    carried = 0
    with suppress(OSError):
        while flow.limit is None or carried < flow.limit:
            most = _READ if flow.limit is None else min(_READ, flow.limit - carried)
            data = await reader.read(most)
            if not data:
                writer.write_eof()
                connection.one_more_is_done()
                return
            carried += len(data)
            size = flow.piece or len(data)
            for start in range(0, len(data), size):
                writer.write(data[start : start + size])
                await writer.drain()
                if flow.piece is not None:
                    await asyncio.sleep(flow.pause_s)
        match flow.then:
            case Then.STALL:
                await connection.be_stuck()
            case Then.BABBLE:
                writer.write(flow.babble)
                await connection.be_stuck()
            case Then.RESET | Then.CLOSE:
                connection.end(reset=flow.then is Then.RESET)
        return
    connection.end(reset=True)


def reset_on_close(writer: asyncio.StreamWriter) -> None:
    """Let the connection end with RST rather than FIN."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )


@contextmanager
def rough_link(host: str, port: int) -> Iterator[RoughLink]:
    link = RoughLink(host, port)
    with running(link._loop):
        link.open()
        yield link
        link.close()
