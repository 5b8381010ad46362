"""Lexemes, compared with what PostgreSQL's own scanner finds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postgast import PgQueryError, scan
from postgast.pg_query_pb2 import Token

from broker.sql.lexing import Lexis, lexemes, readings

_PIECES = (
    *(
        "'",
        "''",
        "E'",
        "e'",
        "\\",
        "\\'",
        "U&'",
        "n'",
        "b'",
        "X'",
        "$$",
        "$a$",
        "$",
        "$1",
        '"',
        'U&"',
    ),
    *(
        "--",
        "/*",
        "*/",
        "\n",
        "\r",
        "\t",
        " ",
        "a",
        "b1",
        "1",
        "1.5",
        "1e",
        ";",
        "(",
        ")",
        "é",
        "a$b$",
    ),
    *("+", "-", "/", "*", "=", ".", ",", ":"),
)
_LITERAL = ("SCONST", "USCONST", "BCONST", "XCONST", "SQL_COMMENT", "C_COMMENT", "UIDENT")
_OURS = (Lexis.STRING, Lexis.DOLLAR, Lexis.COMMENT, Lexis.NAME)


@settings(max_examples=3000, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=14).map("".join))
def test_literals_and_comments_are_where_postgresql_has_them(text: str) -> None:
    try:
        tokens = scan(text).tokens
    except (PgQueryError, UnicodeDecodeError):
        return
    raw = text.encode()
    theirs = [
        (each.start, each.end)
        for each in tokens
        if Token.Name(each.token) in _LITERAL or raw[each.start : each.start + 1] == b'"'
    ]
    ours = [(each.start, each.end) for each in lexemes(raw) if each.kind in _OURS]
    # Prefixes, and the white space within continued strings, are counted differently.
    assert _inside(raw, theirs) == _inside(raw, ours)


def _inside(raw: bytes, spans: list[tuple[int, int]]) -> set[int]:
    covered = {position for start, end in spans for position in range(start, end)}
    return {each for each in covered if raw[each] not in b"nNuU& \t\r\n\v\f"}


@given(st.binary(max_size=40), st.booleans())
def test_any_bytes_have_lexemes_that_follow_each_other(raw: bytes, standard: object) -> None:
    position = 0
    for each in lexemes(raw, standard_strings=bool(standard)):
        assert position <= each.start < each.end <= len(raw)
        assert not raw[position : each.start].strip()
        position = each.end
    assert not raw[position:].strip()


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (b"SELECT 'a'", 1),
        (b"SELECT 'a\\n'", 1),
        (b"SELECT 'a\\'", 2),
        (b"SELECT '\xa8\\n'", 2),
        (b"SELECT '\xa8\\' \\'", 4),
        (b"SELECT '\xa8\\'", 3),
    ],
)
def test_only_a_backslash_where_it_matters_makes_another_reading(text: bytes, count: int) -> None:
    found = list(readings(text))
    assert len(found) == count
    assert {len(reading) for reading, _ in found} == {len(text)}
