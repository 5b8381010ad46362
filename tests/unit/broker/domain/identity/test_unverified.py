"""What a token says of itself: enough to pick an issuer and to tell operators, never to believe."""

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.identity.unverified import Unverified, looks_like_jwt, peek


def part(content: Any) -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def test_issuer_subject_key_and_type_are_read() -> None:
    header = {"alg": "none", "kid": "k1", "typ": "JWT"}
    claims = {"iss": "https://id.example.com", "sub": "alice"}
    assert peek(f"{part(header)}.{part(claims)}.") == Unverified(
        unverified_issuer="https://id.example.com",
        unverified_subject="alice",
        unverified_kid="k1",
        unverified_type="JWT",
    )


def test_what_is_missing_or_no_text_is_none() -> None:
    assert peek(f"{part({})}.{part({'iss': 7, 'sub': ['x']})}.x") == Unverified()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "pgcurfew_abc",
        "a.b",
        "a.b.c.d.e",
        "..",
        f"{part([])}.{part({})}.x",
        f"{part({})}.{part('not json')}.x",
        f"{part({})}.{part('[' * 100_000)}.x",
        f"{part({})}.\u20ac.x",
        f"{part({})}.a.x",
    ],
)
def test_what_is_no_signed_jwt_says_nothing(token: str) -> None:
    assert peek(token) is None


@given(st.text(), st.text(), st.text())
def test_nothing_that_anybody_sends_breaks_it(first: str, second: str, third: str) -> None:
    token = f"{first}.{second}.{third}"
    assert peek(token) is None or looks_like_jwt(token)
    peek(f"{part(first)}.{part(second)}.{third}")


def test_the_record_is_short_and_safe_to_print() -> None:
    said = Unverified(unverified_issuer="x" * 10_000, unverified_subject="a\n\x1b[2J")
    assert said.for_the_record() == {
        "unverified_issuer": "x" * 200,
        "unverified_subject": "a��[2J",
        "unverified_kid": None,
    }
