"""The record as it grows."""

import json
from datetime import UTC
from typing import Annotated

import typer

from api.cli.audit_options import OfGrant, OfPerson, OfSession, OfTarget, What
from api.cli.calling import with_client
from api.cli.options import AsJson
from api.cli.output import ExitCode, fail
from api.cli.statement_views import one_line, say_now, visible
from api.client import Client
from api.schemas.statements import (
    EndLine,
    EventLine,
    OutcomeLine,
    PositionLine,
    StatementLine,
    StreamLine,
)

_SHOWN = 200  # characters of a statement


def register(audit: typer.Typer) -> None:
    audit.command()(tail)


def tail(
    grant_id: OfGrant = None,
    session_id: OfSession = None,
    person: OfPerson = None,
    target: OfTarget = None,
    statements: Annotated[bool, typer.Option("--statements", help="No events.")] = False,
    events: Annotated[bool, typer.Option("--events", help="No statements.")] = False,
    after: Annotated[
        str | None, typer.Option(metavar="POSITION", help="Go on from there; not from now.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Wait for more, until Ctrl-C.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Print statements and audit events as they come."""
    what = What.ALL
    if statements != events:
        what = What.STATEMENTS if statements else What.EVENTS

    say = _say_as_json if as_json else _say

    async def listen(client: Client) -> EndLine:
        place, end = after, None
        while end is None or end.again:
            async for line in client.follow_record(
                what=what,
                grant_id=grant_id,
                session_id=session_id,
                person=person,
                target=target,
                after=place,
                follow=follow,
            ):
                match line:
                    case EndLine():
                        end = line
                        continue
                    case PositionLine():
                        place = line.after
                say(line)
        return end

    try:
        end = with_client(listen)
    except KeyboardInterrupt:
        return
    if follow:
        raise typer.Exit(fail(end.reason, ExitCode.ERROR))


def _say_as_json(line: StreamLine) -> None:
    say_now(line.model_dump_json())


def _say(line: StreamLine) -> None:
    if not isinstance(line, PositionLine):
        say_now(tail_line(line))


def tail_line(line: StreamLine) -> str:
    """Return one line for a terminal, whatever somebody has written."""
    match line:
        case StatementLine():
            at = line.started_at.astimezone(UTC)
            whose = f"{line.person or '?'} on {line.target or '?'}"
            said = [f"{line.protocol}", _became(line)]
            text = one_line(line.text, _SHOWN)
            tail_end = ", ".join(filter(None, said))
            return f"{at:%H:%M:%S.%f} {whose} {line.session_id} #{line.seq} {text} ({tail_end})"
        case OutcomeLine():
            whose = f"{line.person or '?'} on {line.target or '?'}"
            return f"{'':15} {whose} {line.session_id} #{line.seq} ({_became(line)})"
        case EventLine():
            at = line.at.astimezone(UTC)
            subject = line.session_id or line.grant_id or line.request_id or ""
            data = visible(json.dumps(line.data, ensure_ascii=False)) if line.data else ""
            parts = [f"{at:%H:%M:%S.%f}", line.actor, line.kind, subject, data]
            return " ".join(filter(None, parts))
        case PositionLine() | EndLine():
            return ""


def _became(line: StatementLine | OutcomeLine) -> str:
    if line.ending is None or line.duration_us is None:
        return "still runs"
    said = [line.tag or str(line.ending), line.sqlstate or "", f"{line.duration_us / 1000:.1f} ms"]
    return ", ".join(filter(None, said))
