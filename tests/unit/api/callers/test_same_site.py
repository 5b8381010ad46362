"""Which requests count as made by our own pages."""

import pytest

from api.callers.same_site import csrf_token, is_csrf_token, is_ours, origin_of

URL = "https://curfew.example.com"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": URL, "Sec-Fetch-Site": "same-origin"},
        {"Origin": URL},
        {"Sec-Fetch-Site": "same-origin"},
    ],
)
def test_a_page_of_ours_may_change_things(headers: dict[str, str]) -> None:
    assert is_ours(headers, URL)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "https://curfew.example.com.evil.example"},
        {"Origin": "http://curfew.example.com"},
        {"Origin": "https://curfew.example.com:8443"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
        {"Origin": URL, "Sec-Fetch-Site": "cross-site"},
        {"Origin": URL, "Sec-Fetch-Site": "same-site"},
        {"Origin": URL, "Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": ""},
        {"Origin": ""},
        {"Referer": URL},
    ],
)
def test_other_sites_and_who_says_nothing_may_not(headers: dict[str, str]) -> None:
    assert not is_ours(headers, URL)


@pytest.mark.parametrize("origin", ["http://127.0.0.1:7480", "https://127.0.0.1:7480"])
def test_without_a_public_url_the_host_that_was_asked_is_ours(origin: str) -> None:
    assert is_ours({"Origin": origin, "Host": "127.0.0.1:7480"}, None)


@pytest.mark.parametrize(
    ("origin", "host"),
    [("http://127.0.0.1:8000", "127.0.0.1:7480"), ("null", ""), ("null", "null"), ("", "")],
)
def test_without_a_public_url_other_hosts_are_not(origin: str, host: str) -> None:
    assert not is_ours({"Origin": origin, "Host": host}, None)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Curfew.example.com/", "https://curfew.example.com"),
        ("https://curfew.example.com:443/", "https://curfew.example.com"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:7480/", "http://[::1]:7480"),
        ("https://curfew.example.com:8443/pgcurfew", "https://curfew.example.com:8443"),
    ],
)
def test_an_origin_is_written_as_browsers_write_it(url: str, origin: str) -> None:
    assert origin_of(url) == origin


def test_a_token_fits_its_own_sign_in_only() -> None:
    mine, yours = bytes(32), bytes([1] * 32)
    assert is_csrf_token(csrf_token(mine), mine)
    assert not is_csrf_token(csrf_token(yours), mine)
    for other in ("", "A", "AA", "é", "\udcff", csrf_token(mine)[:-4], csrf_token(mine) + "AAAA"):
        assert not is_csrf_token(other, mine)


def test_a_token_never_looks_the_same_twice() -> None:
    """What stays the same in compressed pages can be guessed from their lengths."""
    tokens = {csrf_token(bytes(32)) for _ in range(100)}
    assert len(tokens) == 100
    assert all(is_csrf_token(each, bytes(32)) for each in tokens)
