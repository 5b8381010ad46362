"""One thing that `pgcurfew doctor` has to say about a managed server."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_SHOWN = 5


class Severity(StrEnum):
    """`blocks`: a grant or a removal would fail."""

    BLOCKS = "blocks"
    RISK = "risk"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is stable, `sql` mends it; empty where no statement can."""

    severity: Severity
    code: str
    sentence: str
    sql: tuple[str, ...] = ()


def blocks(code: str, sentence: str, *sql: str) -> Finding:
    return Finding(Severity.BLOCKS, code, sentence, sql)


def risk(code: str, sentence: str, *sql: str) -> Finding:
    return Finding(Severity.RISK, code, sentence, sql)


def note(code: str, sentence: str, *sql: str) -> Finding:
    return Finding(Severity.NOTE, code, sentence, sql)


def some(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
