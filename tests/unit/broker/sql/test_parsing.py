"""What is more than the parser can bear is refused before it."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.sql.parsing import DEEPEST, LONGEST, Unparsable, depth_of, trees_of

_HALF = DEEPEST // 2


@pytest.mark.parametrize(
    ("text", "reason", "position"),
    [
        ("SELEC 1", 'syntax error at or near "SELEC"', 0),
        ("SELECT 'é' FORM x y", 'syntax error at or near "x"', 16),
        ("SELECT 'a", 'unterminated quoted string at or near "\'a"', 7),
        ("SELECT 1\0; DROP TABLE t", "there is a zero byte in it", 8),
        ("SELECT '\udcff'", "it is not UTF-8", 8),
        ("x" * (LONGEST + 1), "it is longer than 262144 bytes", None),
        ("é" * (LONGEST // 2 + 1), "it is longer than 262144 bytes", None),
        ("SELECT " + "(" * DEEPEST, "it nests too deeply", None),
        ("SELECT " + "+".join(["1"] * DEEPEST), "it nests too deeply", None),
        ("/*" * DEEPEST, "there are too many operators in a row", 0),
        ("SELECT " + "+" * DEEPEST, "there are too many operators in a row", 7),
    ],
)
def test_what_cannot_be_parsed_says_why_and_where(
    text: str, reason: str, position: int | None
) -> None:
    with pytest.raises(Unparsable) as raised:
        trees_of(text)
    assert (raised.value.reason, raised.value.position) == (reason, position)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";;",
        "SELECT " + "+".join(["1"] * 1000),
        "SELECT 1" + " UNION SELECT 1, 2" * 500,
        "SELECT * FROM a" + " JOIN b ON true" * 500,
        "INSERT INTO t VALUES " + ",".join(["(1, 'a', now())"] * 10_000),
        "SELECT 1 " + "-" * 10_000,
        "SELECT 1 WHERE a IN (" + ",".join(["1"] * 50_000) + ")",
    ],
)
def test_what_people_write_is_parsed_however_long(text: str) -> None:
    assert len(trees_of(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + "+".join(["1"] * (_HALF - 10)),
        "SELECT " + "-a" * (_HALF - 10),
        "SELECT " + "- - a + (" * (DEEPEST // 7) + "1" + ")" * (DEEPEST // 7),
        "SELECT " + "(SELECT " * (DEEPEST // 4) + "1" + ")" * (DEEPEST // 4),
        "SELECT " + "CASE WHEN a THEN b ELSE " * (DEEPEST // 8) + "1" + " END" * (DEEPEST // 8),
        "SELECT * FROM " + "(SELECT * FROM " * (DEEPEST // 7) + "t" + ") x" * (DEEPEST // 7),
        "WITH a AS (" * (DEEPEST // 8) + "SELECT 1" + ") SELECT 1" * (DEEPEST // 8),
        "SELECT a" + " IS NULL" * (_HALF - 10),
        "SELECT a" + "::int" * (DEEPEST // 3 - 10),
        "SELECT " + "json_object(a:" * (DEEPEST // 6) + "1" + ")" * (DEEPEST // 6),
    ],
)
def test_the_deepest_does_with_a_stack_of_two_megabytes(text: str) -> None:
    """Or else this ends the process."""
    outcome: list[object] = []

    def parse() -> None:
        try:
            outcome.append(trees_of(text))
        except Unparsable as fault:
            outcome.append(fault.reason)

    before = threading.stack_size(2 * 1024 * 1024)
    try:
        thread = threading.Thread(target=parse)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    [found] = outcome
    assert isinstance(found, tuple) or str(found).startswith(("it nests", "memory exhausted"))


def test_a_text_with_two_meanings_has_two_trees() -> None:
    """Without standard_conforming_strings, the second statement is one."""
    trees = trees_of(r"SELECT '\'' ; DROP TABLE t; --'")
    assert [len(each.stmts) for each in trees] == [1, 2]
    assert len(trees_of(r"SELECT 'C:\'")) == 1, "without, that is an error"
    in_gbk = trees_of("SELECT E'\N{CJK UNIFIED IDEOGRAPH-8868}\\'; DROP TABLE t; --'")
    assert {len(each.stmts) for each in in_gbk} == {1, 2}


_EXPRESSIONS = st.recursive(
    st.sampled_from(("a", "1", "'b, c'", "$1")),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(("+", " AND ", "||", " = ")), inner).map("".join),
        inner.map("({})".format),
        inner.map("NOT {}".format),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: f"f({', '.join(each)})"),
        inner.map("ARRAY[{}]".format),
        inner.map("(SELECT {} FROM t, u)".format),
        st.tuples(inner, inner).map(
            lambda each: f"(SELECT {each[0]}, 1 UNION SELECT {each[1]}, 2)"
        ),
    ),
    max_leaves=30,
)


@settings(max_examples=300, deadline=None)
@given(_EXPRESSIONS)
def test_no_tree_is_deeper_than_was_reckoned(expression: str) -> None:
    """A lexeme makes six levels of the tree at most: a node, what it is, and what is around it."""
    text = f"SELECT {expression}"
    try:
        [tree] = trees_of(text)
    except Unparsable:
        return
    assert _levels(tree) <= 6 * depth_of(text.encode()) + 6


def _levels(root: object) -> int:
    deepest, waiting = 0, [(root, 1)]
    while waiting:
        node, level = waiting.pop()
        deepest = max(deepest, level)
        for field, value in node.ListFields():  # type: ignore[attr-defined]
            if field.type == field.TYPE_MESSAGE:
                waiting += [(each, level + 1) for each in (value if field.is_repeated else [value])]
    return deepest
