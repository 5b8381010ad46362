"""SQL's lexemes, found by one regular expression: fast, never failing, and fit for a text that was
cut anywhere. The grammar says what statements mean; this only says where literals begin and end.

https://www.postgresql.org/docs/current/sql-syntax-lexical.html, and PostgreSQL's scan.l
"""

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple


class Lexis(Enum):
    COMMENT = auto()
    STRING = auto()  # whatever its quotes, prefix included; continued ones are one
    DOLLAR = auto()  # a string between dollars
    NAME = auto()  # in double quotes
    WORD = auto()
    NUMBER = auto()
    PARAMETER = auto()
    SIGN = auto()  # one character


class Lexeme(NamedTuple):
    """Positions are in bytes. `inner` is the range between the dollars of a DOLLAR. A tuple, since
    long texts have hundreds of thousands."""

    kind: Lexis
    start: int
    end: int
    inner: tuple[int, int] = (0, 0)


# A string goes on after white space with a line feed, in the same kind of quotes.
_GAP = rb"(?:[ \t\f\v]|--[^\r\n]*+)*+[\r\n](?:\s|--[^\r\n]*+[\r\n])*+"
_DOUBLING = rb"[^']*+(?:''[^']*+)*+"
_ESCAPING = rb"[^'\\]*+(?:(?:\\.?|'')[^'\\]*+)*+"


def _string(prefix: bytes, body: bytes) -> bytes:
    return rb"%s'%s(?:'%s'%s)*+'?" % (prefix, body, _GAP, body)


def _pattern(plain: bytes) -> re.Pattern[bytes]:
    return re.compile(
        rb"""(?P<SIGN>[^\s\w$\x80-\xff'"/-]|/(?!\*)|-(?!-))
        |(?P<NUMBER>\d[\d_]*+(?:\.\d[\d_]*+)?+(?:[eE][+-]?\d++)?+)
        |(?P<STRING>%s|%s|%s)
        |(?P<DOLLAR>(?P<tag>\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*+)?\$))
        |(?P<NAME>(?:[uU]&)?"[^"]*+(?:""[^"]*+)*+"?)
        |(?P<WORD>[A-Za-z_\x80-\xff][\w$\x80-\xff]*+)
        |(?P<COMMENT>--[^\r\n]*+|(?P<block>/\*))
        |(?P<PARAMETER>\$\d*+)"""
        % (
            _string(rb"[eE]", _ESCAPING),
            _string(rb"(?:[bBxX]|[uU]&)", _DOUBLING),
            _string(rb"[nN]?", plain),
        ),
        re.VERBOSE | re.DOTALL,
    )


# With standard_conforming_strings, and without.
_STANDARD = _pattern(_DOUBLING)
_OLD = _pattern(_ESCAPING)
_COMMENT_EDGE = re.compile(rb"/\*|\*/")
_KINDS = {kind.name: kind for kind in Lexis}


_HALF_OF_A_CHARACTER = re.compile(rb"(?<=[\x80-\xff])\\")


def readings(text: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the text as servers may read it, and whether with standard_conforming_strings:

    - with it, and without, which a session may change at any time;
    - as UTF-8, and as a client encoding of two bytes (GBK, SJIS, Big5), whose second one may be
      what looks like a backslash. It is an x then.

    They differ only where a backslash stands before a quote or behind a byte that is not ASCII.
    """
    yield text, True
    if b"\\" not in text:
        return
    if b"\\'" in text:
        yield text, False
    swallowed = _HALF_OF_A_CHARACTER.sub(b"x", text)
    if swallowed != text:
        yield swallowed, True
        if b"\\'" in swallowed:
            yield swallowed, False


def lexemes(text: bytes, *, standard_strings: bool = True) -> Iterator[Lexeme]:
    """Yield the lexemes. What is not ended goes on to the end of the text."""
    pattern = _STANDARD if standard_strings else _OLD
    position = 0
    while True:
        for found in pattern.finditer(text, position):
            kind = _KINDS[str(found.lastgroup)]  # the outermost group closes last
            if found["tag"] or found["block"]:
                break  # its end is not the match's
            yield Lexeme(kind, found.start(), found.end())
        else:
            return
        lexeme = _long_one(text, kind, found)
        yield lexeme
        position = lexeme.end


def _long_one(text: bytes, kind: Lexis, opening: re.Match[bytes]) -> Lexeme:
    if kind is Lexis.COMMENT:
        return Lexeme(kind, opening.start(), _end_of_comment(text, opening.end()))
    inner = (opening.end(), _found_or_end(text, opening["tag"], opening.end()))
    end = min(inner[1] + len(opening["tag"]), len(text))
    return Lexeme(kind, opening.start(), end, inner)


def _found_or_end(text: bytes, wanted: bytes, start: int) -> int:
    position = text.find(wanted, start)
    return len(text) if position < 0 else position


def _end_of_comment(text: bytes, start: int) -> int:
    """Comments nest."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(text, start):
        depth += 1 if edge[0] == b"/*" else -1
        if not depth:
            return edge.end()
    return len(text)
