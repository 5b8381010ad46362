"""TLS between a plain transport and a protocol, against OpenSSL on the other side."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from proxy import tls_transport
from proxy.own_certificate import CertificateFiles
from proxy.tls import client_context
from proxy.tls_transport import TlsTransport, accept_tls, connect_tls
from tests.support.certificates import make_certificate

PATIENCE_S = 10.0
HELLO = b"hello"
LARGE = bytes(range(256)) * 4096  # a megabyte


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def ours(files: CertificateFiles) -> ssl.SSLContext:
    return client_context(files.certificate, files.key)


@pytest.fixture(scope="module", params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def theirs(files: CertificateFiles, request: pytest.FixtureRequest) -> ssl.SSLContext:
    context = trusting(files.root)
    context.maximum_version = request.param
    return context


def trusting(root: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=root)


class Recorder(asyncio.Protocol):
    """What a protocol is told, in order."""

    def __init__(self, *, stays: bool = False) -> None:
        self.data = b""
        self.told: list[str] = []
        self.stays = stays
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self._arrived = asyncio.Event()

    async def until_it_has(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.data) < count:
                self._arrived.clear()
                await self._arrived.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TlsTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._arrived.set()

    def eof_received(self) -> bool:
        self.told.append("end")
        return self.stays

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.told.append("lost")
        self.lost.set_result(None)


class PlainTransport(asyncio.Transport):
    """The wire to the far side. As strict as uvloop's: what is closed takes nothing."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.sent = b""
        self.ended = self.closing = self.aborted = False
        self.reading = True
        self.unsent = 0
        self.limits: tuple[int | None, int | None] | None = None

    def receive(self, data: bytes) -> None:
        assert isinstance(self.protocol, asyncio.Protocol)
        self.protocol.data_received(data)

    def hang_up(self) -> bool:
        assert isinstance(self.protocol, asyncio.Protocol)
        return bool(self.protocol.eof_received())

    def take_sent(self) -> bytes:
        sent, self.sent = self.sent, b""
        return sent

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.closing or self.ended:
            raise RuntimeError("the handler is closed")
        self.sent += data

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_reading(self) -> bool:
        return self.reading

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = (high, low)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": "far"}.get(name, default)


class Line:
    """Our side and the far side's OpenSSL, with a wire in between that a test moves bytes over."""

    def __init__(self, ours: ssl.SSLContext, theirs: ssl.SSLContext, *, stays: bool) -> None:
        self.recorder = Recorder(stays=stays)
        self.handshake = tls_transport._Handshake(ours, self.recorder, server_side=True)
        self.plain = PlainTransport(self.handshake)
        self.handshake.connection_made(self.plain)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.far = theirs.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    def shake_hands(self, *, and_say: bytes = b"") -> Self:
        """`and_say` comes in the same read as the end of the handshake."""
        finished = False
        while not finished:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.far.do_handshake()
                finished = True
                if and_say:
                    self.far.write(and_say)
            self.deliver()
        return self

    def deliver(self) -> None:
        """Let what is on the wire arrive, on both sides."""
        self.plain.receive(self._outgoing.read())
        self._incoming.write(self.plain.take_sent())

    def encrypted(self, data: bytes) -> bytes:
        """Return what the far side sends to say `data`."""
        view = memoryview(data)
        for start in range(0, len(data), 16_384):
            self.far.write(view[start : start + 16_384])
        return self._outgoing.read()

    def heard(self) -> bytes:
        """Return what the far side has understood of what we sent. Raises ssl.SSLError."""
        self._incoming.write(self.plain.take_sent())
        data = b""
        with contextlib.suppress(ssl.SSLWantReadError):
            while part := self.far.read(16_384):
                data += part
        return data

    def far_says_goodbye(self) -> None:
        with contextlib.suppress(ssl.SSLError):
            self.far.unwrap()
        self.plain.receive(self._outgoing.read())

    @property
    def transport(self) -> TlsTransport:
        assert isinstance(self.recorder.transport, TlsTransport)
        return self.recorder.transport


