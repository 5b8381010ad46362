"""Who a load balancer says the client is; anything but a right header is refused."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.proxy_header import (
    MAX_HEADER_LENGTH,
    Header,
    MalformedProxyHeader,
    NeedMore,
    crc32c,
    looks_like_header,
    read_header,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6, UNIX_STREAM, UNSPEC = 0x11, 0x21, 0x31, 0x00
V4 = bytes([192, 0, 2, 7]) + bytes([198, 51, 100, 1]) + bytes([0, 80, 21, 56])
V6 = IPv6Address("2001:db8::7").packed + IPv6Address("2001:db8::1").packed + bytes(4)
NOOP = bytes([4, 0, 2, 7, 7])


def v2(command: int, family: int, rest: bytes = b"") -> bytes:
    return SIGNATURE + bytes([command, family]) + len(rest).to_bytes(2) + rest


def with_checksum(addresses: bytes, *, after: bytes = b"", flip: int = 0) -> bytes:
    header = v2(PROXY, TCP4, addresses + bytes([3, 0, 4]) + bytes(4) + after)
    value = 16 + len(addresses) + 3
    checksum = (crc32c(header) ^ flip).to_bytes(4)
    return header[:value] + checksum + header[value + 4 :]


RIGHT: list[tuple[bytes, str | None]] = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", "192.0.2.7"),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255"),
    (b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0"),
    (b"PROXY TCP6 2001:db8::7 2001:DB8::1 56324 443\r\n", "2001:db8::7"),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 56324 443\r\n", "192.0.2.7"),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 nonsense 99999\r\n", None),
    (b"PROXY UNKNOWN" + b" " * 92 + b"\r\n", None),
    (v2(PROXY, TCP4, V4), "192.0.2.7"),
    (v2(PROXY, TCP4, V4 + NOOP + NOOP), "192.0.2.7"),
    (v2(PROXY, TCP4, V4 + bytes([0xE0]) + (1009).to_bytes(2) + bytes(1009)), "192.0.2.7"),
    (with_checksum(V4), "192.0.2.7"),
    (with_checksum(V4 + NOOP, after=NOOP), "192.0.2.7"),
    (v2(PROXY, TCP6, V6), "2001:db8::7"),
    (v2(PROXY, TCP6, IPv6Address("::ffff:192.0.2.7").packed + V6[16:]), "192.0.2.7"),
    (v2(PROXY, UNIX_STREAM, bytes(216) + NOOP), None),
    (v2(PROXY, UNSPEC), None),
    (v2(PROXY, UNSPEC, b"whatever"), None),
    (v2(PROXY, 0x10, V4), None),
    (v2(PROXY, 0x01), None),
    (v2(LOCAL, UNSPEC), None),
    (v2(LOCAL, TCP4, V4), None),
    (v2(LOCAL, 0xFF, b"whatever"), None),
]

WRONG = [
    b"\x16\x03\x01\x02\x00\x01",
    b"\0\0\0\x08\x04\xd2\x16\x2f",
    b"GET / HTTP/1.1\r\n",
    b"SSH-2.0-x\r\n",
    b"proxy TCP4",
    b"PROXY\r\n",
    b"PROXYTCP4",
    b"PROXY  TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n",
    b"PROXY TCP4\t192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
    b"PROXY TCP4\r\n",
    b"PROXY \r\n",
    b"PROXY UNKNOWNS\r\n",
    b"PROXY unknown\r\n",
    b"PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n",
    b"PROXY TCP4 192.0.2 198.51.100.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.999 1 2\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
    b"PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY TCP6 2001:db8::7 192.0.2.7 1 2\r\n",
    b"PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n",
    b"PROXY TCP6 1::2::3 fe80::2 1 2\r\n",
    b"PROXY TCP4 192.0.2.\xd9\xa7 198.51.100.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 70000\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 2\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 \r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n\r\n",
    b"PROXY UNKNOWN" + b" " * 93 + b"\r\n",
    b"PROXY UNKNOWN" + b" " * 94,
    SIGNATURE[:-1] + b"\r",
    v2(0x11, TCP4, V4),
    v2(0x31, TCP4, V4),
    v2(0x22, TCP4, V4),
    v2(PROXY, 0x12, V4),
    v2(PROXY, 0x22, V6),
    v2(PROXY, 0x32, bytes(216)),
    v2(PROXY, 0x13, V4),
    v2(PROXY, 0x41, V4),
    v2(PROXY, TCP4, V4[:-1]),
    v2(PROXY, TCP4),
    v2(PROXY, TCP6, V4),
    v2(PROXY, UNIX_STREAM, V6),
    v2(PROXY, TCP4, V4 + b"\x04"),
    v2(PROXY, TCP4, V4 + b"\x04\0"),
    v2(PROXY, TCP4, V4 + b"\x04\0\x01"),
    v2(PROXY, TCP4, V4 + NOOP + b"\x04\xff\xff"),
    v2(PROXY, TCP4, V4 + b"\x03\0\0"),
    v2(PROXY, TCP4, V4 + b"\x03\0\x05" + bytes(5)),
    v2(LOCAL, UNSPEC, bytes(1025)),
    with_checksum(V4, flip=1),
    with_checksum(V4, flip=1 << 31),
    # The second is right for a header whose first checksum is blank, too.
    with_checksum(V4, after=b"\x03\0\x04" + bytes(4)),
]


@pytest.mark.parametrize(("data", "client"), RIGHT, ids=[repr(data[:40]) for data, _ in RIGHT])
def test_a_right_header_says_who_the_client_is(data: bytes, client: str | None) -> None:
    header = Header(len(data), ip_address(client) if client else None)
    assert read_header(data) == header
    assert read_header(data + b"\0\0\0\x08 and what the client says") == header


@pytest.mark.parametrize("data", WRONG, ids=[repr(data[:60]) for data in WRONG])
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedProxyHeader):
        read_header(data)


@pytest.mark.parametrize("data", [data for data, _ in RIGHT], ids=lambda data: repr(data[:40]))
def test_reading_what_is_asked_for_never_takes_a_byte_of_the_client(data: bytes) -> None:
    read = b""
    while isinstance(answer := read_header(read), NeedMore):
        assert 1 <= answer.at_least <= len(data) - len(read)
        read = data[: len(read) + answer.at_least]
    assert answer.consumed == len(read) == len(data)


@pytest.mark.parametrize("data", [data for data, _ in RIGHT], ids=lambda data: repr(data[:40]))
def test_a_header_may_be_cut_anywhere(data: bytes) -> None:
    for cut in range(len(data)):
        assert isinstance(read_header(data[:cut]), NeedMore)


@given(
    st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", b"PROXY UNKNOWN", SIGNATURE]),
    st.binary(max_size=1200),
)
def test_whatever_comes_is_read_or_refused_within_bounds(beginning: bytes, rest: bytes) -> None:
    data = beginning + rest
    try:
        answer = read_header(data)
    except MalformedProxyHeader:
        return
    if isinstance(answer, NeedMore):
        assert len(data) + answer.at_least <= MAX_HEADER_LENGTH
    else:
        assert answer.consumed <= min(len(data), MAX_HEADER_LENGTH)


@given(st.binary(max_size=64), st.integers(0, 30), st.integers(1, 255))
def test_a_checksum_notices_every_changed_byte(value: bytes, place: int, change: int) -> None:
    tlv = bytes([0xE0]) + len(value).to_bytes(2) + value
    data = bytearray(with_checksum(V4, after=tlv))
    assert read_header(bytes(data)) == Header(len(data), IPv4Address("192.0.2.7"))
    data[16 + place % (len(data) - 16)] ^= change
    try:
        read_header(bytes(data))
    except MalformedProxyHeader:
        return
    # What no longer says that it is a checksum is none.
    assert data[16 + len(V4)] != 3


def test_the_checksum_is_that_of_its_specification() -> None:
    """RFC 3720, B.4: 32 bytes of zeros, of ones, and counting up."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


@pytest.mark.parametrize("data", [data for data, _ in RIGHT], ids=lambda data: repr(data[:40]))
def test_a_header_is_known_by_its_first_four_bytes(data: bytes) -> None:
    assert not looks_like_header(data[:3])
    assert all(looks_like_header(data[:length]) for length in range(4, len(data)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\r\n",
        b"PROXIED",
        b"\r\n\r\n\r\n",
    ],
)
def test_what_is_no_header_does_not_look_like_one(data: bytes) -> None:
    assert not looks_like_header(data)
