r"""The record as tables, with the same columns for ever: new ones come at the end.

CSV is RFC 4180's, in UTF-8. In TSV, tabs, ends of lines and backslashes are written \t \n \r \\ as
PostgreSQL's COPY does. NULL is an empty cell in both. A cell of text that a spreadsheet would take
for a formula begins with an apostrophe that is not part of it: who opens an export must not run
what somebody else wrote in a statement. So only JSON lines say exactly what was there.
"""

import csv
import json
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from io import StringIO
from typing import Any

STATEMENT_COLUMNS: tuple[str, ...] = (
    "session",
    "seq",
    "grant",
    "person",
    "target",
    "database",
    "role",
    "started_at",
    "protocol",
    "text",
    "text_bytes",
    "text_sha256",
    "masked",
    "parameter_types",
    "parameters",
    "ending",
    "duration_us",
    "rows",
    "tag",
    "sqlstate",
    "bytes_from_client",
    "bytes_to_client",
)
EVENT_COLUMNS: tuple[str, ...] = (
    *("seq", "at", "actor", "kind", "request", "grant", "session", "data"),
)
RECEIPT_COLUMNS: tuple[str, ...] = (
    *("number", "grant", "made_at", "proved", "previous", "hash", "receipt"),
)

# What Excel, LibreOffice and Google Sheets take for the beginning of a formula:
# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = frozenset("=+-@\t\r")
_ESCAPED = re.compile(r"[\\\t\n\r]")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class TableFormat(StrEnum):
    CSV = "csv"
    TSV = "tsv"


def table_header(layout: TableFormat, columns: tuple[str, ...]) -> str:
    return _lines(layout, [columns])


def table_lines(
    layout: TableFormat, columns: tuple[str, ...], rows: Iterable[Mapping[str, Any]]
) -> str:
    """Return the rows as lines, of which each has its end."""
    return _lines(layout, ([_cell(row[name]) for name in columns] for row in rows))


def _lines(layout: TableFormat, rows: Iterable[Iterable[str]]) -> str:
    if layout is TableFormat.TSV:
        return "".join("\t".join([_escaped(each) for each in row]) + "\n" for row in rows)
    lines = StringIO()
    csv.writer(lines).writerows(rows)
    return lines.getvalue()


def _escaped(cell: str) -> str:
    return cell.translate(_ESCAPES) if _ESCAPED.search(cell) else cell


def _cell(value: Any) -> str:
    if isinstance(value, str):  # first, as most are
        return f"'{value}" if value[:1] in _FORMULA else value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return str(value)