@pytest.fixture
async def line(ours: ssl.SSLContext, theirs: ssl.SSLContext) -> Line:
    return Line(ours, theirs, stays=False).shake_hands()


class TestPassing:
    async def test_bytes_go_both_ways(self, line: Line) -> None:
        line.plain.receive(line.encrypted(HELLO))
        line.transport.write(b"who ")
        line.transport.write(b"")
        line.transport.write(bytearray(b"is "))
        line.transport.write(memoryview(b"there"))
        assert line.recorder.data == HELLO
        assert line.heard() == b"who is there"

    async def test_large_ones_too(self, line: Line) -> None:
        line.plain.receive(line.encrypted(LARGE))
        line.transport.write(LARGE)
        assert line.recorder.data == LARGE
        assert line.heard() == LARGE

    async def test_what_comes_with_the_end_of_the_handshake_is_not_lost(
        self, ours: ssl.SSLContext, theirs: ssl.SSLContext
    ) -> None:
        line = Line(ours, theirs, stays=False).shake_hands(and_say=HELLO)
        assert line.recorder.data == HELLO

    async def test_nothing_is_kept_back(self, line: Line) -> None:
        """What is whole is delivered at once; the rest of a record that was cut comes later."""
        first, second = line.encrypted(HELLO), line.encrypted(b" again")
        line.plain.receive(first + second[:-1])
        assert line.recorder.data == HELLO
        line.plain.receive(second[-1:])
        assert line.recorder.data == HELLO + b" again"

    async def test_a_successor_hears_what_comes_next(self, line: Line) -> None:
        successor = Recorder()
        line.transport.set_protocol(successor)
        line.plain.receive(line.encrypted(HELLO))
        assert line.transport.get_protocol() is successor
        assert (line.recorder.data, successor.data) == (b"", HELLO)

    async def test_it_is_known_what_is_below(self, line: Line) -> None:
        ssl_object = line.transport.get_extra_info("ssl_object")
        assert ssl_object.version() == line.far.version()
        assert line.transport.get_extra_info("peername") == "far"
        assert line.transport.get_extra_info("nothing", 7) == 7


@given(pieces=st.lists(st.binary(min_size=1, max_size=50), max_size=4), data=st.data())
def test_the_same_arrives_however_the_stream_is_cut(
    files: CertificateFiles, pieces: list[bytes], data: st.DataObject
) -> None:
    async def arrives() -> None:
        ours = client_context(files.certificate, files.key)
        line = Line(ours, trusting(files.root), stays=False).shake_hands()
        stream = b"".join(line.encrypted(piece) for piece in pieces)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            line.plain.receive(stream[start:end])
        assert line.recorder.data == b"".join(pieces)

    asyncio.run(arrives())


async def test_a_read_of_nothing_is_not_the_end(files: CertificateFiles) -> None:
    ours = client_context(files.certificate, files.key)
    line = Line(ours, trusting(files.root), stays=False).shake_hands()
    line.plain.receive(b"")
    line.plain.receive(line.encrypted(b"still here"))
    assert line.recorder.data == b"still here"


class TestBackPressure:
    async def test_is_the_plain_transports(self, line: Line) -> None:
        line.transport.set_write_buffer_limits(high=7)
        line.plain.unsent = 3
        assert line.plain.limits == (7, None)
        assert line.transport.get_write_buffer_size() == 3
        line.plain.protocol.pause_writing()
        line.plain.protocol.resume_writing()
        assert line.recorder.told == ["pause", "resume"]

    async def test_reading_pauses_where_the_bytes_come_from(self, line: Line) -> None:
        line.transport.pause_reading()
        assert (line.plain.reading, line.transport.is_reading()) == (False, False)
        line.transport.resume_reading()
        assert (line.plain.reading, line.transport.is_reading()) == (True, True)

    async def test_what_openssl_itself_answers_is_sent(self, line: Line) -> None:
        """Such as the answer to a key update."""
        line.transport._outgoing.write(b"an answer")
        line.plain.receive(line.encrypted(HELLO))
        assert line.plain.sent == b"an answer"

    async def test_answers_do_not_pile_up_for_a_peer_that_never_reads(self, line: Line) -> None:
        line.plain.unsent = 1_048_577
        line.transport._outgoing.write(b"an answer")
        line.plain.receive(line.encrypted(HELLO))
        assert line.plain.sent == b""
        assert line.plain.aborted


