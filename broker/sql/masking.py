"""Secrets within statements, replaced by asterisks before anything is written down.

Which words announce a secret, and how, is `secret_words`. A literal is masked

- right after PASSWORD in a statement about roles, and after CONNECTION;
- anywhere after another such word, up to the end of the statement: `INSERT INTO users (name,
  password) VALUES ('ann', 'x')` has no closer tie; also just before one: `'x' AS password`;
- if it has such a word or a connection string in it itself, or if it is a verifier;
- anywhere in a body (DO, AS $$…$$) with such a word in it, as variables may carry it.

A text that a server may read in more than one way is masked in each. It may have been cut anywhere;
a word that comes after its secret, and was cut off, cannot help.
"""

import re
from collections.abc import Iterable
from typing import TypeAlias

from broker.sql.lexing import Lexeme, Lexis, lexemes, readings
from broker.sql.secret_words import BY_LOOKS, CONNECTION_STRING, NAME, WORD, may_hold_secret

__all__ = ("MASK", "mask", "may_hold_secret")

MASK = b"'********'"
_STARS = b"********"
_DDL = frozenset((b"ALTER", b"CREATE"))
_OF_ROLES = frozenset((b"ROLE", b"USER", b"GROUP"))
# Between a literal and a word after it, these say that they have nothing to do with each other.
_PARTING = frozenset(
    b"AND ELSE FROM GROUP HAVING JOIN ON OR ORDER".split()
    + b"RETURNING SELECT SET THEN VALUES WHEN WHERE".split()
)
_WORTH_READING = re.compile(WORD.pattern + rb"|connection|://")
_SELDOM_MATTERING = (Lexis.SIGN, Lexis.NUMBER)  # the better part of a long text
# Before a body, and not before another string.
_BEFORE_BODY = frozenset((b"AS", b"DO"))
_LEADING_ON = frozenset(b"ALL ANY ARRAY IN IS LIKE ILIKE NOT TO VALUES".split())
_NO_VALUE = frozenset(b"CASE CURRENT_USER DEFAULT FALSE NULL SELECT TRUE".split())


# Others wait while a text is read. Of a longer one that may hold secrets the rest is left out.
_LONGEST_READ = 65_536
_LOOKED_AHEAD = 4_096  # a word may come after its secret
_LEFT_OUT = b"\xe2\x80\xa6 (the rest is left out, as secrets may be in it)"

_Span: TypeAlias = tuple[int, int, bytes]  # from, to, and what stands there instead


def mask(text: bytes) -> bytes | None:
    """Return the text without its secrets, or None if it seems to have none."""
    if not may_hold_secret(text):
        return None
    masked = text
    if _WORTH_READING.search(text.lower()):
        spans = [
            span
            for reading, standard_strings in readings(text[:_LONGEST_READ])
            for span in _Masker(reading, standard_strings=standard_strings).spans()
        ]
        if len(text) > _LONGEST_READ:
            spans.append((_LONGEST_READ - _LOOKED_AHEAD, len(text), _LEFT_OUT))
        masked = _replaced(text, spans)
    masked = _without_verifiers(masked)
    return None if masked == text else masked


def _replaced(text: bytes, spans: Iterable[_Span]) -> bytes:
    out: list[bytes] = []
    copied = 0
    for start, end, by in sorted(spans):
        if start >= copied:
            out += (text[copied:start], by)
        copied = max(copied, end)
    return b"".join(out) + text[copied:]


def _without_verifiers(text: bytes) -> bytes:
    """Mask what can be told by its looks, wherever it stands."""
    found = BY_LOOKS.finditer(text.lower())
    return _replaced(text, [(*each.span(), _STARS) for each in found])


