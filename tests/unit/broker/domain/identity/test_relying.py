"""Whether a provider has said all that it should say of somebody."""

from dataclasses import replace
from typing import Any

import pytest

from broker.domain.identity.relying import Answered, Relying, completed

US = Relying(
    provider="company",
    issuer="https://id.example.com",
    client_id="pgcurfew",
    client_secret="a-secret",
    wanted=("email", "realm_access.roles"),
)


@pytest.mark.parametrize(
    ("claims", "lacking"),
    [
        ({"email": "dev@example.com", "realm_access": {"roles": []}}, False),
        ({"email": "dev@example.com"}, True),
        ({"realm_access": {"roles": ["dba"]}}, True),
        ({"email": "dev@example.com", "realm_access": {}}, True),
    ],
)
def test_whatever_is_wanted_and_not_said_is_asked_for(
    claims: dict[str, Any],
    lacking: bool,  # noqa: FBT001
) -> None:
    assert US.lacks_some(claims) is lacking
    assert not replace(US, wanted=()).lacks_some(claims)


def test_secrets_do_not_show() -> None:
    assert "a-secret" not in repr(US)
    assert "a-token" not in repr(Answered("a-token", "a-token"))


@pytest.mark.parametrize(
    ("claims", "more", "expected"),
    [
        (
            {"sub": "1", "email": "a@b.c"},
            {"sub": "1", "email": "a@b.c", "email_verified": True, "groups": ["dba"]},
            {"sub": "1", "email": "a@b.c", "email_verified": True, "groups": ["dba"]},
        ),
        (
            {"sub": "1", "groups": []},
            {"sub": "1", "email": "a@b.c", "email_verified": True, "groups": ["dba"]},
            {"sub": "1", "email": "a@b.c", "email_verified": True, "groups": []},
        ),
        (
            {"sub": "1", "email": "ceo@b.c"},
            {"sub": "1", "email": "mallory@b.c", "email_verified": True},
            {"sub": "1", "email": "ceo@b.c"},
        ),
        (
            {"sub": "1", "email_verified": True},
            {"sub": "1", "email": "ceo@b.c"},
            {"sub": "1", "email": "ceo@b.c"},
        ),
        (
            {"sub": "1", "email": "a@b.c", "email_verified": False},
            {"sub": "1", "email": "mallory@b.c", "email_verified": True},
            {"sub": "1", "email": "a@b.c", "email_verified": False},
        ),
    ],
)
def test_an_address_is_as_verified_as_whoever_said_it_says(
    claims: dict[str, Any], more: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert completed(claims, more) == expected
