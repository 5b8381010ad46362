"""People's commands about sessions: who is connected, and putting an end to it."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

import typer

from api.cli.calling import with_client
from api.cli.options import AsJson
from api.cli.output import (
    ExitCode,
    exit_code,
    fail,
    moment,
    out,
    print_fields,
    print_json,
    print_table,
)
from api.cli.statement_views import one_line, replay_lines, say_now, timeline_line, visible
from api.client import ApiError, Client
from api.schemas import Page, SessionView

app = typer.Typer(help="Connections through the proxy.", no_args_is_help=True)


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="sessions")


_MOST = 500
_SHOWN = 60  # characters of a statement in a list
_Id = Annotated[str, typer.Argument(metavar="ID")]
_OfGrant = Annotated[
    str | None, typer.Option("--grant", metavar="GRANT", help="Only those of this grant.")
]


@app.command()
def ls(
    grant_id: _OfGrant = None,
    everything: Annotated[
        bool, typer.Option("--all/--open", help="Ended ones too, or only those that are open.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List your sessions and those of grants that you approve, newest first."""

    async def fetch(client: Client) -> Page[SessionView]:
        status = None if everything else "open"
        return await client.list_sessions(grant_id=grant_id, status=status, limit=_MOST)

    page = with_client(fetch)
    if as_json:
        print_json(page.items)
        return
    _print_sessions(page.items)
    if page.next is not None:
        out.print(f"These are the newest {_MOST}; there are more.")


@app.command()
def show(session_id: _Id, as_json: AsJson = False) -> None:
    """Show a session, and what it did, statement by statement."""

    async def fetch(client: Client) -> SessionView:
        return await client.get_session(session_id)

    view = with_client(fetch)
    if as_json:
        print_json(view)
        return
    print_fields(_fields(view))
    if view.statements:
        with_client(lambda client: _print_timeline(client, view))


@app.command()
def replay(
    session_id: _Id,
    speed: Annotated[
        float, typer.Option(min=0, help="So many times faster than it was; 0 is all at once.")
    ] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Print what a session did as it went on, as from a recording."""

    async def play(client: Client) -> None:
        began = (await client.get_session(session_id)).started_at
        waited = timedelta(0)
        async for each in client.read_statements(session_id):
            offset = max(each.started_at - began, waited)
            if speed:
                await asyncio.sleep((offset - waited).total_seconds() / speed)
            waited = offset
            say_now(each.model_dump_json() if as_json else replay_lines(each, began))

    with_client(play)


def _fields(view: SessionView) -> list[tuple[str, str]]:
    running = view.current_statement
    runs = "" if running is None else f"{visible(running.text)} (for {running.for_s:.0f} s)"
    return [
        ("session", view.id),
        ("state", _state(view)),
        ("person", view.person),
        ("grant", view.grant_id),
        ("target", view.target),
        ("database", view.database),
        ("role", view.role),
        ("address", view.client_address),
        ("application", view.client_application),
        ("certificate", view.client_certificate or ""),
        ("began", moment(view.started_at)),
        ("ended", moment(view.ended_at)),
        ("killed by", view.killed_by or ""),
        ("statements", _count(view.statements)),
        ("rows", _count(view.rows)),
        ("from client", _bytes(view.bytes_from_client)),
        ("to client", _bytes(view.bytes_to_client)),
        ("runs now", runs),
    ]


async def _print_timeline(client: Client, view: SessionView) -> None:
    say_now("")
    async for each in client.read_statements(view.id):
        say_now(timeline_line(each, view.started_at))


@app.command()
def kill(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", show_default=False)] = None,
    grant_id: Annotated[
        str | None, typer.Option("--grant", metavar="GRANT", help="All that it has open.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """End sessions: your own, or as an approver. Their grant lives on."""
    if bool(ids) == (grant_id is not None):
        raise typer.Exit(fail("name sessions, or a grant with --grant", ExitCode.DENIED))

    async def end(client: Client) -> _Killed:
        if grant_id is not None:
            return _Killed((await client.kill_sessions(grant_id)).items)
        return await _kill_each(client, ids or [])

    killed = with_client(end)
    if as_json:
        print_json(killed.views)
    elif killed.views or grant_id is not None:
        _print_sessions(killed.views)
    raise typer.Exit(killed.code)


@dataclass(frozen=True, slots=True)
class _Killed:
    """What was ended, and the exit code of the first that was not."""

    views: tuple[SessionView, ...]
    code: int = ExitCode.DONE


async def _kill_each(client: Client, ids: list[str]) -> _Killed:
    """End what can be ended, and say what cannot."""
    views: list[SessionView] = []
    codes: list[int] = []
    for each in ids:
        try:
            views.append(await client.kill_session(each))
        except ApiError as error:
            codes.append(fail(str(error), exit_code(error)))
    return _Killed(tuple(views), codes[0] if codes else ExitCode.DONE)


def _print_sessions(views: tuple[SessionView, ...]) -> None:
    print_table(
        "Sessions",
        (
            *("id", "person", "grant", "target", "role", "address", "application", "began"),
            *("state", "statements", "rows", "sent", "runs now"),
        ),
        [
            (
                each.id,
                each.person,
                each.grant_id,
                each.target,
                each.role,
                each.client_address,
                each.client_application,
                moment(each.started_at),
                _state(each),
                _count(each.statements),
                _count(each.rows),
                _bytes(each.bytes_to_client),
                _current(each),
            )
            for each in views
        ],
    )


def _state(view: SessionView) -> str:
    if view.ended_at is not None:
        return view.end_reason or "ended"
    return f"being ended by {view.killed_by}" if view.killed_by else "open"


def _current(view: SessionView) -> str:
    running = view.current_statement
    if running is None:
        return ""
    return f"{one_line(running.text, _SHOWN)} ({running.for_s:.0f} s)"


def _count(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _bytes(count: int | None) -> str:
    return "" if count is None else f"{count:,} bytes"
