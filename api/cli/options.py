"""Options and arguments that several commands share."""

from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from broker.domain.duration import parse_duration
from broker.domain.errors import InvalidDuration, InvalidNetwork, InvalidSize
from broker.domain.network import Network, parse_network
from broker.domain.size import parse_size


def _parse(value: str | timedelta) -> timedelta:
    if isinstance(value, timedelta):
        return value  # a default
    try:
        return parse_duration(value)
    except InvalidDuration as error:
        raise typer.BadParameter(str(error)) from None


def _parse_network(value: str) -> Network:
    try:
        return parse_network(value)
    except InvalidNetwork as error:
        raise typer.BadParameter(str(error)) from None


def _parse_size(value: str | int) -> int:
    if isinstance(value, int):
        return value  # a default
    try:
        return parse_size(value)
    except InvalidSize as error:
        raise typer.BadParameter(str(error)) from None


def parse_moment(value: str | datetime) -> datetime:
    """Return a time as RFC 3339 writes it; one without a zone is local."""
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(value).astimezone()
    except ValueError:
        raise typer.BadParameter(f"{value!r} is not a time; write 2026-01-31T18:00+01:00") from None


def duration_option(name: str, help_: str) -> Any:
    return typer.Option(name, parser=_parse, metavar="DURATION", help=help_)


def size_option(name: str, help_: str) -> Any:
    return typer.Option(name, parser=_parse_size, metavar="SIZE", help=help_)


def network_option(help_: str) -> Any:
    return typer.Option("--from", parser=_parse_network, metavar="NETWORK", help=help_)


For = Annotated[
    timedelta, typer.Option("--for", parser=_parse, metavar="DURATION", help="30m, 1h, 2d …")
]
MaybeFor = Annotated[
    timedelta | None,
    typer.Option("--for", parser=_parse, metavar="DURATION", help="30m, 1h, 2d …"),
]
Since = Annotated[
    timedelta,
    typer.Option("--since", parser=_parse, metavar="DURATION", help="How far back: 30d, 12h …"),
]
At = Annotated[
    datetime | None,
    typer.Option("--at", parser=parse_moment, metavar="TIME", help="2026-03-02T18:00; not now."),
]
Reason = Annotated[str, typer.Option("--reason", help="Why; the approvers read it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Database = Annotated[str | None, typer.Option("--database", help="Other than the target's own.")]
From = Annotated[
    list[Any] | None,  # of Network, a union, of which typer takes no list
    typer.Option(
        "--from",
        parser=_parse_network,
        metavar="NETWORK",
        help="Let sessions come only from there, for example 10.0.0.0/8. May be repeated.",
        show_default=False,
    ),
]
PinAddress = Annotated[
    bool,
    typer.Option("--pin-address", help="Let all sessions come from the address of the first."),
]
Patience = Annotated[
    timedelta,
    typer.Option("--timeout", parser=_parse, metavar="DURATION", help="How long to wait."),
]
RequestId = Annotated[str, typer.Argument(metavar="REQUEST")]
GrantId = Annotated[str, typer.Argument(metavar="GRANT")]
