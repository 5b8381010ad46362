"""What the kernel is told about connections."""

import socket

import pytest

from proxy.sockets import tune_socket


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_peer_that_vanished_is_noticed(family: socket.AddressFamily) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        tune_socket(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        options = {
            name: sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in (
                "TCP_NODELAY",
                "TCP_KEEPIDLE",
                "TCP_KEEPINTVL",
                "TCP_KEEPCNT",
                "TCP_USER_TIMEOUT",
            )
            if hasattr(socket, name)
        }
        wanted = {
            "TCP_NODELAY": 1,
            "TCP_KEEPIDLE": 60,
            "TCP_KEEPINTVL": 15,
            "TCP_KEEPCNT": 4,
            "TCP_USER_TIMEOUT": 120_000,
        }
        assert options == {name: wanted[name] for name in options}


def test_a_platform_without_an_option_does_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "TCP_KEEPCNT", raising=False)
    with socket.socket() as sock:
        tune_socket(sock)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_a_unix_socket_is_left_alone() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        tune_socket(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
