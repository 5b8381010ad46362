"""People's commands about sessions: who is connected, and putting an end to it."""

from dataclasses import dataclass
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
from api.client import ApiError, Client
from api.schemas import Page, SessionView

app = typer.Typer(help="Connections through the proxy.", no_args_is_help=True)


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="sessions")


_MOST = 500
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
def show(session_id: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJson = False) -> None:
    """Show a session."""

    async def fetch(client: Client) -> SessionView:
        return await client.get_session(session_id)

    view = with_client(fetch)
    if as_json:
        print_json(view)
        return
    print_fields(
        [
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
            ("from client", _bytes(view.bytes_from_client)),
            ("to client", _bytes(view.bytes_to_client)),
        ]
    )


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
        ("id", "person", "target", "role", "address", "application", "began", "state"),
        [
            (
                each.id,
                each.person,
                each.target,
                each.role,
                each.client_address,
                each.client_application,
                moment(each.started_at),
                _state(each),
            )
            for each in views
        ],
    )


def _state(view: SessionView) -> str:
    if view.ended_at is not None:
        return view.end_reason or "ended"
    return f"being ended by {view.killed_by}" if view.killed_by else "open"


def _bytes(count: int | None) -> str:
    return "" if count is None else f"{count:,} bytes"
