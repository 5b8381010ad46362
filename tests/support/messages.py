"""Messages of both sides, as they are on the wire."""

from struct import pack

from proxy.wire.messages import encode_error, encode_frame

SYNC = encode_frame(b"S", b"")
FLUSH = encode_frame(b"H", b"")
COPY_DONE = encode_frame(b"c", b"")
COPY_FAIL = encode_frame(b"f", b"enough\0")

PARSED = encode_frame(b"1", b"")
BOUND = encode_frame(b"2", b"")
CLOSED = encode_frame(b"3", b"")
EMPTY = encode_frame(b"I", b"")
SUSPENDED = encode_frame(b"s", b"")
NO_DATA = encode_frame(b"n", b"")
COPY_IN = encode_frame(b"G", b"\0\0\0")
COPY_OUT = encode_frame(b"H", b"\0\0\0")
CALLED = encode_frame(b"V", b"\xff\xff\xff\xff")
ROW = encode_frame(b"D", b"\0\1\0\0\0\x011")
NOTICE = encode_frame(b"N", b"SNOTICE\0Mlook\0\0")
NOTIFICATION = encode_frame(b"A", b"\0\0\0\1news\0\0")


def query(sql: str | bytes) -> bytes:
    return encode_frame(b"Q", _bytes(sql) + b"\0")


def parse(name: str | bytes, sql: str | bytes, *types: int) -> bytes:
    body = _bytes(name) + b"\0" + _bytes(sql) + b"\0" + pack(f"!H{len(types)}I", len(types), *types)
    return encode_frame(b"P", body)


def bind(
    name: str | bytes,
    *values: bytes | None,
    portal: str | bytes = "",
    formats: tuple[int, ...] = (),
) -> bytes:
    parts = [_bytes(portal), b"\0", _bytes(name), b"\0"]
    parts.append(pack(f"!H{len(formats)}H", len(formats), *formats))
    parts.append(pack("!H", len(values)))
    parts += [
        pack("!i", -1) if value is None else pack("!i", len(value)) + value for value in values
    ]
    return encode_frame(b"B", b"".join(parts) + b"\0\0")


def execute(portal: str | bytes = "", most: int = 0) -> bytes:
    return encode_frame(b"E", _bytes(portal) + b"\0" + pack("!I", most))


def describe(name: str = "") -> bytes:
    return encode_frame(b"D", b"S" + name.encode() + b"\0")


def close(name: str | bytes) -> bytes:
    return encode_frame(b"C", b"S" + _bytes(name) + b"\0")


def close_portal(name: str) -> bytes:
    return encode_frame(b"C", b"P" + name.encode() + b"\0")


def copy_data(data: bytes = b"1\n") -> bytes:
    return encode_frame(b"d", data)


def call(oid: int) -> bytes:
    return encode_frame(b"F", pack("!IHHH", oid, 0, 0, 0))


def complete(tag: str) -> bytes:
    return encode_frame(b"C", tag.encode() + b"\0")


def ready(status: bytes = b"I") -> bytes:
    return encode_frame(b"Z", status)


def failed(sqlstate: str = "42601") -> bytes:
    return encode_error(sqlstate, "it went wrong")


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
