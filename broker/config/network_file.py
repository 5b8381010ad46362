"""A list of networks that people or programs write: one per line, # comments. 100,000 of them take
some tenths of a second, so that a list can be read again while the proxy runs."""

import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_pton

Network = IPv4Network | IPv6Network

_EXAMPLE = "write a network such as 10.1.2.0/24 or 2001:db8::/32, or one address, on each line"
_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")
_SHOWN = 60  # characters of a line that is wrong


def read_networks(path: Path) -> tuple[Network, ...]:
    """Raises OSError, or ValueError that names the first wrong line, what it says and an example.

    A list without any network is empty, as a block list may be.
    """
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text (byte {error.start}); {_EXAMPLE}") from None
    networks: list[Network] = []
    for number, line in enumerate(text.split("\n"), start=1):
        written = line.partition("#")[0].strip()
        if not written:
            continue
        try:
            networks.append(_network(written))
        except ValueError as error:
            shown = written if len(written) <= _SHOWN else f"{written[:_SHOWN]}…"
            raise ValueError(f"{path}, line {number}: {shown!r} {error}; {_EXAMPLE}") from None
    return tuple(networks)


def read_allowed(path: Path) -> tuple[Network, ...]:
    """As `read_networks`, but a list without any network is refused with a ValueError: an allow
    list that is empty may mean no restriction, which is not what an emptied file means."""
    networks = read_networks(path)
    if not networks:
        raise ValueError(f"{path} allows nobody; {_EXAMPLE}")
    return networks


def _network(text: str) -> Network:
    """As `ip_network`, in half the time, and without netmasks. Raises ValueError: what it is."""
    address, slash, length = text.partition("/")
    is_v6 = ":" in address
    try:
        packed = inet_pton(AF_INET6 if is_v6 else AF_INET, address)
    except (OSError, ValueError):  # ValueError: it holds a NUL, or is not ASCII
        raise ValueError("is no network") from None
    bits = len(packed) * 8
    if slash and not _LENGTH.fullmatch(length):
        raise ValueError("has no prefix length after its slash")
    prefix_length = int(length) if slash else bits
    if prefix_length > bits:
        raise ValueError(f"has a prefix length over {bits}")
    try:
        kind = IPv6Network if is_v6 else IPv4Network
        return kind((packed, prefix_length))
    except ValueError:
        wanted = kind((packed, prefix_length), strict=False)
        raise ValueError(f"has host bits set (did you mean {wanted}?)") from None
