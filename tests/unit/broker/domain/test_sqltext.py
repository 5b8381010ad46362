"""Quoting, checked against PostgreSQL's own rules of reading.

https://www.postgresql.org/docs/current/sql-syntax-lexical.html
"""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.sqltext import ident, literal

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
awkward = st.text(st.sampled_from("'\"\\abE \n$u&-;"))
names = st.one_of(text, awkward).filter(lambda name: 0 < len(name.encode()) <= 63)


def read_identifier(quoted: str) -> str:
    """Read as PostgreSQL does: between quotes everything is meant, and two quotes mean one."""
    inside = re.fullmatch(r'"((?:[^"]|"")+)"', quoted)
    assert inside is not None, quoted
    return inside[1].replace('""', '"')


def read_literal(quoted: str, *, standard_conforming_strings: bool) -> str:
    """Read as PostgreSQL does: only E'…', or the setting of old, makes a backslash special."""
    string = re.fullmatch(r"( E)?'(.*)'", quoted, re.DOTALL)
    assert string is not None, quoted
    escapes = string[1] is not None or not standard_conforming_strings
    one = r"''|\\\\|[^'\\]" if escapes else r"''|[^']"
    assert re.fullmatch(rf"(?:{one})*", string[2]), quoted
    return "".join(piece[-1] for piece in re.findall(one, string[2]))


@given(names)
def test_postgresql_reads_an_identifier_as_it_was_meant(name: str) -> None:
    assert read_identifier(ident(name)) == name


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("orders_reader", '"orders_reader"'),
        ("Orders Reader", '"Orders Reader"'),
        ('x"; DROP ROLE postgres; --', '"x""; DROP ROLE postgres; --"'),
        ('"', '""""'),
        ("a\\b", '"a\\b"'),
        ("select", '"select"'),
    ],
)
def test_an_identifier_is_always_quoted(name: str, quoted: str) -> None:
    assert ident(name) == quoted


@pytest.mark.parametrize("name", ["a" * 63, "é" * 31 + "a", "𝄞" * 15 + "abc"])
def test_a_name_may_fill_all_63_bytes(name: str) -> None:
    assert ident(name) == f'"{name}"'


@pytest.mark.parametrize("name", ["", "a" * 64, "é" * 32, "a\0b", "\0"])
def test_a_name_that_postgresql_would_cut_or_refuse_is_refused(name: str) -> None:
    """It cuts at 63 bytes, not characters, with a NOTICE: two roles could become one."""
    with pytest.raises(ValueError, match=r"^not a PostgreSQL identifier: ") as refusal:
        ident(name)
    assert str(refusal.value) == f"not a PostgreSQL identifier: {name!r}"


@pytest.mark.parametrize("standard", [True, False])
@given(value=st.one_of(text, awkward))
def test_postgresql_reads_a_literal_as_it_was_meant_whatever_its_settings(
    *, standard: bool, value: str
) -> None:
    assert read_literal(literal(value), standard_conforming_strings=standard) == value


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("", "''"),
        ("it's", "'it''s'"),
        ("a\\b", " E'a\\\\b'"),
        ("\\'; DROP ROLE postgres; --", " E'\\\\''; DROP ROLE postgres; --'"),
        ("$$", "'$$'"),
        ("line\nbreak", "'line\nbreak'"),
    ],
)
def test_a_literal_never_ends_early(value: str, quoted: str) -> None:
    """The blank before E keeps a keyword that stands before it from swallowing it."""
    assert literal(value) == quoted


def test_a_string_with_a_zero_byte_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^a PostgreSQL string cannot hold a zero byte$"):
        literal("a\0b")
