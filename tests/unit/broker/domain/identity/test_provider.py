"""Claims of a person's sign-in → who they are, or why nobody."""

from typing import Any

import pytest

from broker.domain.identity.identified import Identified, Refused
from broker.domain.identity.provider import ClaimNames, Provider, identify_person
from broker.domain.person import PersonKind

COMPANY = Provider(name="company", domains=frozenset({"example.com"}))
ALICE: dict[str, Any] = {
    "sub": "00u1",
    "email": "Alice@Example.com",
    "email_verified": True,
    "name": "Alice Doe",
    "groups": ["dba"],
    "manager": "Lead@Example.com",
}


def test_a_person_is_who_the_claims_say() -> None:
    assert identify_person(COMPANY, ALICE) == Identified(
        email="alice@example.com",
        name="Alice Doe",
        groups=frozenset({"dba"}),
        manager="lead@example.com",
        kind=PersonKind.HUMAN,
        provider="company",
        subject="00u1",
    )


def test_only_an_address_is_needed() -> None:
    found = identify_person(Provider(name="any", require_verified_email=False), {"email": "a@b.c"})
    assert found == Identified(
        email="a@b.c",
        name="a@b.c",
        groups=frozenset(),
        manager=None,
        kind=PersonKind.HUMAN,
        provider="any",
        subject="",
    )


def test_claims_have_the_names_that_the_operator_says() -> None:
    names = ClaimNames(email="upn", name="given", groups="realm_access.roles", manager="boss.mail")
    claims = {
        "upn": "a@example.com",
        "given": "A",
        "realm_access": {"roles": "x y"},
        "boss": {"mail": "b@example.com"},
    }
    found = identify_person(Provider(name="p", claims=names, require_verified_email=False), claims)
    assert isinstance(found, Identified)
    assert (found.email, found.name, found.groups) == ("a@example.com", "A", frozenset("xy"))
    assert found.manager == "b@example.com"


def test_a_manager_who_is_no_address_is_none() -> None:
    found = identify_person(COMPANY, {**ALICE, "manager": "CN=Lead,OU=People"})
    assert isinstance(found, Identified)
    assert found.manager is None


@pytest.mark.parametrize("verified", [True, "true"])
def test_some_send_as_text_that_an_address_is_verified(verified: object) -> None:
    assert isinstance(identify_person(COMPANY, {**ALICE, "email_verified": verified}), Identified)


@pytest.mark.parametrize(
    ("email", "is_vouched_for"), [("Alice@Example.com", True), ("mallory@example.com", False)]
)
def test_that_an_address_was_verified_is_said_of_no_user_name_beside_it(
    email: str,
    is_vouched_for: bool,  # noqa: FBT001
) -> None:
    """People choose their user names, and could choose somebody's address."""
    named = Provider(name="company", claims=ClaimNames(email="preferred_username"))
    claims = {**ALICE, "preferred_username": "alice@example.com", "email": email}
    assert isinstance(identify_person(named, claims), Identified) is is_vouched_for


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"email": None}, "the claim email is no e-mail address"),
        ({"email": "alice"}, "the claim email is no e-mail address"),
        ({"email": "a@github.machine"}, "a@github.machine is an address of a machine"),
        ({"email": "a@machine"}, "a@machine is an address of a machine"),
        (
            {"email": "a@example.org"},
            "example.org is not among the domains of provider company",
        ),
        (
            {"email": "a@evil.example.com"},
            "evil.example.com is not among the domains of provider company",
        ),
        (
            {"email_verified": False},
            "provider company has not verified the address alice@example.com",
        ),
        (
            {"email_verified": None},
            "provider company has not verified the address alice@example.com",
        ),
        (
            {"email_verified": ["true"]},
            "provider company has not verified the address alice@example.com",
        ),
        ({"groups": 7}, "the claim groups is not a list of names"),
    ],
)
def test_who_is_not_vouched_for_is_nobody(changes: dict[str, Any], reason: str) -> None:
    assert identify_person(COMPANY, {**ALICE, **changes}) == Refused(reason)
