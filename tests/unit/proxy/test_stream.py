"""Whole messages from a transport that a test drives, until somebody else takes it over."""

import asyncio

import pytest

from proxy.stream import Disconnected, MessageStream
from proxy.wire.errors import WireError
from proxy.wire.messages import encode_frame, encode_startup

STARTUP = encode_startup({"user": "alice"})
MESSAGE = encode_frame(b"p", b"proof")
READ_AHEAD = 65_536


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.protocol: asyncio.BaseProtocol | None = None
        self.written = b""
        self.reading = True
        self.closing = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_extra_info(self, name: str, default: object = None) -> object:
        del name
        return default


class Successor(asyncio.Protocol):
    def __init__(self) -> None:
        self.told: list[str] = []
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        del transport
        self.told.append("made")

    def pause_writing(self) -> None:
        self.told.append("pause")

    def data_received(self, data: bytes) -> None:
        self.told.append("data")
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.told.append("lost")


@pytest.fixture
def transport() -> FakeTransport:
    return FakeTransport()


@pytest.fixture
def stream(transport: FakeTransport) -> MessageStream:
    stream = MessageStream(1024)
    stream.connection_made(transport)
    return stream


class TestReading:
    async def test_messages_come_whole_however_they_were_cut(self, stream: MessageStream) -> None:
        async with asyncio.TaskGroup() as tasks:
            startup = tasks.create_task(stream.next_startup())
            for byte in STARTUP + MESSAGE:
                stream.data_received(bytes([byte]))
                await asyncio.sleep(0)  # lets the reader look after every byte
        assert startup.result() == STARTUP[4:]
        assert (await stream.next_frame()).body == b"proof"

    async def test_a_message_that_is_too_long_is_refused(self, stream: MessageStream) -> None:
        stream.data_received(b"p" + (1025).to_bytes(4))
        with pytest.raises(WireError):
            await stream.next_frame()

    async def test_whoever_has_left_says_nothing_more(self, stream: MessageStream) -> None:
        stream.data_received(MESSAGE[:-1])
        stream.connection_lost(None)
        with pytest.raises(Disconnected):
            await stream.next_frame()

    async def test_what_was_said_before_leaving_is_still_read(self, stream: MessageStream) -> None:
        stream.data_received(MESSAGE)
        stream.connection_lost(None)
        assert (await stream.next_frame()).body == b"proof"

    async def test_whoever_says_too_much_waits_for_their_turn(
        self, stream: MessageStream, transport: FakeTransport
    ) -> None:
        stream.data_received(MESSAGE + bytes(READ_AHEAD))
        assert not transport.reading
        await stream.next_frame()
        assert not transport.reading
        with pytest.raises(WireError):  # a length of nothing
            await stream.next_frame()


class TestWriting:
    async def test_goes_to_the_transport(
        self, stream: MessageStream, transport: FakeTransport
    ) -> None:
        stream.write(MESSAGE)
        assert transport.written == MESSAGE

    async def test_to_somebody_who_is_leaving_is_refused(
        self, stream: MessageStream, transport: FakeTransport
    ) -> None:
        transport.close()
        with pytest.raises(Disconnected):
            stream.write(MESSAGE)

    async def test_the_last_words_close(
        self, stream: MessageStream, transport: FakeTransport
    ) -> None:
        stream.say_goodbye(MESSAGE)
        stream.say_goodbye(MESSAGE)
        assert (transport.written, transport.closing) == (MESSAGE, True)

    async def test_without_tls_there_is_no_certificate(self, stream: MessageStream) -> None:
        assert not stream.encrypted
        assert stream.peer_certificate() is None


class TestHandingOver:
    async def test_passes_on_what_nobody_has_read(
        self, stream: MessageStream, transport: FakeTransport
    ) -> None:
        stream.data_received(MESSAGE + MESSAGE)
        await stream.next_frame()
        successor = Successor()
        stream.hand_over(successor)
        assert transport.protocol is successor
        assert successor.told == ["made", "data"]
        assert successor.data == MESSAGE

    async def test_lets_a_peer_go_on_that_was_made_to_wait(
        self, stream: MessageStream, transport: FakeTransport
    ) -> None:
        stream.data_received(bytes(READ_AHEAD + 1))
        successor = Successor()
        stream.hand_over(successor)
        assert transport.reading
        assert len(successor.data) == READ_AHEAD + 1

    async def test_says_that_the_transport_is_full(self, stream: MessageStream) -> None:
        stream.pause_writing()
        stream.pause_writing()
        successor = Successor()
        stream.hand_over(successor)
        assert successor.told == ["made", "pause"]

    async def test_does_not_say_that_it_was_full_once(self, stream: MessageStream) -> None:
        stream.pause_writing()
        stream.resume_writing()
        successor = Successor()
        stream.hand_over(successor)
        assert successor.told == ["made"]

    async def test_says_that_the_peer_has_left(self, stream: MessageStream) -> None:
        stream.data_received(MESSAGE)
        stream.connection_lost(None)
        successor = Successor()
        stream.hand_over(successor)
        assert successor.told == ["made", "data", "lost"]
