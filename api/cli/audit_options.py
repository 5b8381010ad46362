"""Which part of the record: options that the commands about it share."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from api.cli.options import parse_moment
from broker.domain.duration import parse_duration
from broker.domain.errors import InvalidDuration


class What(StrEnum):
    STATEMENTS = "statements"
    EVENTS = "events"
    RECEIPTS = "receipts"
    ALL = "all"


def _past(value: str | datetime) -> datetime:
    """Return a time, or how long ago as one."""
    if isinstance(value, datetime):
        return value
    try:
        return datetime.now(UTC) - parse_duration(value)
    except InvalidDuration:
        return parse_moment(value)


_PAST = "TIME|DURATION"

OfGrant = Annotated[
    str | None, typer.Option("--grant", metavar="GRANT", help="Only of this grant.")
]
OfSession = Annotated[
    str | None, typer.Option("--session", metavar="SESSION", help="Only of this session.")
]
OfPerson = Annotated[
    str | None, typer.Option("--person", metavar="EMAIL", help="Only by, or about, this person.")
]
OfTarget = Annotated[
    str | None, typer.Option("--target", metavar="TARGET", help="Only on this target.")
]
Since = Annotated[
    datetime | None,
    typer.Option("--since", parser=_past, metavar=_PAST, help="From 2026-03-02T18:00, or 7d ago."),
]
Until = Annotated[
    datetime | None,
    typer.Option("--until", parser=_past, metavar=_PAST, help="Before that; not now."),
]
