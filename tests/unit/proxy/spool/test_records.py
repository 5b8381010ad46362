"""What was put into a segment is what is read from it, or nothing is."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.statement.statement import Ending, Protocol
from proxy.spool.records import (
    HEADER_SIZE,
    PREFIX_SIZE,
    PROTOCOL_NUMBERS,
    Begin,
    Closed,
    DamagedRecord,
    End,
    Record,
    encode_header,
    encode_plain_begin,
    encode_record,
    framed,
    is_header,
    read_record,
    rows_of,
)
from tests.support.spool import START_US, begin, closed, end, session_id

NUMBERS = st.integers(0, 2**63 - 1)
SESSIONS = st.integers(0, 10**15).map(session_id)
BEGINS = st.builds(
    Begin,
    session_id=SESSIONS,
    seq=NUMBERS,
    started_at_us=NUMBERS,
    protocol=st.sampled_from(Protocol),
    text=st.binary(max_size=50),
    text_bytes=NUMBERS,
    text_sha256=st.none() | st.binary(min_size=32, max_size=32),
    masked=st.booleans(),
    parameter_types=st.none() | st.lists(st.integers(0, 2**32 - 1), max_size=4).map(tuple),
    parameters=st.none() | st.lists(st.none() | st.binary(max_size=9), max_size=4).map(tuple),
)
ENDS = st.builds(
    End,
    session_id=SESSIONS,
    seq=NUMBERS,
    ending=st.sampled_from(Ending),
    duration_us=NUMBERS,
    rows=st.none() | NUMBERS,
    tag=st.none() | st.sampled_from([b"BEGIN", b"CREATE TABLE", b"\xff"]),
    sqlstate=st.none() | st.sampled_from([b"42P01", b"57014"]),
    bytes_from_client=NUMBERS,
    bytes_to_client=NUMBERS,
)
RECORDS = BEGINS | ENDS | SESSIONS.map(Closed)


@given(st.lists(RECORDS, max_size=5))
def test_what_was_written_is_read_in_its_order(records: list[Record]) -> None:
    data = encode_header() + b"".join(map(encode_record, records)) + bytes(20)
    position, found = HEADER_SIZE, []
    while (read := read_record(memoryview(data), position)) is not None:
        found.append(read[0])
        position = read[1]
    assert found == records
    assert not any(data[position:])


@given(RECORDS)
def test_half_a_record_is_not_there_yet(record: Record) -> None:
    data = encode_record(record)
    for size in range(len(data)):
        assert read_record(data[:size], 0) is None
        if any(data[size:]):  # in the file there are zeros where nothing was written yet
            assert read_record(data[:size].ljust(len(data) + 8, b"\0"), 0) is None


@given(RECORDS, st.data())
def test_a_changed_byte_is_noticed(record: Record, data: st.DataObject) -> None:
    encoded = bytearray(encode_record(record))
    where = data.draw(st.integers(PREFIX_SIZE, len(encoded) - 1))
    encoded[where] ^= data.draw(st.integers(1, 255))
    assert read_record(bytes(encoded), 0) is None


def test_the_quick_way_of_writing_says_the_same() -> None:
    usual = begin(7, text=b"SELECT 2")
    quick = encode_plain_begin(
        usual.session_id.encode(), 7, START_US, PROTOCOL_NUMBERS[Protocol.SIMPLE], b"SELECT 2"
    )
    assert quick == encode_record(usual)


@pytest.mark.parametrize(
    "payload",
    [
        b"\x09" + bytes(30),  # of a kind that is not known
        b"\x01" + bytes(10),  # no room for its fields
        encode_record(begin())[PREFIX_SIZE:-1],  # a text that is shorter than it says
        encode_record(end())[PREFIX_SIZE:][:37] + b"\xff" * 40,  # an ending that is not known
        b"\x03" + b"\xff" * 20,  # a session's id that is not ASCII
    ],
)
def test_a_whole_record_that_makes_no_sense_is_damage(payload: bytes) -> None:
    with pytest.raises(DamagedRecord, match="at 5"):
        read_record(bytes(5) + framed(payload), 5)


@pytest.mark.parametrize(
    ("tag", "rows"),
    [
        (b"INSERT 0 5", 5),
        (b"SELECT 0", 0),
        (b"BEGIN", None),
        (b"", None),
        (b"SELECT " + b"9" * 5000, None),  # a target may say anything
    ],
)
def test_rows_are_those_of_the_tag_where_nobody_counted(tag: bytes, rows: int | None) -> None:
    assert rows_of(tag) == rows
    ended = replace(end(), rows=None, tag=tag or None)
    assert read_record(encode_record(ended), 0) == (
        replace(ended, rows=rows),
        len(encode_record(ended)),
    )


def test_a_segment_is_known_by_its_header() -> None:
    assert is_header(encode_header() + encode_record(closed()))
    assert not is_header(bytes(HEADER_SIZE))
    assert not is_header(encode_header()[:-1])
