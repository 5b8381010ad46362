"""A TCP connection that can be cut and mended, as between a service and its ledger; or a load
balancer, which says first whom it speaks for."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager

from tests.support.loops import running, stop_listening
from tests.support.ports import free_port

_READ = 65_536


class Cable:
    """Forwards from a port of its own, in an event loop and a thread of its own."""

    def __init__(self, host: str, port: int, preamble: bytes = b"") -> None:
        self._where = (host, port)
        self.preamble = preamble
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = free_port()  # its own while it is cut, too

    def mend(self) -> None:
        self._run(self._listen())

    def cut(self) -> None:
        """Close every connection, and refuse new ones."""
        self._run(self._close())

    def _run(self, step: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(step, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._server is not None:
            await stop_listening(self._server)
            self._server = None
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _forward(
        self, near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter
    ) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._where)
        if self._server is None:  # cut meanwhile
            near_writer.transport.abort()
            far_writer.transport.abort()
            return
        self._writers |= {near_writer, far_writer}
        far_writer.write(self.preamble)
        await asyncio.gather(_copy(near_reader, far_writer), _copy(far_reader, near_writer))
        self._writers -= {near_writer, far_writer}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_READ):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@contextmanager
def lay_cable(host: str, port: int, preamble: bytes = b"") -> Iterator[Cable]:
    cable = Cable(host, port, preamble)
    with running(cable._loop):
        cable.mend()
        yield cable
        cable.cut()
