"""The first bytes of a connection, over real sockets: how a client gets to its first message."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from struct import pack

import pytest
import uvloop

from proxy.opening import CancelWish, Client, open_client
from proxy.own_certificate import CertificateFiles
from proxy.stream import Disconnected, MessageStream
from proxy.tls import client_context
from proxy.tls_transport import connect_tls
from proxy.wire.messages import (
    SSL_REQUEST,
    BackendKeyData,
    encode_cancel,
    encode_frame,
    encode_startup,
)
from tests.support.certificates import make_certificate

PATIENCE_S = 10.0
GSSENC_REQUEST = pack("!II", 8, 80877104)
STARTUP = encode_startup({"user": "alice"})
CANCEL = encode_cancel(BackendKeyData(7, b"key!"))
QUERY = encode_frame(b"Q", b"select 1\0")

Arrival = Client | CancelWish
Story = Callable[[socket.socket], Awaitable[None]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def context(files: CertificateFiles) -> ssl.SSLContext:
    return client_context(files.certificate, files.key)


@pytest.fixture(params=[asyncio.SelectorEventLoop, uvloop.new_event_loop])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """The proxy's own event loop, and Python's."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


class Meeting:
    """Somebody who connects, and `open_client` at the other end."""

    def __init__(self, runner: asyncio.Runner, files: CertificateFiles) -> None:
        self._runner = runner
        self._files = files
        self._connected: list[MessageStream] = []
        self.heard = b""

    def between(
        self, story: Story, context: ssl.SSLContext | None, *, tls_required: bool = False
    ) -> Arrival | Disconnected:
        """Return what came of it. `story` is the connecting side's."""
        return self._runner.run(self._between(story, context, tls_required=tls_required))

    async def _between(
        self, story: Story, context: ssl.SSLContext | None, *, tls_required: bool
    ) -> Arrival | Disconnected:
        here, there = socket.socketpair()
        for sock in (here, there):
            sock.setblocking(False)
        try:
            async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
                opening = tasks.create_task(_open(here, context, tls_required=tls_required))
                tasks.create_task(self._tell(story, there))
            arrival = opening.result()
            match arrival:
                case Client():
                    await self._hear_the_query(arrival)
                case CancelWish():
                    arrival.close()
            return arrival
        finally:
            for stream in self._connected:
                stream.transport.abort()
            await asyncio.sleep(0)  # what was aborted is closed in the loop's next turn
            here.close()
            there.close()

    async def _tell(self, story: Story, there: socket.socket) -> None:
        await story(there)

    async def _hear_the_query(self, client: Client) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                self.heard = (await client.stream.next_frame()).body
        finally:
            client.stream.transport.abort()

    async def encrypt(
        self, sock: socket.socket, say: bytes, *, protocols: tuple[str, ...] = ("postgresql",)
    ) -> None:
        """Shake hands as a client, then say something."""
        theirs = ssl.create_default_context(cafile=self._files.root)
        if protocols:
            theirs.set_alpn_protocols(protocols)
        stream = MessageStream(1024)
        try:
            await connect_tls(sock, theirs, "localhost", stream)
        except OSError:
            return
        self._connected.append(stream)
        with contextlib.suppress(Disconnected):
            stream.write(say)


async def _open(
    sock: socket.socket, context: ssl.SSLContext | None, *, tls_required: bool
) -> Arrival | Disconnected:
    try:
        return await open_client(sock, context, tls_required=tls_required)
    except Disconnected as error:
        sock.close()
        return error


@pytest.fixture
def meeting(runner: asyncio.Runner, files: CertificateFiles) -> Meeting:
    return Meeting(runner, files)


