"""The fields of the form that asks for access, as people fill them in."""

from datetime import timedelta

import pytest

from api.web.wish_form import read_wish
from broker.domain.catalog import CatalogRole
from broker.domain.grant import GrantKind

ROLE = CatalogRole("orders_reader", "", 5)
NAMES = {"target": "orders", "role": "orders_reader"}


def test_every_field_says_what_the_api_takes() -> None:
    form = read_wish(
        {
            **NAMES,
            "for": " 30m ",
            "reason": "an invoice\r\nis wrong",
            "database": "orders",
            "networks": "10.0.0.0/8, 192.0.2.7\n2001:db8::/32",
            "pin_address": "true",
            "person": "Dev@Example.com",
            "conversation": "https://chat.example.com/c/1",
            "csrf": "x",
            "utm_source": "chat",
        },
        ROLE,
    )
    assert form.errors == {}
    body = form.body
    assert body is not None
    assert (body.duration, body.reason) == (timedelta(minutes=30), "an invoice\nis wrong")
    assert [str(each) for each in body.networks] == ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]
    assert (body.pin_address, body.person, body.kind) == (True, "dev@example.com", GrantKind.LOGIN)
    assert body.conversation == "https://chat.example.com/c/1"
    assert "csrf" not in form.typed


def test_empty_fields_say_nothing() -> None:
    form = read_wish({**NAMES, "for": "", "database": " ", "networks": "", "person": ""}, ROLE)
    body = form.body
    assert body is not None
    assert (body.duration, body.database, body.person, body.networks) == (None, None, None, ())
    assert form.typed == NAMES


def test_a_role_that_is_only_given_to_a_role_of_ones_own_is_asked_for_so() -> None:
    members = CatalogRole("orders_reader", "", 5, frozenset({GrantKind.MEMBERSHIP}))
    body = read_wish(NAMES, members).body
    assert body is not None
    assert body.kind is GrantKind.MEMBERSHIP


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("for", "soon"),
        ("for", "0s"),
        ("reason", "\x1b[2J"),
        ("reason", "x" * 2001),
        ("database", "x" * 64),
        ("networks", "10.0.0.1/8"),
        ("person", "nobody"),
        ("kind", "gift"),
        ("conversation", "javascript:alert(1)"),
    ],
)
def test_what_does_not_fit_is_named_by_its_field_and_kept(field: str, text: str) -> None:
    form = read_wish({**NAMES, field: text}, ROLE)
    assert form.body is None
    assert list(form.errors or ()) == [field]
    assert form.typed[field] == text
