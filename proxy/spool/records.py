"""What is in a segment of a spool: a header, then records, then zeros.

    header   MAGIC, then the version; padded to HEADER_SIZE
    record   length of the payload (4 bytes), CRC-32 of the payload (4 bytes), payload

All numbers are little-endian. A payload is its kind (1 byte), the session's id (SESSION_ID_SIZE
bytes, ASCII), and what is said below. A length of zero is the end so far. A record whose CRC is
wrong is still being written, or was when its worker died: what it would have recorded was not yet
passed on, since that comes after.
"""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from struct import error as CutShort  # noqa: N812
from typing import assert_never
from zlib import crc32

from broker.domain.statement.statement import Ending, Protocol

MAGIC = b"PGCSPOOL"
VERSION = 1
HEADER_SIZE = 64
SESSION_ID_SIZE = 20  # ses_ and 16 characters: broker.domain.ids

_PREFIX = Struct("<II")
PREFIX_SIZE = _PREFIX.size
# seq, started_at in microseconds since 1970, protocol, flags, length of the whole text
_BEGIN = Struct("<B20sQQBBQ")
_PLAIN = Struct("<B20sQQBBQI")  # the same, and the length of a text that is whole
_DIGEST_SIZE = 32
_LENGTH = Struct("<I")
_NULL = 0xFFFFFFFF
# seq, duration in microseconds, ending, rows (-1: unknown), bytes from and to the client, SQLSTATE
# (zeros: none); the command tag follows
_END = Struct("<B20sQQBqQQ5s")
_NO_SQLSTATE = bytes(5)
_CLOSED = Struct("<B20s")

_MOST_DIGITS = 18  # whatever a target says: the ledger's numbers are bigint

_PROTOCOLS = tuple(Protocol)
PROTOCOL_NUMBERS = {each: number for number, each in enumerate(_PROTOCOLS)}
_ENDINGS = tuple(Ending)
ENDING_NUMBERS = {each: number for number, each in enumerate(_ENDINGS)}


class _Kind(IntEnum):
    BEGIN = 1
    END = 2
    CLOSED = 3


class _Flag(IntEnum):
    CUT = 1  # a digest of the whole text follows
    MASKED = 2
    TYPES = 4
    VALUES = 8


class DamagedRecord(Exception):
    """A record is whole by its CRC, and still is none that we know: not ours, or a newer one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """A statement that is about to be passed on. See broker.domain.statement.statement for the
    fields; `text` and `parameters` are as the client sent them, but masked and cut."""

    session_id: str
    seq: int
    started_at_us: int
    protocol: Protocol
    text: bytes
    text_bytes: int
    text_sha256: bytes | None = None
    masked: bool = False
    parameter_types: tuple[int, ...] | None = None
    parameters: tuple[bytes | None, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    session_id: str
    seq: int
    ending: Ending
    duration_us: int
    rows: int | None
    tag: bytes | None
    sqlstate: bytes | None
    bytes_from_client: int
    bytes_to_client: int


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing more comes of this session."""

    session_id: str


Record = Begin | End | Closed


def encode_header() -> bytes:
    return (MAGIC + VERSION.to_bytes(4, "little")).ljust(HEADER_SIZE, b"\0")


def is_header(data: bytes) -> bool:
    return data[:HEADER_SIZE] == encode_header()


def encode_record(record: Record) -> bytes:
    """Return the record with its length and CRC."""
    match record:
        case Begin():
            payload = _encode_begin(record)
        case End():
            return encode_end(
                record.session_id.encode(),
                record.seq,
                record.duration_us,
                ENDING_NUMBERS[record.ending],
                record.rows,
                record.tag,
                record.sqlstate,
                record.bytes_from_client,
                record.bytes_to_client,
            )
        case Closed():
            payload = _CLOSED.pack(_Kind.CLOSED, record.session_id.encode())
        case _:
            assert_never(record)
    return framed(payload)


def framed(payload: bytes) -> bytes:
    return _PREFIX.pack(len(payload), crc32(payload)) + payload


def encode_plain_begin(
    session_id: bytes, seq: int, started_at_us: int, protocol: int, text: bytes
) -> bytes:
    """Return what `encode_record` does of a statement whose text is whole, without parameters: the
    usual one, for the hot path. `protocol` is one of PROTOCOL_NUMBERS."""
    size = len(text)
    payload = _PLAIN.pack(1, session_id, seq, started_at_us, protocol, 0, size, size) + text
    return _PREFIX.pack(len(payload), crc32(payload)) + payload


def encode_end(  # noqa: PLR0913, PLR0917  (the hot path: no object in between)
    session_id: bytes,
    seq: int,
    duration_us: int,
    ending: int,
    rows: int | None,
    tag: bytes | None,
    sqlstate: bytes | None,
    bytes_from_client: int,
    bytes_to_client: int,
) -> bytes:
    """`ending` is one of ENDING_NUMBERS. Without `rows`, they are those of the tag."""
    payload = _END.pack(
        2,
        session_id,
        seq,
        duration_us,
        ending,
        -1 if rows is None else rows,
        bytes_from_client,
        bytes_to_client,
        sqlstate or _NO_SQLSTATE,
    ) + (tag or b"")
    return _PREFIX.pack(len(payload), crc32(payload)) + payload


