"""The PROXY protocol, by which a load balancer says who the client is: bytes → source address.

Both versions, TCP only. Whoever may send such a header decides who the client is, so it counts only
from networks that the operator trusts; there it must come first and be right to the last byte.

https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from proxy.wire.errors import WireError

MAX_HEADER_LENGTH = 16 + 1_024  # bytes; addresses take 36 of them, the rest is for TLVs

_V1_BEGINNING = b"PROXY "
_V1_MAX_LENGTH = 107  # "worst case" in section 2.1, CRLF included
_V1_SHORTEST = len(b"PROXY UNKNOWN\r\n")
_V1_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")
_MAX_PORT = 65_535

_V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED_LENGTH = 16
_V2_VERSION = 2
_LOCAL, _PROXY = 0, 1
_UNSPEC, _INET, _INET6, _UNIX = 0, 1, 2, 3
_STREAM = 1
_ADDRESSES_LENGTH = {_INET: 2 * (4 + 2), _INET6: 2 * (16 + 2), _UNIX: 2 * 108}
_TLV_HEADER_LENGTH = 3
_TLV_CRC32C = 0x03
_CRC32C_LENGTH = 4
_CASTAGNOLI = 0x82F63B78  # RFC 4960, appendix B; least significant bit first

# What of a header is enough to know it by. Read as a length, it is no first message of PostgreSQL.
_RECOGNISABLE = 4

Source = IPv4Address | IPv6Address


class MalformedProxyHeader(WireError):
    def __init__(self, why: str) -> None:
        super().__init__(f"malformed PROXY protocol header: {why}")


@dataclass(frozen=True, slots=True)
class NeedMore:
    """Read on. The next `at_least` bytes, and maybe more after them, belong to the header."""

    at_least: int


@dataclass(frozen=True, slots=True)
class Header:
    """A whole header of `consumed` bytes. Without a source the client is who sent it."""

    consumed: int
    source: Source | None


def looks_like_header(beginning: bytes) -> bool:
    """Whether this is a header, from its first bytes. False if there are fewer than four."""
    return len(beginning) >= _RECOGNISABLE and _begins(beginning) is not None


def read_header(data: bytes) -> NeedMore | Header:
    """Read the header that `data` begins with. Raises MalformedProxyHeader as soon as it shows.

    Never asks for more than MAX_HEADER_LENGTH bytes in all.
    """
    beginning = _begins(data)
    if beginning is None:
        raise MalformedProxyHeader("it begins with neither version's signature")
    # The first byte tells the versions apart; without one, the shorter of the two is safe to read.
    return _read_v2(data) if beginning is _V2_SIGNATURE else _read_v1(data)


def _begins(data: bytes) -> bytes | None:
    """Return how a header begins that `data` may be the beginning of."""
    for beginning in (_V1_BEGINNING, _V2_SIGNATURE):
        if data[: len(beginning)] == beginning[: len(data)]:
            return beginning
    return None


def _read_v1(data: bytes) -> NeedMore | Header:
    line, ended, rest = data[:_V1_MAX_LENGTH].partition(b"\r")
    if b"\n" in line or (ended and rest[:1] not in (b"", b"\n")):
        raise MalformedProxyHeader("CR and LF end the line, and only together")
    if ended and rest:
        return Header(len(line) + 2, _v1_source(line))
    if len(data) >= _V1_MAX_LENGTH:
        raise MalformedProxyHeader(f"no end within {_V1_MAX_LENGTH} bytes")
    return NeedMore(max(1 if ended else 2, _V1_SHORTEST - len(data)))


def _v1_source(line: bytes) -> Source | None:
    """Read the line without its end."""
    match line.split(b" "):
        case [_, b"UNKNOWN", *_]:
            return None
        case [_, (b"TCP4" | b"TCP6") as family, source, destination, *ports] if len(ports) == 2:
            address = _v1_address(family, source)
            _v1_address(family, destination)
            if not all(_V1_PORT.fullmatch(port) and int(port) <= _MAX_PORT for port in ports):
                raise MalformedProxyHeader("a port is a number from 0 to 65535")
            return _plain(address)
        case _:
            raise MalformedProxyHeader("it says neither UNKNOWN nor TCP, two addresses, two ports")


def _v1_address(family: bytes, text: bytes) -> Source:
    kind = IPv4Address if family == b"TCP4" else IPv6Address
    if b"%" in text:
        raise MalformedProxyHeader("an address has a zone")
    try:
        # Leading zeros, which some read as octal, are refused by IPv4Address.
        return kind(text.decode("ascii"))
    except (AddressValueError, UnicodeDecodeError):
        raise MalformedProxyHeader(f"not an address of {family.decode()}") from None


def _read_v2(data: bytes) -> NeedMore | Header:
    if len(data) < _V2_FIXED_LENGTH:
        return NeedMore(_V2_FIXED_LENGTH - len(data))
    version, command = divmod(data[12], 16)
    if version != _V2_VERSION or command not in (_LOCAL, _PROXY):
        raise MalformedProxyHeader(f"version {version}, command {command}")
    end = _V2_FIXED_LENGTH + int.from_bytes(data[14:16])
    if end > MAX_HEADER_LENGTH:
        raise MalformedProxyHeader(f"{end} bytes (at most {MAX_HEADER_LENGTH} here)")
    # LOCAL is the sender's own connection, a health check: "discard the protocol block".
    family = _UNSPEC if command == _LOCAL else _v2_family(data[13])
    tlvs = _V2_FIXED_LENGTH + _ADDRESSES_LENGTH.get(family, 0)
    if end < tlvs:
        raise MalformedProxyHeader("too short for its addresses")
    if len(data) < end:
        return NeedMore(end - len(data))
    if family != _UNSPEC:
        _check_tlvs(data[:end], tlvs)
    return Header(end, _v2_source(family, data[_V2_FIXED_LENGTH:tlvs]))


def _v2_family(code: int) -> int:
    """Return the address family, _UNSPEC if either half says so. Raises for what is not TCP."""
    family, protocol = divmod(code, 16)
    if family > _UNIX or protocol > _STREAM:
        raise MalformedProxyHeader(f"family {family}, protocol {protocol}: not TCP")
    return family if protocol == _STREAM else _UNSPEC


def _v2_source(family: int, addresses: bytes) -> Source | None:
    if family == _INET:
        return IPv4Address(addresses[:4])
    return _plain(IPv6Address(addresses[:16])) if family == _INET6 else None


def _check_tlvs(header: bytes, start: int) -> None:
    """Check that everything from `start` on is TLVs, and the checksum if one of them is that."""
    checksums = 0
    while start < len(header):
        value = start + _TLV_HEADER_LENGTH
        end = value + int.from_bytes(header[start + 1 : value])
        if max(value, end) > len(header):
            raise MalformedProxyHeader("a TLV goes on beyond its end")
        if header[start] == _TLV_CRC32C:
            checksums += 1
            blank = header[:value] + bytes(_CRC32C_LENGTH) + header[end:]
            if checksums > 1 or header[value:end] != crc32c(blank).to_bytes(_CRC32C_LENGTH):
                raise MalformedProxyHeader("its checksum is wrong")
        start = end


def crc32c(data: bytes) -> int:
    checksum = 0xFFFFFFFF
    for byte in data:
        checksum = (checksum >> 8) ^ _CRC32C_TABLE[(checksum ^ byte) & 0xFF]
    return checksum ^ 0xFFFFFFFF


def _crc32c_entry(index: int) -> int:
    for _ in range(8):
        index = (index >> 1) ^ (_CASTAGNOLI if index & 1 else 0)
    return index


_CRC32C_TABLE = tuple(_crc32c_entry(index) for index in range(256))


def _plain(address: Source) -> Source:
    """Return IPv4 that is written as IPv6 as what it is, so that rules for IPv4 hold for it."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
