"""What commands print: tables for people, JSON for programs, errors on standard error."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

import typer
from pydantic import BaseModel, TypeAdapter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.failures import ApiError
from broker.domain.duration import format_duration

out = Console(highlight=False, soft_wrap=True)
err = Console(highlight=False, stderr=True)  # for what is not the answer


class ExitCode(IntEnum):
    DONE = 0
    ERROR = 1
    DENIED = 2  # denied, or wrong usage
    NOT_FOUND = 3
    TIMED_OUT = 4


_BY_STATUS = {
    400: ExitCode.DENIED,
    401: ExitCode.DENIED,
    403: ExitCode.DENIED,
    404: ExitCode.NOT_FOUND,
    422: ExitCode.DENIED,
}


def exit_code(error: ApiError) -> ExitCode:
    return _BY_STATUS.get(error.status, ExitCode.ERROR)


def warn(message: str) -> None:
    """Say something that is not what was asked for."""
    print(f"pgcurfew: {message}", file=sys.stderr)  # noqa: T201


def fail(message: str, code: ExitCode) -> int:
    """Say what went wrong; return the exit code."""
    warn(message)
    return code


@contextmanager
def until_nobody_reads() -> Iterator[None]:
    """End the command without a word when whoever read its output, such as head, has gone."""
    try:
        yield
    except BrokenPipeError:
        # Or Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(ExitCode.ERROR) from None


def print_json(value: Any) -> None:
    """Print one JSON document; pydantic views as the API renders them."""
    text = (
        value.model_dump_json(indent=2)
        if isinstance(value, BaseModel)
        else TypeAdapter(Any).dump_json(value, indent=2).decode()
    )
    print(text)  # noqa: T201


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their columns, empty columns left out."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    every = list(rows)
    filled = [number for number in range(len(columns)) if any(row[number] for row in every)]
    for number in filled:
        name = columns[number]
        table.add_column(name, no_wrap=name in ("id", "grant", "request"))
    for row in every:
        # Never markup: people wrote some of it.
        table.add_row(*(Text(row[number]) for number in filled))
    if table.row_count:
        out.print(table)
    else:
        out.print(f"{title}: none")


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print names and values in two columns, empty values left out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in fields:
        if value:
            table.add_row(name, Text(value))
    out.print(table)


def moment(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else ""


def time_left(until: datetime) -> str:
    left = until - datetime.now(UTC)
    return f"{format_duration(left)} left" if left.total_seconds() > 0 else "over"
