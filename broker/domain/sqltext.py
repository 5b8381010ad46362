"""Quoting for DDL, which takes no parameters. Everything else uses `$1`.

https://www.postgresql.org/docs/current/sql-syntax-lexical.html
"""

MAX_IDENTIFIER_BYTES = 63  # NAMEDATALEN - 1; PostgreSQL cuts longer names with only a NOTICE


def ident(name: str) -> str:
    """Return `name` as a quoted identifier. Raises ValueError for what PostgreSQL cannot keep."""
    if not name or "\0" in name or len(name.encode()) > MAX_IDENTIFIER_BYTES:
        raise ValueError(f"not a PostgreSQL identifier: {name!r}")
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return `text` as a string literal that no setting of the server reads differently."""
    if "\0" in text:
        raise ValueError("a PostgreSQL string cannot hold a zero byte")
    quoted = "'" + text.replace("'", "''") + "'"
    return " E" + quoted.replace("\\", "\\\\") if "\\" in text else quoted