class _Masker:
    """Goes through the lexemes once. `everywhere`: within a body that speaks of secrets."""

    def __init__(self, text: bytes, *, standard_strings: bool, everywhere: bool = False) -> None:
        self._text = text
        self._lower = text.lower()
        self._standard_strings = standard_strings
        self._everywhere = everywhere
        self._spans: list[_Span] = []
        self._begin_statement()

    def _begin_statement(self) -> None:
        self._head: list[bytes] = []
        self._last = b""  # the last word, in capitals
        self._announced = False  # a secret may follow until the statement ends
        self._next_is_secret = False  # the next lexeme is one
        self._setting = False  # SET was said, and its value was not
        self._near = False  # only signs since the word that announced
        self._assigned = False  # an equals sign, or TO, among them
        self._before: list[Lexeme] = []  # strings that the next word may be about

    def spans(self) -> list[_Span]:
        """Return what has to go, in no order."""
        text = self._text
        for lexeme in lexemes(text, standard_strings=self._standard_strings):
            if lexeme.kind in _SELDOM_MATTERING and not self._near and not self._next_is_secret:
                if text[lexeme.start] in b";,":
                    self._sign(lexeme)
            elif not self._take(lexeme):
                self._replace(lexeme.start, len(text))
                break
        return self._spans

    def _take(self, lexeme: Lexeme) -> bool:
        """Return whether to go on: nothing after a secret without quotes can be trusted."""
        if lexeme.kind is Lexis.COMMENT:
            self._comment(lexeme)
            return True
        if self._next_is_secret and lexeme.kind not in (Lexis.STRING, Lexis.DOLLAR):
            self._next_is_secret = False
            return self._raw(lexeme).upper() in (b"NULL", b";")
        match lexeme.kind:
            case Lexis.STRING:
                self._string(lexeme)
            case Lexis.DOLLAR:
                self._dollar(lexeme)
            case Lexis.SIGN:
                self._sign(lexeme)
            case Lexis.WORD | Lexis.NAME:
                return self._word(lexeme)
            case Lexis.NUMBER if self._near:
                self._replace(lexeme.start, lexeme.end)
                self._assigned = False
            case _:
                self._near = False
        return True

    def _comment(self, lexeme: Lexeme) -> None:
        word = WORD.search(self._lower, lexeme.start, lexeme.end)
        if word is None:
            return
        end = lexeme.end
        if self._text.endswith(b"*/", lexeme.start, end) and end - 2 >= word.end():
            end -= 2
        if word.end() < end:
            self._replace(word.end(), end, b" " + _STARS + b" ")

    def _string(self, lexeme: Lexeme) -> None:
        content = self._lower[lexeme.start : lexeme.end]
        speaks = WORD.search(content) is not None
        names_one = speaks and NAME.fullmatch(content) is not None
        if self._next_is_secret or self._announced or self._everywhere:
            secret = True
        else:
            secret = (speaks and not names_one) or CONNECTION_STRING.search(content) is not None
        self._next_is_secret = False
        self._near = False
        self._announced = self._announced or speaks
        if secret:
            self._replace(lexeme.start, lexeme.end)
        else:
            self._before.append(lexeme)

    def _dollar(self, lexeme: Lexeme) -> None:
        is_body = self._last in _BEFORE_BODY or self._head[:1] == [b"DO"]
        if self._next_is_secret or not is_body:
            self._string(lexeme)
            return
        self._near = False
        start, end = lexeme.inner
        body = self._text[start:end]
        if may_hold_secret(body):
            inner = _Masker(body, standard_strings=self._standard_strings, everywhere=True)
            self._spans += ((start + a, start + z, by) for a, z, by in inner.spans())

    def _sign(self, lexeme: Lexeme) -> None:
        sign = self._raw(lexeme)
        if sign == b";":
            self._begin_statement()
        elif sign == b",":
            self._near = (
                self._near and self._spans[-1:] != [] and self._spans[-1][1] == lexeme.start
            )
            self._before = []
        elif sign == b")":
            self._near = False
        elif sign in b"=:":
            twice = self._text[lexeme.start - 1 : lexeme.start + 1] == b"::"
            self._assigned = self._near and not twice

    def _word(self, lexeme: Lexeme) -> bool:
        raw = self._raw(lexeme)
        word = raw.upper()
        if len(self._head) < 3:
            self._head.append(word)
        announces = WORD.search(self._lower, lexeme.start, lexeme.end) is not None
        if announces:
            self._announce(word)
        elif self._near and self._is_value(lexeme, word):
            if self._setting:
                return False
            self._replace(lexeme.start, lexeme.end)
            self._near = False
        elif word == b"CONNECTION":
            self._next_is_secret = self._is_connection()
        elif word == b"TO":
            self._assigned = self._near
        elif word not in _LEADING_ON:
            self._near = False
        if word in _PARTING:
            self._before = []
        if word == b"SET":
            self._setting = self._head[0] in (*_DDL, b"SET")
        self._last = word
        return True

    def _announce(self, word: bytes) -> None:
        if word == b"PASSWORD" and self._is_of_roles() and len(self._head) > 2:
            self._next_is_secret = True
            return
        self._announced = self._near = True
        self._assigned = False
        for string in self._before:
            self._replace(string.start, string.end)
        self._before = []

    def _is_value(self, lexeme: Lexeme, word: bytes) -> bool:
        """Say whether this, which needs no quotes, may be a secret that forgot them."""
        if lexeme.kind is Lexis.NAME:
            return True
        follows = self._text[lexeme.end : lexeme.end + 1]
        return (
            self._assigned
            and word not in _NO_VALUE
            and (self._setting or follows not in (b"(", b"."))
        )

    def _is_of_roles(self) -> bool:
        return (
            self._head[0] in _DDL
            and self._head[1:2] != []
            and self._head[1] in _OF_ROLES
            and self._head[2:3] != [b"MAPPING"]
            and not self._setting
        )

    def _is_connection(self) -> bool:
        return self._head[1:2] == [b"SUBSCRIPTION"]

    def _raw(self, lexeme: Lexeme) -> bytes:
        return self._text[lexeme.start : lexeme.end]

    def _replace(self, start: int, end: int, by: bytes = MASK) -> None:
        self._spans.append((start, end, by))
