"""Our own message goes between two of the server's, wherever the network cut the stream."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.boundary import Boundary, Notable
from proxy.wire.messages import encode_frame

STREAM = (
    encode_frame(b"T", b"one column")
    + encode_frame(b"D", b"a row")
    + encode_frame(b"I", b"")
    + encode_frame(b"Z", b"I")
)

streams = st.lists(
    st.builds(encode_frame, st.binary(min_size=1, max_size=1), st.binary(max_size=40)), max_size=6
).map(b"".join)


@dataclass(frozen=True)
class Place:
    """What a parser that has the whole stream says of one position in it."""

    between_messages: bool
    last_kind: int
    until_next: int  # how far the open message's end is, or 0 between messages


def look_up(stream: bytes, position: int) -> Place:
    """Naive: starts from the beginning every time."""
    start, last_kind = 0, 0
    while start < position:
        end = start + 1 + int.from_bytes(stream[start + 1 : start + 5])
        if position - start >= 5:
            last_kind = stream[start]
        if position < end:
            return Place(between_messages=False, last_kind=last_kind, until_next=end - position)
        start = end
    return Place(between_messages=True, last_kind=last_kind, until_next=0)


def advanced(*pieces: bytes) -> Boundary:
    boundary = Boundary()
    for piece in pieces:
        boundary.advance(piece)
    return boundary


def assert_at(boundary: Boundary, place: Place) -> None:
    assert boundary.between_messages == place.between_messages
    assert boundary.last_kind == place.last_kind


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_the_place_is_known_wherever_the_stream_is_cut(cut: int) -> None:
    boundary = advanced(STREAM[:cut])
    assert_at(boundary, look_up(STREAM, cut))
    boundary.advance(STREAM[cut:])
    assert_at(boundary, Place(between_messages=True, last_kind=ord("Z"), until_next=0))


@given(stream=streams, data=st.data())
def test_the_place_is_known_after_every_piece(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    boundary = Boundary()
    for start, end in pairwise([0, *cuts, len(stream)]):
        boundary.advance(stream[start:end])
        assert_at(boundary, look_up(stream, end))


@given(stream=streams, data=st.data())
def test_the_end_of_the_open_message_is_found_in_whatever_comes_next(
    stream: bytes, data: st.DataObject
) -> None:
    """Asked at every cut, with every amount of what follows; asking changes nothing."""
    cut = data.draw(st.integers(0, len(stream)))
    earlier = data.draw(st.integers(0, cut))
    boundary = advanced(stream[:earlier], stream[earlier:cut])
    place = look_up(stream, cut)
    for end in range(cut, len(stream) + 1):
        known = place.until_next <= end - cut
        assert boundary.until_next(stream[cut:end]) == (place.until_next if known else None)
    assert_at(boundary, place)


def test_between_messages_nothing_belongs_to_an_open_one() -> None:
    assert advanced(STREAM).until_next(STREAM) == 0


def test_a_body_longer_than_memory_is_not_buffered() -> None:
    boundary = advanced(b"d" + (2**32 - 1).to_bytes(4) + bytes(10))
    assert not boundary.between_messages
    assert boundary.until_next(bytes(1000)) is None


@given(pieces=st.lists(st.binary(max_size=12)), following=st.binary(max_size=12))
def test_no_stream_makes_it_fail_or_point_outside_the_data(
    pieces: list[bytes], following: bytes
) -> None:
    """Lengths below four lie, and must not point backwards."""
    needed = advanced(*pieces).until_next(following)
    assert needed is None or 0 <= needed <= len(following)


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_a_length_that_is_too_short_ends_the_message_where_it_stands(cut: int) -> None:
    """No server sends one: whatever it is, nothing before the data belongs to it."""
    header = b"D" + bytes(4)
    assert advanced(header[:cut]).until_next(header[cut:]) == 0


NOTABLE = (
    encode_frame(b"T", b"one column")
    + encode_frame(b"D", b"a row") * 2
    + encode_frame(b"s", b"")
    + encode_frame(b"D", b"a row")
    + encode_frame(b"C", b"SELECT 1\0")
    + encode_frame(b"N", b"SNOTICE\0\0")
    + encode_frame(b"Z", b"I")
)


def noted(*pieces: bytes) -> tuple[list[Notable], int, int]:
    boundary = advanced(*pieces)
    return boundary.notable, boundary.rows, boundary.received


def test_what_is_notable_is_kept_with_its_end_and_the_rows_before_it() -> None:
    assert noted(NOTABLE) == (
        [
            (ord("s"), b"", 40, 2),
            (ord("C"), b"SELECT 1\0", 64, 3),
            (ord("Z"), b"I", len(NOTABLE), 3),
        ],
        3,
        len(NOTABLE),
    )


@pytest.mark.parametrize("cut", range(len(NOTABLE) + 1))
def test_what_is_notable_is_the_same_wherever_the_stream_is_cut(cut: int) -> None:
    assert noted(NOTABLE[:cut], NOTABLE[cut:]) == noted(NOTABLE)


@given(stream=streams, data=st.data())
def test_what_is_notable_is_the_same_in_any_pieces(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    pieces = [stream[start:end] for start, end in pairwise([0, *cuts, len(stream)])]
    assert noted(*pieces) == noted(stream)
    assert noted(*(stream[at : at + 1] for at in range(len(stream)))) == noted(stream)


def test_of_a_long_error_the_beginning_is_kept() -> None:
    message = encode_frame(b"E", b"C57014\0" + bytes(20_000))
    for pieces in ([message], [message[:9], message[9:9_000], message[9_000:]]):
        ((kind, body, end, _rows),) = advanced(*pieces).notable
        assert (kind, len(body), end) == (ord("E"), 8_192, len(message))
        assert body.startswith(b"C57014\0")


@given(pieces=st.lists(st.binary(max_size=40)))
def test_no_stream_makes_it_keep_more_than_that(pieces: list[bytes]) -> None:
    assert all(len(body) <= 8_192 for _, body, _, _ in advanced(*pieces).notable)