def rows_of(tag: bytes) -> int | None:
    """Return how many rows a command tag speaks of, if it does: `INSERT 0 5` of five.

    https://www.postgresql.org/docs/current/protocol-message-formats.html, CommandComplete
    """
    last = tag.rpartition(b" ")[2]
    return int(last) if last.isdigit() and len(last) <= _MOST_DIGITS else None


def read_record(data: bytes | memoryview, position: int) -> tuple[Record, int] | None:
    """Return the record at `position` and where the next one begins; None if there is none yet.

    Raises DamagedRecord.
    """
    if position + PREFIX_SIZE > len(data):
        return None
    length, crc = _PREFIX.unpack_from(data, position)
    start = position + PREFIX_SIZE
    end = start + length
    if not length or end > len(data):
        return None
    payload = bytes(data[start:end])
    if crc32(payload) != crc:
        return None
    try:
        return _decode(payload), end
    except (ValueError, IndexError, CutShort) as error:
        raise DamagedRecord(f"at {position}") from error


def _encode_begin(record: Begin) -> bytes:
    flags = 0
    parts = [_LENGTH.pack(len(record.text)), record.text]
    if record.text_sha256 is not None:
        flags |= _Flag.CUT
        parts.append(record.text_sha256)
    if record.masked:
        flags |= _Flag.MASKED
    if record.parameter_types is not None:
        flags |= _Flag.TYPES
        parts.append(_LENGTH.pack(len(record.parameter_types)))
        parts += [_LENGTH.pack(each) for each in record.parameter_types]
    if record.parameters is not None:
        flags |= _Flag.VALUES
        parts.append(_LENGTH.pack(len(record.parameters)))
        for value in record.parameters:
            if value is None:
                parts.append(_LENGTH.pack(_NULL))
            else:
                parts += [_LENGTH.pack(len(value)), value]
    head = _BEGIN.pack(
        _Kind.BEGIN,
        record.session_id.encode(),
        record.seq,
        record.started_at_us,
        PROTOCOL_NUMBERS[record.protocol],
        flags,
        record.text_bytes,
    )
    return head + b"".join(parts)


def _decode(payload: bytes) -> Record:
    kind = payload[0]
    if kind == _Kind.BEGIN:
        return _decode_begin(payload)
    if kind == _Kind.END:
        _, session, seq, duration, ending, rows, received, sent, sqlstate = _END.unpack_from(
            payload
        )
        tag = payload[_END.size :] or None
        return End(
            session_id=session.decode("ascii"),
            seq=seq,
            ending=_ENDINGS[ending],
            duration_us=duration,
            rows=rows_of(tag or b"") if rows < 0 else rows,
            tag=tag,
            sqlstate=None if sqlstate == _NO_SQLSTATE else sqlstate,
            bytes_from_client=received,
            bytes_to_client=sent,
        )
    if kind == _Kind.CLOSED:
        return Closed(payload[1 : 1 + SESSION_ID_SIZE].decode("ascii"))
    raise ValueError(kind)


def _decode_begin(payload: bytes) -> Begin:
    _, session, seq, started, protocol, flags, text_bytes, size = _PLAIN.unpack_from(payload)
    rest = _Rest(payload, _PLAIN.size)
    text = rest.take(size)
    if not flags:  # the usual one
        return Begin(
            session_id=session.decode("ascii"),
            seq=seq,
            started_at_us=started,
            protocol=_PROTOCOLS[protocol],
            text=text,
            text_bytes=text_bytes,
        )
    digest = rest.take(_DIGEST_SIZE) if flags & _Flag.CUT else None
    types = tuple(rest.number() for _ in range(rest.number())) if flags & _Flag.TYPES else None
    values = None
    if flags & _Flag.VALUES:
        values = tuple(rest.value() for _ in range(rest.number()))
    return Begin(
        session_id=session.decode("ascii"),
        seq=seq,
        started_at_us=started,
        protocol=_PROTOCOLS[protocol],
        text=text,
        text_bytes=text_bytes,
        text_sha256=digest,
        masked=bool(flags & _Flag.MASKED),
        parameter_types=types,
        parameters=values,
    )


class _Rest:
    """What is left of a payload. Raises ValueError where there is less than it says."""

    def __init__(self, payload: bytes, position: int) -> None:
        self._payload = payload
        self._position = position

    def take(self, count: int) -> bytes:
        position = self._position
        self._position = end = position + count
        if end > len(self._payload):
            raise ValueError("cut short")
        return self._payload[position:end]

    def number(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def value(self) -> bytes | None:
        length = self.number()
        return None if length == _NULL else self.take(length)
