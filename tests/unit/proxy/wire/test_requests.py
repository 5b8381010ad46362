"""What a client says, in whatever pieces it comes, and whatever lengths it gives."""

from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.errors import MalformedFrame
from proxy.wire.messages import encode_frame
from proxy.wire.requests import COPY_DATA, LongText, Request, Requests
from tests.support import messages as m

KEPT = 64

kinds = st.sampled_from([bytes([kind]) for kind in b"QPBECFScfdHDXz"])
streams = st.lists(st.builds(encode_frame, kinds, st.binary(max_size=150)), max_size=6).map(
    b"".join
)


def read(*pieces: bytes, kept: int = KEPT) -> list[Request]:
    requests, found = Requests(kept), []
    for piece in pieces:
        position = 0
        while position < len(piece):
            position, request = requests.next_in(piece, position)
            if request is not None:
                found.append(request)
    return found


def test_messages_with_words_are_whole() -> None:
    stream = m.parse("s", "SELECT 1") + m.bind("s") + m.SYNC
    assert [(each.kind, each.size) for each in read(stream)] == [
        (ord("P"), len(m.parse("s", "SELECT 1"))),
        (ord("B"), len(m.bind("s"))),
        (ord("S"), 5),
    ]
    assert read(stream)[0].body == m.parse("s", "SELECT 1")[5:]


def test_messages_without_are_passed_over() -> None:
    assert read(m.FLUSH + m.describe("s") + encode_frame(b"X", b"")) == []


@given(stream=streams, data=st.data())
def test_the_same_stream_is_the_same_in_any_pieces(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in pairwise([0, *cuts, len(stream)])]
    whole = read(stream)
    assert read(*pieces) == whole
    assert read(*(stream[at : at + 1] for at in range(len(stream)))) == whole


@given(pieces=st.lists(st.binary(max_size=30)))
def test_anything_is_read_or_malformed(pieces: list[bytes]) -> None:
    requests = Requests(KEPT)
    for piece in pieces:
        position = 0
        while position < len(piece):
            before = position
            try:
                position, request = requests.next_in(piece, position)
            except MalformedFrame:
                return
            assert before < position <= len(piece)
            assert request is None or len(request.body) <= KEPT + 5


@pytest.mark.parametrize("length", [0, 3, 0x40000000, 0xFFFFFFFF])
@pytest.mark.parametrize("cut", range(5))
def test_a_length_that_no_server_takes_is_malformed(length: int, cut: int) -> None:
    header = b"Q" + length.to_bytes(4)
    with pytest.raises(MalformedFrame, match=str(length)):
        read(header[:cut], header[cut:])


def test_of_a_long_message_only_the_beginning_is_kept() -> None:
    text = b"x" * 1_000
    (request,) = read(m.query(text))
    assert len(request.body) == KEPT
    assert request.size == 1_006
    assert (request.text_bytes, request.text_sha256) == (1_000, sha256(text).digest())


def test_the_text_of_a_long_parse_is_measured_without_its_name_and_types() -> None:
    text = b"x" * 1_000
    message = m.parse("a name", text, 23, 25)
    for pieces in ([message], [message[at : at + 1] for at in range(len(message))]):
        (request,) = read(*pieces)
        assert (request.text_bytes, request.text_sha256) == (1_000, sha256(text).digest())


def test_of_a_long_bind_nothing_is_measured() -> None:
    (request,) = read(m.bind("s", b"x" * 1_000))
    assert (request.text_bytes, request.text_sha256) == (0, None)


def test_what_is_within_what_is_kept_is_not_measured() -> None:
    (request,) = read(m.query("SELECT 1")[:7], m.query("SELECT 1")[7:])
    assert (request.body, request.text_sha256) == (b"SELECT 1\0", None)


def test_the_bytes_of_a_copy_are_counted() -> None:
    requests = Requests(KEPT)
    stream = m.copy_data(b"12345") + m.copy_data(bytes(200)) + m.copy_data(b"")
    assert requests.next_in(stream, 0) == (10, COPY_DATA)
    for at in range(10, len(stream)):
        requests.next_in(stream[at : at + 1], 0)
    assert requests.copied == 205
    assert requests.between_messages


def test_a_copy_in_pieces_is_told_of_when_it_is_whole() -> None:
    data = m.copy_data(b"12345")
    assert read(data[:7]) == []
    assert read(data[:7], data[7:], data[:3], data[3:]) == [COPY_DATA, COPY_DATA]


def test_it_is_known_whether_a_message_is_open() -> None:
    requests = Requests(KEPT)
    found = [requests.between_messages]
    for piece in (b"Q\0", b"\0\0\x0c", b"SELECT 1"):
        requests.next_in(piece, 0)
        found.append(requests.between_messages)
    assert found == [True, False, False, True]


@pytest.mark.parametrize(
    ("kind", "parts", "size"),
    [
        ("Q", [b"ab", b"c\0d", b"e\0"], 3),
        ("P", [b"na", b"me\0a", b"b\0\0\0"], 2),
        ("P", [b"name"], 0),
        ("Q", [b"abc"], 3),
    ],
)
def test_a_text_ends_with_a_zero(kind: str, parts: list[bytes], size: int) -> None:
    text = LongText(ord(kind))
    for part in parts:
        text.feed(part)
    assert text.size == size
