"""Tags and comments that say which columns are sensitive."""

import re

import pytest

from broker.domain.role.sensitive import tag_fault, tags_pattern, words_pattern


@pytest.mark.parametrize("tag", ["shop.customers.email", "*.*.password*", "s?.*.*", "shöp.a b.c"])
def test_a_tag_names_a_schema_a_table_and_a_column(tag: str) -> None:
    assert tag_fault(tag) is None


@pytest.mark.parametrize("tag", ["", "email", "shop.customers", "a.b.c.d", "a..c", "a.b.\n"])
def test_what_is_no_tag_is_told_how_one_looks(tag: str) -> None:
    assert "schema.table.column, such as shop.customers.email" in str(tag_fault(tag))


def test_a_tag_without_end_is_refused() -> None:
    assert tag_fault(f"a.b.{'c' * 200}") == "a tag has at most 200 characters"


@pytest.mark.parametrize(
    ("tag", "column", "fits"),
    [
        ("shop.customers.email", "shop customers email", True),
        ("shop.customers.email", "shop customers email2", False),
        ("shop.customers.email", "shop customers_email x", False),
        ("*.*.password*", "shop users PASSWORD_HASH", True),
        ("*.*.password*", "shop users old_password", False),
        ("shop.*.?id", "shop any.table xid", True),
        ("shop.*.?id", "shop any id", False),
        ("a.b.c+(d", "a b c+(d", True),
        ("shöp.*.*", "shöp t c", True),
    ],
)
def test_what_a_tag_fits(tag: str, column: str, *, fits: bool) -> None:
    pattern = tags_pattern([tag])
    assert pattern is not None
    found = re.search(pattern, column.replace(" ", "\n"), re.IGNORECASE)
    assert bool(found) == fits


def test_a_star_does_not_reach_over_to_the_next_part() -> None:
    pattern = tags_pattern(["shop.*.id", "x.y.z"])
    assert pattern is not None
    assert re.search(pattern, "shop\na\nb\nid") is None
    assert tags_pattern([]) is None


def test_words_are_whole_words() -> None:
    assert words_pattern().startswith(r"\m(pii|personal|")
    assert words_pattern().endswith(r")\M")
