"""PostgreSQL's own parser, and how much may be asked of it.

libpg_query and protobuf recurse over the tree, on the C stack, without a limit of their own: a text
of 40 kB with one operator after the other ends the process. So what nests too deeply is never
given to them.
"""

import ctypes
import re
from typing import Any

from google.protobuf.internal import api_implementation
from google.protobuf.message import DecodeError
from postgast.native import PgQueryProtobufParseResult, lib
from postgast.pg_query_pb2 import ParseResult

from broker.sql.lexing import Lexis, lexemes, readings

LONGEST = 256 * 1024
"""Bytes. Rows of an INSERT take 0.6 s of processor time for as many, the densest text four times
that, and 100 MB."""
DEEPEST = 5_000
"""Lexemes within each other. As many need 2 MB of stack at most, and threads have 8: nested SELECTs
1.2 kB each, which are three lexemes, and additions 0.5 kB."""

# A run of operators is read again for each of its bytes: a megabyte would take minutes. Lines of
# dashes are comments.
_LONG_RUN = re.compile(rb"[~!@#^&|`?+*/%<>=][~!@#^&|`?+*/%<>=-]{255}")
_JOINED = re.compile(rb"\b(?:union|intersect|except)\b")
_OPENING = b"([{"
_CLOSING = b")]}"
_OLD_STRINGS = 32  # PG_QUERY_DISABLE_STANDARD_CONFORMING_STRINGS in pg_query.h

_parse = lib.pg_query_parse_protobuf_opts
_parse.argtypes = [ctypes.c_char_p, ctypes.c_int]
_parse.restype = PgQueryProtobufParseResult


class Unparsable(Exception):
    """PostgreSQL's grammar refuses this, or it is more than we ask of it. `position` is in
    characters, from 0, if it is known."""

    def __init__(self, reason: str, position: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.position = position


def _lift_limit_of_nesting() -> None:
    """Protobuf gives up at 100 levels, which is a sum of 50. Without the C implementation that
    stays so, and more is refused as unparsable."""
    lift = getattr(getattr(api_implementation, "_c_module", None), "SetAllowOversizeProtos", None)
    if lift is not None:
        lift(True)


_lift_limit_of_nesting()


def trees_of(text: str) -> tuple[Any, ...]:
    """Return ParseResults: one for each way in which a server may read the text, mostly one.

    Raises Unparsable if there is none.
    """
    raw = _encoded(text)
    trees: list[Any] = []
    fault: Unparsable | None = None
    for reading, standard_strings in readings(raw):
        try:
            trees.append(_tree(reading, standard_strings=standard_strings))
        except Unparsable as failure:
            # A server that reads it so refuses it, too.
            fault = fault or failure
    if not trees and fault is not None:
        raise fault
    return tuple(trees)


def _encoded(text: str) -> bytes:
    if "\0" in text:
        raise Unparsable("there is a zero byte in it", text.index("\0"))
    if len(text) > LONGEST:
        raise Unparsable(f"it is longer than {LONGEST} bytes")
    try:
        raw = text.encode()
    except UnicodeEncodeError as fault:
        raise Unparsable("it is not UTF-8", fault.start) from None
    if len(raw) > LONGEST:
        raise Unparsable(f"it is longer than {LONGEST} bytes")
    return raw


def _tree(raw: bytes, *, standard_strings: bool) -> Any:
    if len(raw) > DEEPEST:  # a lexeme has a byte at least
        _check_size(raw, standard_strings=standard_strings)
    result = _parse(raw, 0 if standard_strings else _OLD_STRINGS)
    try:
        if result.error:
            raise _fault(result.error.contents)
        tree = result.parse_tree
        return ParseResult.FromString(ctypes.string_at(tree.data, tree.len))
    except DecodeError:
        raise Unparsable("it nests too deeply") from None
    finally:
        lib.pg_query_free_protobuf_parse_result(result)


def _fault(error: Any) -> Unparsable:
    # Messages quote the text, and cut it anywhere. Positions count characters, from 1.
    message = (error.message or b"unknown error").decode(errors="replace")
    return Unparsable(message, error.cursorpos - 1 if error.cursorpos > 0 else None)


def _check_size(raw: bytes, *, standard_strings: bool) -> None:
    if (run := _LONG_RUN.search(raw)) is not None:
        raise Unparsable("there are too many operators in a row", run.start())
    if depth_of(raw, standard_strings=standard_strings) > DEEPEST:
        raise Unparsable("it nests too deeply")


def depth_of(raw: bytes, *, standard_strings: bool = True) -> int:
    """Return a number that the depth of the parser's tree, in lexemes, never exceeds.

    Whatever nests is between the same commas, semicolons and brackets, or in brackets within it;
    only set operations (UNION …) nest across commas, and are counted apart.
    """
    deepest = depth = 0
    outer: list[int] = []  # how deep each open bracket stands
    start = 0
    for kind, at, _, _ in lexemes(raw, standard_strings=standard_strings):
        depth += 1
        if kind is not Lexis.SIGN:
            continue
        sign = raw[at]
        deepest = max(deepest, depth)
        if sign in b",;":
            depth = start
        elif sign in _OPENING:
            outer.append(start)
            start = depth
        elif sign in _CLOSING and outer:
            start = outer.pop()
    return max(deepest, depth) + len(_JOINED.findall(raw.lower()))
