"""Approvers' commands about what they agree to beforehand."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from api.cli.calling import with_client
from api.cli.options import AsJson, Database, For, parse_moment
from api.cli.output import moment, out, print_json, print_table
from api.client import Client
from api.schemas import AllowanceView
from broker.domain.duration import format_duration

app = typer.Typer(help="Approvals in advance, for a window of time.", no_args_is_help=True)


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="allowance")


_Moment = Annotated[
    datetime | None,
    typer.Option(parser=parse_moment, metavar="TIME", help="2026-01-31T18:00+01:00, or now."),
]


@app.command()
def create(
    person: Annotated[str, typer.Argument(metavar="EMAIL")],
    target: str,
    role: str,
    duration: For,
    starts_at: _Moment = None,
    ends_at: _Moment = None,
    database: Database = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept.")] = "",
    as_json: AsJson = False,
) -> None:
    """Agree to whatever this person asks for until --ends-at (a day from the start), for at most
    --for each time."""

    async def make(client: Client) -> AllowanceView:
        start = starts_at or datetime.now(UTC)
        return await client.allow(
            person,
            target,
            role,
            duration=duration,
            starts_at=starts_at,
            ends_at=ends_at or start + timedelta(days=1),
            database=database,
            reason=reason,
        )

    view = with_client(make)
    if as_json:
        print_json(view)
    else:
        _print((view,))


@app.command()
def ls(
    everything: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List allowances: yours, those for you, and those of policies that you approve."""

    async def fetch(client: Client) -> tuple[AllowanceView, ...]:
        return (await client.list_allowances(status="all" if everything else "living")).items

    views = with_client(fetch)
    if as_json:
        print_json(views)
    else:
        _print(views)


@app.command()
def revoke(
    allowance_id: Annotated[str, typer.Argument(metavar="ALLOWANCE")], as_json: AsJson = False
) -> None:
    """Take an allowance back. What was given under it goes on."""

    async def end(client: Client) -> AllowanceView:
        return await client.revoke_allowance(allowance_id)

    view = with_client(end)
    if as_json:
        print_json(view)
    else:
        out.print(f"{view.id} is revoked.", markup=False)


def _print(views: tuple[AllowanceView, ...]) -> None:
    print_table(
        "Allowances",
        ("id", "person", "target", "role", "for", "from", "until", "by"),
        [
            (
                each.id,
                each.person,
                each.target,
                each.role,
                format_duration(each.duration),
                moment(each.starts_at),
                moment(each.revoked_at or each.ends_at),
                each.approver,
            )
            for each in views
        ],
    )
