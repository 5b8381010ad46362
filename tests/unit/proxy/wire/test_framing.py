"""Bytes arrive in any pieces; messages come out whole, and no length makes us buffer much."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.errors import MalformedFrame
from proxy.wire.framing import Frame, Frames, check_startup_length
from proxy.wire.messages import encode_frame

MAX_LENGTH = 64
MESSAGES = [Frame(b"p", b"secret\0"), Frame(b"S", b""), Frame(b"Q", b"select 1\0")]

frames = st.builds(
    Frame,
    st.binary(min_size=1, max_size=1),
    st.binary(max_size=MAX_LENGTH - 4),
)


def encode(messages: Iterable[Frame]) -> bytes:
    return b"".join(encode_frame(each.kind, each.body) for each in messages)


def ask(pending: Frames) -> Iterator[Frame]:
    while (frame := pending.next_frame()) is not None:
        yield frame


def read(*pieces: bytes) -> list[Frame]:
    pending = Frames(MAX_LENGTH)
    found: list[Frame] = []
    for piece in pieces:
        pending.feed(piece)
        found += ask(pending)
    return found


@pytest.mark.parametrize("cut", range(len(encode(MESSAGES)) + 1))
def test_messages_are_the_same_wherever_the_stream_is_cut(cut: int) -> None:
    stream = encode(MESSAGES)
    assert read(stream[:cut], stream[cut:]) == MESSAGES


def test_messages_are_the_same_byte_by_byte() -> None:
    assert read(*(bytes([byte]) for byte in encode(MESSAGES))) == MESSAGES


@given(messages=st.lists(frames, max_size=6), data=st.data())
def test_messages_are_the_same_in_any_pieces(messages: list[Frame], data: st.DataObject) -> None:
    stream = encode(messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    pieces = (stream[start:end] for start, end in pairwise([0, *cuts, len(stream)]))
    assert read(*pieces) == messages


def test_a_message_is_not_given_before_its_last_byte() -> None:
    assert read(encode_frame(b"Q", b"drop table t\0")[:-1]) == []


@pytest.mark.parametrize("length", [0, 3, MAX_LENGTH + 1, 2**31, 2**32 - 1])
def test_a_hostile_length_is_refused_as_soon_as_it_is_known(length: int) -> None:
    """Waiting for its body would let a stranger fill our memory."""
    with pytest.raises(MalformedFrame, match=f"invalid message length {length} "):
        read(b"p" + length.to_bytes(4))


def test_the_longest_message_allowed_is_read() -> None:
    longest = Frame(b"p", bytes(MAX_LENGTH - 4))
    assert read(encode([longest])) == [longest]


def test_what_was_not_asked_for_is_handed_on_once() -> None:
    """The relay goes on where the handshake stopped, whatever the client sent ahead."""
    pending = Frames(MAX_LENGTH)
    pending.feed(encode(MESSAGES) + b"Q\0\0")
    assert pending.next_frame() == MESSAGES[0]
    assert pending.take_rest() == encode(MESSAGES[1:]) + b"Q\0\0"
    assert pending.take_rest() == b""
    assert pending.next_frame() is None


def test_a_message_does_not_show_its_body_in_logs() -> None:
    assert "secret" not in repr(MESSAGES[0])


class TestFirstMessage:
    """It has no type byte."""

    MESSAGE = b"\0\0\0\x0c\x04\xd2\x16\x2fkeys"

    @pytest.mark.parametrize("cut", range(len(MESSAGE)))
    def test_is_given_when_it_is_whole(self, cut: int) -> None:
        pending = Frames(MAX_LENGTH)
        pending.feed(self.MESSAGE[:cut])
        assert pending.next_startup() is None
        pending.feed(self.MESSAGE[cut:])
        assert pending.next_startup() == self.MESSAGE[4:]

    def test_leaves_what_follows_it(self) -> None:
        pending = Frames(MAX_LENGTH)
        pending.feed(self.MESSAGE + encode(MESSAGES))
        assert pending.next_startup() == self.MESSAGE[4:]
        assert list(ask(pending)) == MESSAGES

    @pytest.mark.parametrize("length", [0, 4, 7, 10_001, 2**32 - 1])
    def test_of_a_hostile_length_is_refused_as_soon_as_that_is_known(self, length: int) -> None:
        pending = Frames(MAX_LENGTH)
        pending.feed(length.to_bytes(4))
        with pytest.raises(MalformedFrame, match=f"invalid message length {length} "):
            pending.next_startup()

    @pytest.mark.parametrize("length", [8, 10_000])
    def test_may_be_as_short_and_as_long_as_postgresql_takes(self, length: int) -> None:
        check_startup_length(length)
        pending = Frames(MAX_LENGTH)
        pending.feed(length.to_bytes(4) + bytes(length - 4))
        assert pending.next_startup() == bytes(length - 4)
