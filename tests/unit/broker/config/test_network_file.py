"""Lists of networks, read strictly and fast."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.config import network_file
from broker.config.network_file import read_allowed, read_networks


def read(folder: Path, text: str | bytes) -> tuple[IPv4Network | IPv6Network, ...]:
    path = folder / "networks.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_networks(path)


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("10.0.0.0/8\n192.0.2.7\n", ["10.0.0.0/8", "192.0.2.7/32"]),
        ("2001:db8::/32\n2001:DB8::7", ["2001:db8::/32", "2001:db8::7/128"]),
        ("::ffff:10.0.0.0/104", ["::ffff:10.0.0.0/104"]),
        ("0.0.0.0/0\n::/0", ["0.0.0.0/0", "::/0"]),
        ("# office\n\n  10.0.0.0/8  # all of it\r\n\t\r\n", ["10.0.0.0/8"]),
        ("10.0.0.0/8\n10.0.0.0/8\n", ["10.0.0.0/8", "10.0.0.0/8"]),
        ("\ufeff10.0.0.0/8\n", ["10.0.0.0/8"]),
        ("", []),
        ("# nothing\n", []),
    ],
)
def test_a_list_holds_a_network_on_each_line(
    tmp_path: Path, text: str, networks: list[str]
) -> None:
    assert read(tmp_path, text) == tuple(map(ip_network, networks))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("10.0.0.1/8", r"has host bits set \(did you mean 10.0.0.0/8\?\)"),
        ("2001:db8::1/32", r"has host bits set \(did you mean 2001:db8::/32\?\)"),
        ("10.0.0.0/33", "has a prefix length over 32"),
        ("::/129", "has a prefix length over 128"),
        ("10.0.0.0/", "has no prefix length after its slash"),
        ("10.0.0.0/08", "has no prefix length after its slash"),
        ("10.0.0.0/٨", "has no prefix length after its slash"),
        ("10.0.0.0/255.0.0.0", "has no prefix length after its slash"),
        ("10.0.0.0/8/8", "has no prefix length after its slash"),
        ("10.0.0.0 /8", "is no network"),
        ("10.0.0/8", "is no network"),
        ("010.0.0.0/8", "is no network"),
        ("0x0a.0.0.0/8", "is no network"),
        ("10", "is no network"),
        ("10.0.0.٨", "is no network"),
        ("fe80::1%eth0", "is no network"),
        ("10.0.0.0/8, 11.0.0.0/8", "has no prefix length after its slash"),
        ("10.0.0.1-10.0.0.9", "is no network"),
        ("example.com", "is no network"),
        ("/8", "is no network"),
        ("10.0.0.0\0/8", "is no network"),
    ],
)
def test_a_wrong_line_is_named_with_its_number_and_an_example(
    tmp_path: Path, line: str, why: str
) -> None:
    with pytest.raises(ValueError, match=rf"networks\.txt, line 3: .* {why}; write a network such"):
        read(tmp_path, f"# office\n10.0.0.0/8\n{line}\nalso wrong\n")


def test_a_long_wrong_line_is_shown_in_part(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"line 1: 'x{60}…' is no network"):
        read(tmp_path, "x" * 10_000)


def test_a_file_that_is_not_text_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"networks\.txt is not text \(byte 2\)"):
        read(tmp_path, b"10\xff")


def test_a_file_that_is_not_there_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_networks(tmp_path / "absent")


@pytest.mark.parametrize("text", ["", "# 10.0.0.0/8\n\n"])
def test_an_allow_list_that_allows_nobody_is_refused(tmp_path: Path, text: str) -> None:
    """Elsewhere an empty allow list means that there is no restriction."""
    path = tmp_path / "offices.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"offices\.txt allows nobody; write a network such"):
        read_allowed(path)
    path.write_text("10.0.0.0/8\n")
    assert read_allowed(path) == (ip_network("10.0.0.0/8"),)


@given(st.text("0123456789abcdef:./% ", max_size=45) | st.ip_addresses().map(str))
def test_what_is_read_is_what_ip_network_reads(text: str) -> None:
    """But for what it takes beyond that: netmasks and leading zeros in the length, and zones."""
    try:
        ours = network_file._network(text)
    except ValueError:
        ours = None
    assert ours == _strictly(text)


def _strictly(text: str) -> IPv4Network | IPv6Network | None:
    try:
        network = ip_network(text)
    except ValueError:
        return None
    _, slash, length = text.partition("/")
    return None if "%" in text or (slash and length != str(network.prefixlen)) else network
