"""What a policy is about: roles in databases of targets, kept and removed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.policy.resources import Resource, Resources

PATTERNS = [
    ("orders_reader", "orders_reader", True),
    ("orders_reader", "orders_reader2", False),
    ("orders_reader", "ORDERS_READER", False),
    ("orders_*", "orders_a", True),
    ("orders_*", "orders_", True),
    ("orders_*", "xorders_a", False),
    ("orders_*", "orders", False),
    ("*_reader", "orders_reader", True),
    ("*_reader", "orders_reader_x", False),
    ("*", "anything at all", True),
    ("orders_?", "orders_a", True),
    ("orders_?", "orders_ab", False),
    ("orders_[ab]", "orders_b", True),
    ("orders_[ab]", "orders_c", False),
    ("orders.reader", "orders_reader", False),  # a glob, not a regular expression
    ("orders_*", "orders_a\nb", True),
    ("orders_reader", "orders_reader\n", False),
    ("orders_*_rw", "orders_a_rw", True),
    ("orders_*_rw", "orders_a_rw\n", False),
]


@pytest.mark.parametrize(("pattern", "name", "fits"), PATTERNS)
def test_a_name_in_a_policy_is_exact_or_a_glob_of_the_whole_name(
    *, pattern: str, name: str, fits: bool
) -> None:
    assert Resource(target=pattern).matches(name, "d", "r") is fits
    assert Resource(database=pattern).matches("t", name, "r") is fits
    assert Resource(role=pattern).matches("t", "d", name) is fits


@given(st.text("ab_.\n", max_size=8), st.text("ab_.\n", min_size=1, max_size=3))
def test_globs_are_anchored_at_both_ends(inner: str, more: str) -> None:
    assert Resource(role=f"{inner}*").matches("t", "d", inner + more)
    assert Resource(role=inner).matches("t", "d", inner)
    assert not Resource(role=inner).matches("t", "d", inner + more)
    assert not Resource(role=f"x{inner}*").matches("t", "d", f"{more}x{inner}")
    assert not Resource(role=f"*{inner}x").matches("t", "d", f"{inner}x{more}")


def test_all_three_names_of_a_resource_must_fit_together() -> None:
    """Two resources are two pairs, never their cross product."""
    both = Resources((Resource("a", "*", "reader"), Resource("b", "*", "writer")))
    fits = {
        (target, role): both.matches(target, "d", role)
        for target in "ab"
        for role in ("reader", "writer")
    }
    assert fits == {
        ("a", "reader"): True,
        ("a", "writer"): False,
        ("b", "reader"): False,
        ("b", "writer"): True,
    }


def test_what_is_removed_is_taken_out_of_what_is_kept() -> None:
    resources = Resources(
        (Resource("orders", "*", "orders_*"),),
        (Resource(role="orders_owner"), Resource(database="audit", role="*_writer")),
    )
    assert resources.matches("orders", "shop", "orders_writer")
    assert resources.matches("orders", "audit", "orders_reader")
    assert not resources.matches("orders", "audit", "orders_writer")
    assert not resources.matches("orders", "shop", "orders_owner")
    assert not resources.matches("billing", "shop", "orders_writer")


@pytest.mark.parametrize(
    ("kept", "removed", "left"),
    [
        ("*", "*", ()),
        ("shop", "*", ()),
        ("shop", "shop", ()),
        ("shop", "s*", ()),
        ("s*", "s*", ()),
        ("shop", "audit", ("shop",)),
        ("*", "audit", ("*",)),
        ("s*", "*p", ("s*",)),
    ],
)
def test_a_role_is_there_as_long_as_some_database_is_left(
    kept: str, removed: str, left: tuple[str, ...]
) -> None:
    resources = Resources((Resource("orders", kept, "reader"),), (Resource(database=removed),))
    assert resources.databases("orders", "reader") == left
    assert resources.matches_somewhere("orders", "reader") is bool(left)


def test_databases_are_named_once_and_in_order() -> None:
    resources = Resources(
        (Resource("orders", "shop"), Resource(role="reader"), Resource("orders", "shop", "reader"))
    )
    assert resources.databases("orders", "reader") == ("shop", "*")
    assert resources.databases("billing", "writer") == ()
