"""People who have signed in go back to where they were, and never to somebody else's site."""

import pytest

from api.callers.local_path import local_path


@pytest.mark.parametrize(
    "text",
    ["/", "/me", "/request?target=orders&role=orders_reader&for=1h", "/a//b", "/@evil.example"],
)
def test_a_page_of_ours_is_gone_back_to(text: str) -> None:
    assert local_path(text, "/me") == text


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "me",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        " //evil.example",
        "/ /evil.example",
        "https://evil.example/",
        "https:evil.example",
        "javascript:alert(1)",
        "/me\r\nSet-Cookie: a=b",
        "/a\\b",
        "/é",
        "/\x00",
        "/" + "a" * 1024,
    ],
)
def test_nothing_else_is(text: str | None) -> None:
    assert local_path(text, "/me") == "/me"