async def say(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def hear(sock: socket.socket, count: int) -> bytes:
    return await asyncio.get_running_loop().sock_recv(sock, count)


async def hear_all(sock: socket.socket) -> bytes:
    """Return everything up to the end. Bytes that nobody has read turn that into a reset."""
    heard = b""
    with contextlib.suppress(ConnectionResetError):
        while part := await hear(sock, 4096):
            heard += part
    return heard


def user_of(arrival: Arrival | Disconnected) -> str:
    assert isinstance(arrival, Client)
    return arrival.startup.parameters["user"]


class TestInTheClear:
    @pytest.mark.parametrize("encryption_is_possible", [True, False])
    def test_a_client_may_begin_at_once(
        self,
        meeting: Meeting,
        context: ssl.SSLContext,
        encryption_is_possible: bool,  # noqa: FBT001
    ) -> None:
        async def story(sock: socket.socket) -> None:
            await say(sock, STARTUP + QUERY)

        arrival = meeting.between(story, context if encryption_is_possible else None)
        assert user_of(arrival) == "alice"
        assert not isinstance(arrival, Client) or not arrival.stream.encrypted
        assert meeting.heard == b"select 1\0"

    def test_byte_by_byte_it_is_the_same(self, meeting: Meeting, context: ssl.SSLContext) -> None:
        async def story(sock: socket.socket) -> None:
            for byte in STARTUP + QUERY:
                await say(sock, bytes([byte]))
                await asyncio.sleep(0)

        assert user_of(meeting.between(story, context)) == "alice"
        assert meeting.heard == b"select 1\0"

    def test_encryption_that_is_not_there_is_declined(self, meeting: Meeting) -> None:
        async def story(sock: socket.socket) -> None:
            for request in (GSSENC_REQUEST, SSL_REQUEST):
                await say(sock, request)
                assert await hear(sock, 2) == b"N"
            await say(sock, STARTUP + QUERY)

        assert user_of(meeting.between(story, None)) == "alice"

    def test_a_cancel_request_is_an_arrival_of_its_own(
        self, meeting: Meeting, context: ssl.SSLContext
    ) -> None:
        async def story(sock: socket.socket) -> None:
            await say(sock, CANCEL)

        arrival = meeting.between(story, context, tls_required=True)
        assert isinstance(arrival, CancelWish)
        assert (arrival.request.pid, arrival.request.key) == (7, b"key!")

    def test_where_tls_is_required_is_refused_with_a_word(
        self, meeting: Meeting, context: ssl.SSLContext
    ) -> None:
        async def story(sock: socket.socket) -> None:
            await say(sock, STARTUP)
            assert b"this server requires TLS" in await hear_all(sock)

        assert isinstance(meeting.between(story, context, tls_required=True), Disconnected)

    @pytest.mark.parametrize("length", [0, 7, 10_001, 2**32 - 1])
    def test_a_hostile_length_is_refused_at_once(
        self, meeting: Meeting, context: ssl.SSLContext, length: int
    ) -> None:
        async def story(sock: socket.socket) -> None:
            await say(sock, pack("!I", length))
            assert b"C08P01\0" in await hear_all(sock)

        assert isinstance(meeting.between(story, context), Disconnected)

    @pytest.mark.parametrize("said", [b"", STARTUP[:2], STARTUP[:-1], SSL_REQUEST])
    def test_a_client_that_leaves_is_gone(
        self, meeting: Meeting, context: ssl.SSLContext, said: bytes
    ) -> None:
        async def story(sock: socket.socket) -> None:
            await say(sock, said)
            sock.close()

        assert isinstance(meeting.between(story, context), Disconnected)


class TestUnderTls:
    def test_a_client_asks_for_it_first(self, meeting: Meeting, context: ssl.SSLContext) -> None:
        async def story(sock: socket.socket) -> None:
            await say(sock, SSL_REQUEST)
            assert await hear(sock, 2) == b"S"
            await meeting.encrypt(sock, STARTUP + QUERY, protocols=())

        arrival = meeting.between(story, context, tls_required=True)
        assert user_of(arrival) == "alice"
        assert isinstance(arrival, Client)
        assert arrival.stream.encrypted
        assert arrival.stream.peer_certificate() is None
        assert meeting.heard == b"select 1\0"

    def test_after_gssapi_was_declined(self, meeting: Meeting, context: ssl.SSLContext) -> None:
        async def story(sock: socket.socket) -> None:
            await say(sock, GSSENC_REQUEST)
            assert await hear(sock, 2) == b"N"
            await say(sock, SSL_REQUEST)
            assert await hear(sock, 2) == b"S"
            await meeting.encrypt(sock, STARTUP + QUERY)

        assert user_of(meeting.between(story, context)) == "alice"

    @pytest.mark.parametrize("early", [b"Q", STARTUP, b"\x16", SSL_REQUEST])
    def test_bytes_before_the_answer_end_the_connection(
        self, meeting: Meeting, context: ssl.SSLContext, early: bytes
    ) -> None:
        """CVE-2021-23214: they would otherwise pass for encrypted ones."""

        async def story(sock: socket.socket) -> None:
            await say(sock, SSL_REQUEST + early)
            heard = await hear_all(sock)
            assert heard[:1] != b"S"
            assert b"received unencrypted data after SSL request" in heard

        assert isinstance(meeting.between(story, context), Disconnected)

    def test_bytes_after_the_answer_are_nothing_but_a_handshake(
        self, meeting: Meeting, context: ssl.SSLContext
    ) -> None:
        async def story(sock: socket.socket) -> None:
            await say(sock, SSL_REQUEST)
            assert await hear(sock, 2) == b"S"
            await say(sock, STARTUP + QUERY)
            sock.shutdown(socket.SHUT_WR)

        assert isinstance(meeting.between(story, context), Disconnected)

    def test_a_cancel_request_may_come_under_it(
        self, meeting: Meeting, context: ssl.SSLContext
    ) -> None:
        async def story(sock: socket.socket) -> None:
            await say(sock, SSL_REQUEST)
            assert await hear(sock, 2) == b"S"
            await meeting.encrypt(sock, CANCEL)

        assert isinstance(meeting.between(story, context), CancelWish)

    @pytest.mark.parametrize("said", [SSL_REQUEST, GSSENC_REQUEST, pack("!I", 3)])
    def test_nonsense_under_it_is_refused(
        self, meeting: Meeting, context: ssl.SSLContext, said: bytes
    ) -> None:
        async def story(sock: socket.socket) -> None:
            await say(sock, SSL_REQUEST)
            assert await hear(sock, 2) == b"S"
            await meeting.encrypt(sock, said)

        assert isinstance(meeting.between(story, context), Disconnected)


class TestFromTheStart:
    """sslnegotiation=direct."""

    def test_with_the_right_protocol_it_is_tls(
        self, meeting: Meeting, context: ssl.SSLContext
    ) -> None:
        async def story(sock: socket.socket) -> None:
            await meeting.encrypt(sock, STARTUP + QUERY, protocols=("postgresql",))

        arrival = meeting.between(story, context, tls_required=True)
        assert user_of(arrival) == "alice"
        assert meeting.heard == b"select 1\0"

    @pytest.mark.parametrize("protocols", [(), ("h2",)])
    def test_without_it_the_connection_ends(
        self, meeting: Meeting, context: ssl.SSLContext, protocols: tuple[str, ...]
    ) -> None:
        """It may have been meant for another service."""

        async def story(sock: socket.socket) -> None:
            await meeting.encrypt(sock, STARTUP, protocols=protocols)

        refused = meeting.between(story, context)
        assert isinstance(refused, Disconnected)
        assert str(refused.__cause__) == "TLS from the start, without the protocol postgresql"

    def test_where_there_is_no_tls_it_is_a_hostile_length(self, meeting: Meeting) -> None:
        async def story(sock: socket.socket) -> None:
            await say(sock, b"\x16\x03\x01\x02\x00")
            assert b"C08P01\0" in await hear_all(sock)

        assert isinstance(meeting.between(story, None), Disconnected)
