"""Statements in a terminal. What somebody else wrote never reaches it as control characters."""

from datetime import UTC, datetime, timedelta

from api.cli.output import until_nobody_reads
from api.schemas.statements import StatementView

_TIMELINE = 120  # characters of a statement on its line


def say_now(line: str) -> None:
    """Print a line at once: somebody watches, or a pipe does."""
    with until_nobody_reads():
        print(line, flush=True)  # noqa: T201


def timeline_line(view: StatementView, began: datetime) -> str:
    """Return when, how long after the session began, how long it took, rows, SQLSTATE and text."""
    return "  ".join(
        (
            f"{view.started_at.astimezone(UTC):%H:%M:%S.%f}"[:-3],
            f"{offset(view.started_at - began):>12}",
            f"{_took(view):>10}",
            f"{'' if view.rows is None else view.rows:>8}",
            f"{view.sqlstate or _odd_ending(view):>9}",
            one_line(view.text, _TIMELINE) or f"({view.protocol})",
        )
    ).rstrip()


def replay_lines(view: StatementView, began: datetime) -> str:
    """Return the statement whole, as it was sent, and what became of it."""
    text = visible(view.text) or f"({view.protocol})"
    said = [view.tag or _odd_ending(view), view.sqlstate or "", _took(view)]
    if view.text_sha256 is not None:
        said.append(f"cut: it has {view.text_bytes:,} bytes")
    return f"[{offset(view.started_at - began)}] {text}\n    -- {', '.join(filter(None, said))}"


def offset(by: timedelta) -> str:
    """Return +H:MM:SS.mmm; clocks of two machines may make it negative."""
    milliseconds = round(abs(by.total_seconds()) * 1000)
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if by < timedelta(0) else "+"
    return f"{sign}{hours}:{minutes:02}:{seconds:02}.{milliseconds:03}"


def one_line(text: str, longest: int) -> str:
    """Return the text with all white space as single blanks, and its end cut off if it is long."""
    joined = visible(" ".join(text.split()))
    return joined if len(joined) <= longest else f"{joined[: longest - 1]}…"


def visible(text: str) -> str:
    """Return the text with escapes for what would move a cursor, change colours or worse."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else f"\\x{ord(each):02x}" for each in text
    )


def _took(view: StatementView) -> str:
    if view.duration_us is None:
        return "runs" if view.ending is None else ""
    return f"{view.duration_us / 1000:.1f} ms"


def _odd_ending(view: StatementView) -> str:
    return "" if view.ending in (None, "done") else str(view.ending)
