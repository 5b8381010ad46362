"""Whose word we take: nobody on the way may change it."""

import pytest

from broker.domain.identity.issuer import is_issuer_url


@pytest.mark.parametrize(
    "url",
    [
        "https://id.example.com",
        "https://id.example.com/",
        "https://id.example.com:8443/realms/main",
        "http://127.0.0.1:9400",
        "http://localhost:9400/x",
        "http://[::1]:9400",
    ],
)
def test_https_is_fine_and_so_is_this_machine(url: str) -> None:
    assert is_issuer_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "id.example.com",
        "http://id.example.com",
        "http://localhost.example.com",
        "ftp://id.example.com",
        "file:///etc/passwd",
        "https://",
        "https://user@id.example.com",
        "https://id.example.com#x",
        "https://id.example.com:x",
        "https://id.example.com:99999",
        "https://[::1",
        "https://id.example.com/\n",
        "https://id.example.com/\x7f",
    ],
)
def test_all_else_is_refused(url: str) -> None:
    assert not is_issuer_url(url)
