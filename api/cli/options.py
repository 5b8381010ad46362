"""Options and arguments that several commands share."""

from datetime import timedelta
from typing import Annotated

import typer

from broker.domain.duration import parse_duration
from broker.domain.errors import InvalidDuration


def _parse(value: str | timedelta) -> timedelta:
    if isinstance(value, timedelta):
        return value  # a default
    try:
        return parse_duration(value)
    except InvalidDuration as error:
        raise typer.BadParameter(str(error)) from None


For = Annotated[
    timedelta, typer.Option("--for", parser=_parse, metavar="DURATION", help="30m, 1h, 2d …")
]
MaybeFor = Annotated[
    timedelta | None,
    typer.Option("--for", parser=_parse, metavar="DURATION", help="30m, 1h, 2d …"),
]
Reason = Annotated[str, typer.Option("--reason", help="Why; the approvers read it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Database = Annotated[str | None, typer.Option("--database", help="Other than the target's own.")]
Patience = Annotated[
    timedelta,
    typer.Option("--timeout", parser=_parse, metavar="DURATION", help="How long to wait."),
]
RequestId = Annotated[str, typer.Argument(metavar="REQUEST")]
GrantId = Annotated[str, typer.Argument(metavar="GRANT")]
