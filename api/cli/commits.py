"""People's commands about commits that are held until somebody confirms them."""

from typing import Annotated

import typer

from api.cli.calling import with_client
from api.cli.options import AsJson
from api.cli.output import moment, out, print_json, print_table, time_left
from api.client import Client
from api.schemas import HeldCommitView, Page

app = typer.Typer(help="Transactions that wait for a confirmation.", no_args_is_help=True)
_MOST = 500
_HeldId = Annotated[str, typer.Argument(metavar="ID")]


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="commits")


@app.command()
def ls(
    everything: Annotated[bool, typer.Option("--all", help="Those that are decided, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List those of your sessions, and of grants that you approve, newest first."""

    async def fetch(client: Client) -> Page[HeldCommitView]:
        return await client.list_held_commits(status="all" if everything else "open", limit=_MOST)

    page = with_client(fetch)
    if as_json:
        print_json(page.items)
        return
    _print(page.items)
    if page.next is not None:
        out.print(f"These are the newest {_MOST}; there are more.")


@app.command()
def confirm(held_id: _HeldId, as_json: AsJson = False) -> None:
    """Let it commit."""

    async def decide(client: Client) -> HeldCommitView:
        return await client.confirm_commit(held_id)

    _tell(with_client(decide), as_json=as_json)


@app.command("roll-back")
def roll_back(held_id: _HeldId, as_json: AsJson = False) -> None:
    """Have it rolled back."""

    async def decide(client: Client) -> HeldCommitView:
        return await client.roll_back_commit(held_id)

    _tell(with_client(decide), as_json=as_json)


def _tell(view: HeldCommitView, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
    else:
        _print((view,))


def _print(views: tuple[HeldCommitView, ...]) -> None:
    print_table(
        "Held commits",
        ("id", "person", "target", "role", "rows", "session", "held", "waits for", "state"),
        [
            (
                each.id,
                each.person,
                each.target,
                each.role,
                f"{each.rows:,}",
                each.session_id,
                moment(each.held_at),
                "an approver" if each.by_approver else each.person,
                _state(each),
            )
            for each in views
        ],
    )


def _state(view: HeldCommitView) -> str:
    if view.decision is None:
        return f"waits: {time_left(view.ends_at)}"
    return f"{view.decision} by {view.decided_by}" if view.decided_by else view.decision