class TestEnd:
    async def test_close_says_so_and_does_not_wait(self, line: Line) -> None:
        line.transport.write(HELLO)
        line.transport.close()
        line.transport.close()
        assert line.heard() == HELLO
        assert line.far.read() == b""  # close_notify
        assert line.plain.closing
        assert not line.plain.aborted
        assert line.transport.is_closing()

    async def test_nothing_can_be_written_after_it(self, line: Line) -> None:
        line.transport.close()
        with pytest.raises(RuntimeError):
            line.transport.write(HELLO)

    async def test_nothing_is_delivered_after_it(self, line: Line) -> None:
        """Not even the second record of the same read."""
        both = line.encrypted(HELLO) + line.encrypted(HELLO)
        closer = Closer(line.transport)
        line.transport.set_protocol(closer)
        line.plain.receive(both)
        assert closer.data == HELLO

    async def test_abort_says_nothing(self, line: Line) -> None:
        line.transport.abort()
        line.transport.close()
        assert line.plain.aborted
        assert line.plain.sent == b""
        with pytest.raises(RuntimeError):
            line.transport.write(HELLO)

    @pytest.mark.parametrize("politely", [True, False])
    async def test_of_the_peer_is_told_once_and_closes(self, line: Line, politely: bool) -> None:  # noqa: FBT001
        if politely:
            line.far_says_goodbye()
        assert not line.plain.hang_up()
        assert line.recorder.told == ["end"]
        assert line.plain.closing

    @pytest.mark.parametrize("politely", [True, False])
    async def test_of_the_peer_leaves_our_direction_open_on_request(
        self,
        ours: ssl.SSLContext,
        theirs: ssl.SSLContext,
        politely: bool,  # noqa: FBT001
    ) -> None:
        line = Line(ours, theirs, stays=True).shake_hands()
        if politely:
            line.far_says_goodbye()
        assert line.plain.hang_up()
        line.transport.write(HELLO)
        assert not line.plain.closing
        assert line.plain.sent
        line.plain.receive(b"whatever")
        assert line.recorder.told == ["end"]

    async def test_of_our_direction_leaves_the_other_open(self, line: Line) -> None:
        assert line.transport.can_write_eof()
        line.transport.write_eof()
        assert line.heard() == b""
        assert line.far.read() == b""
        assert line.plain.ended
        with pytest.raises(RuntimeError):
            line.transport.write(HELLO)
        assert not line.transport.is_closing()

    async def test_a_forged_record_ends_everything(self, line: Line) -> None:
        record = bytearray(line.encrypted(HELLO))
        record[-1] ^= 1
        line.plain.receive(bytes(record) + b"more")
        assert line.recorder.data == b""
        assert line.plain.aborted
        with pytest.raises(ssl.SSLError):  # the alert
            line.heard()

    async def test_an_alert_of_the_peer_ends_everything(self, line: Line) -> None:
        record = bytearray()
        line.transport.write(HELLO)
        record += line.plain.take_sent()
        record[-1] ^= 1
        line._incoming.write(record)
        with pytest.raises(ssl.SSLError):
            line.far.read()
        line.plain.receive(line._outgoing.read())
        assert line.plain.aborted

    async def test_the_loss_of_the_connection_is_passed_on(self, line: Line) -> None:
        line.plain.protocol.connection_lost(None)
        assert line.recorder.told == ["lost"]


class Closer(Recorder):
    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        assert self.transport is not None
        self.transport.close()


