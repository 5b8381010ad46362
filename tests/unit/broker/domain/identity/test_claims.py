"""Claims as issuers really write them."""

from typing import Any

import pytest

from broker.domain.identity.claims import claim_at, email_at, names_at, text_at
from broker.domain.identity.identified import Refused

CLAIMS: dict[str, Any] = {
    "email": "Alice@Example.com",
    "name": " Alice Doe ",
    "groups": ["dba", "developers"],
    "realm_access": {"roles": ["offline_access", "dba"]},
    "https://example.com/groups": ["by-whole-name"],
    "kubernetes.io": {"serviceaccount": {"name": "deployer"}, "namespace": "ci"},
    "a": {"b.c": 1, "b": {"c": 2}},
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("realm_access.roles", ["offline_access", "dba"]),
        ("https://example.com/groups", ["by-whole-name"]),
        ("kubernetes.io.serviceaccount.name", "deployer"),
        ("a.b.c", 1),
        ("nothing", None),
        ("realm_access.nothing", None),
        ("email.nothing", None),
        ("", None),
        (".", None),
    ],
)
def test_a_path_leads_through_dots_and_through_names_that_have_dots(
    path: str, value: object
) -> None:
    assert claim_at(CLAIMS, path) == value


def test_text_is_for_people_to_read() -> None:
    assert text_at(CLAIMS, "name") == "Alice Doe"
    assert text_at({"name": "x" * 1000}, "name") == "x" * 200
    for unusable in (None, 7, "", "  ", "\x1b[2J", ["Alice"]):
        assert text_at({"name": unusable}, "name") is None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Alice@Example.com", "alice@example.com"),
        ("a.b+c@sub.example.com", "a.b+c@sub.example.com"),
        ("a@localhost", "a@localhost"),
        ("mi\N{KELVIN SIGN}e@example.com", None),
        ("alice@ex\N{CYRILLIC SMALL LETTER A}mple.com", None),
        ("alice@example.com ", None),
        ("alice@example.com\n", None),
        ("alice@@example.com", None),
        ("alice@example..com", None),
        ("alice", None),
        ("@example.com", None),
        ("CN=Alice,OU=People", None),
        ("x" * 243 + "@example.com", None),
        (None, None),
        (["alice@example.com"], None),
    ],
)
def test_an_address_is_plain_ascii_or_none(written: object, read: str | None) -> None:
    """Whoever may choose their address must not become somebody else when it is lowered."""
    assert email_at({"email": written}, "email") == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["dba", "developers"], {"dba", "developers"}),
        (["with space", " dba ", "", " "], {"with space", "dba"}),
        ("dba developers", {"dba", "developers"}),
        ("dba, the developers,", {"dba", "the developers"}),
        ("", set()),
        ([], set()),
        (None, set()),
    ],
)
def test_groups_come_as_a_list_or_as_text(written: object, read: set[str]) -> None:
    assert names_at({"groups": written}, "groups") == frozenset(read)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"groups": {"dba": True}}, "the claim groups is not a list of names"),
        ({"groups": 7}, "the claim groups is not a list of names"),
        ({"groups": ["dba", 7]}, "the claim groups is not a list of names"),
        ({"groups": ["dba\n"]}, "the claim groups has a name that cannot be shown"),
        (
            {"_claim_names": {"groups": "src1"}},
            "the provider keeps the claim groups elsewhere: let it send fewer of them",
        ),
    ],
)
def test_groups_that_cannot_be_read_are_refused_since_one_may_be_denied_something(
    claims: dict[str, Any], reason: str
) -> None:
    assert names_at(claims, "groups") == Refused(reason)


def test_other_claims_may_be_kept_elsewhere() -> None:
    assert names_at({"_claim_names": {"address": "src1"}}, "groups") == frozenset()