@pytest.fixture(params=[asyncio.SelectorEventLoop, uvloop.new_event_loop])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """The proxy's own event loop, and Python's."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


@asynccontextmanager
async def far_end(sock: socket.socket) -> AsyncIterator[socket.socket]:
    try:
        yield sock
    finally:
        sock.close()


def pair() -> tuple[socket.socket, socket.socket]:
    here, there = socket.socketpair()
    here.setblocking(False)
    there.setblocking(False)
    return here, there


async def meet(ours: ssl.SSLContext, files: CertificateFiles) -> tuple[Recorder, Recorder]:
    """Shake hands over sockets; return both ends, the server's first."""
    here, there = pair()
    server, client = Recorder(), Recorder()
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(accept_tls(here, ours, server))
        tasks.create_task(connect_tls(there, trusting(files.root), "localhost", client))
    return server, client


class TestOnSockets:
    def test_both_roles_understand_each_other(
        self, runner: asyncio.Runner, ours: ssl.SSLContext, files: CertificateFiles
    ) -> None:
        async def talk() -> None:
            server, client = await meet(ours, files)
            assert server.transport is not None
            assert client.transport is not None
            client.transport.write(LARGE)
            server.transport.write(HELLO)
            client.transport.close()
            async with asyncio.timeout(PATIENCE_S):
                await server.lost
                await client.lost
            assert server.data == LARGE

        runner.run(talk())

    def test_a_stalled_reader_stops_the_writer(
        self, runner: asyncio.Runner, ours: ssl.SSLContext, files: CertificateFiles
    ) -> None:
        """Nothing piles up: what was written beyond the mark stays with who wrote it."""

        async def talk() -> None:
            server, client = await meet(ours, files)
            assert server.transport is not None
            assert client.transport is not None
            server.transport.set_write_buffer_limits(high=65_536)
            client.transport.pause_reading()
            written = 0
            while "pause" not in server.told:
                server.transport.write(LARGE[:50_000])
                written += 50_000
            assert written < 2_000_000
            client.transport.resume_reading()
            await client.until_it_has(written)
            assert server.told == ["pause", "resume"]
            server.transport.abort()
            async with asyncio.timeout(PATIENCE_S):
                await client.lost

        runner.run(talk())

    @pytest.mark.parametrize("said", [b"Q\0\0\0\4", b"\x16\x03\x01\0\x05xxxxx", b""])
    def test_whoever_does_not_shake_hands_gets_no_further(
        self, runner: asyncio.Runner, ours: ssl.SSLContext, said: bytes
    ) -> None:
        async def stumble() -> None:
            here, there = pair()
            async with far_end(there), asyncio.timeout(PATIENCE_S):
                await asyncio.get_running_loop().sock_sendall(there, said)
                there.shutdown(socket.SHUT_WR)
                recorder = Recorder()
                with pytest.raises(OSError):  # noqa: PT011  (an SSLError, or the connection's end)
                    await accept_tls(here, ours, recorder)
                assert recorder.transport is None

        runner.run(stumble())

    def test_a_peer_that_stalls_in_the_handshake_is_cut_off(
        self,
        runner: asyncio.Runner,
        ours: ssl.SSLContext,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(tls_transport, "_HANDSHAKE_TIMEOUT_S", 0.01)

        async def stall() -> None:
            here, there = pair()
            async with far_end(there):
                with pytest.raises(TimeoutError):
                    await accept_tls(here, ours, Recorder())
                async with asyncio.timeout(PATIENCE_S):
                    assert await asyncio.get_running_loop().sock_recv(there, 1) == b""

        runner.run(stall())

    @pytest.mark.parametrize(
        ("hostname", "knows_root"), [("elsewhere", True), ("localhost", False)]
    )
    def test_a_server_that_is_not_the_one_wanted_is_refused(
        self,
        runner: asyncio.Runner,
        ours: ssl.SSLContext,
        files: CertificateFiles,
        hostname: str,
        knows_root: bool,  # noqa: FBT001
    ) -> None:
        async def refuse() -> None:
            here, there = pair()
            context = trusting(files.root) if knows_root else ssl.create_default_context()
            client = Recorder()

            async def serve() -> None:
                with contextlib.suppress(OSError):
                    await accept_tls(here, ours, server)

            server = Recorder()
            async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
                tasks.create_task(serve())
                with pytest.raises(ssl.SSLCertVerificationError):
                    await connect_tls(there, context, hostname, client)
            assert client.transport is None

        runner.run(refuse())
