"""People's commands: ask, decide, look, give back."""

from datetime import timedelta
from typing import Annotated

import typer

from api.cli.calling import wait_for_decision, with_client
from api.cli.options import AsJson, Database, For, GrantId, MaybeFor, Patience, Reason, RequestId
from api.cli.output import ExitCode, moment, out, print_json, print_table, time_left
from api.cli.views import names, print_decided, print_grant, print_request
from api.client import Client
from api.schemas import GrantView, RequestView
from broker.domain.duration import format_duration


def register(app: typer.Typer) -> None:
    for command in (request, approve, deny, cancel, ls, show, relinquish, revoke):
        app.command()(command)


def request(
    target: str,
    role: str,
    duration: For,
    reason: Reason = "",
    database: Database = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the decision.")] = False,
    timeout: Patience = timedelta(hours=1),
    as_json: AsJson = False,
) -> None:
    """Ask for a role on a target."""

    async def ask(client: Client) -> RequestView:
        view = await client.request(
            target, role, duration=duration, reason=reason, database=database
        )
        if wait:
            out.print(f"{view.id}: waiting for {names(view.approvers)} …") if not as_json else None
            view = await wait_for_decision(client, view, timeout)
        return view

    view = with_client(ask)
    if as_json:
        print_json(view)
    elif view.state == "pending":
        out.print(f"[bold]{view.id}[/] is pending until {moment(view.lapses_at)}.")
        out.print(f"Approvers: {names(view.approvers)}")
        out.print(f"They run: pgcurfew approve {view.id}")
    else:
        print_decided(view)
    if wait and view.grant_id is None:
        raise typer.Exit(ExitCode.DENIED)


def approve(
    request_id: RequestId,
    duration: MaybeFor = None,
    comment: Annotated[str, typer.Option("--comment")] = "",
    as_json: AsJson = False,
) -> None:
    """Approve a request, for as long as it asks or for --for."""

    async def decide(client: Client) -> GrantView:
        return await client.approve(request_id, duration=duration, comment=comment)

    print_grant(with_client(decide), as_json=as_json)


def deny(
    request_id: RequestId,
    reason: Annotated[str, typer.Option("--reason", help="Why not.")] = "",
    as_json: AsJson = False,
) -> None:
    """Deny a request."""

    async def decide(client: Client) -> RequestView:
        return await client.deny(request_id, reason=reason)

    print_request(with_client(decide), as_json=as_json)


def cancel(request_id: RequestId, as_json: AsJson = False) -> None:
    """Withdraw your own pending request."""

    async def withdraw(client: Client) -> RequestView:
        return await client.cancel(request_id)

    print_request(with_client(withdraw), as_json=as_json)


def ls(
    everything: Annotated[
        bool, typer.Option("--all", help="Ended grants and decided requests too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List your access, and what waits for your decision."""

    async def fetch(client: Client) -> tuple[list[GrantView], list[RequestView]]:
        requests = await client.list_requests(status=None if everything else "pending")
        grants = await client.list_grants()
        living = [each for each in grants.items if everything or each.state != "ended"]
        return living, list(requests.items)

    grants, requests = with_client(fetch)
    if as_json:
        print_json({"grants": grants, "requests": requests})
        return
    print_table(
        "Grants",
        ("id", "state", "person", "target", "role", "until"),
        [
            (
                each.id,
                each.state,
                each.person,
                each.target,
                each.role,
                each.end_reason or time_left(each.expires_at),
            )
            for each in grants
        ],
    )
    out.print()
    print_table(
        "Requests",
        ("id", "state", "requester", "target", "role", "for", "reason"),
        [
            (
                each.id,
                each.state,
                each.requester,
                each.target,
                each.role,
                format_duration(each.duration),
                each.reason,
            )
            for each in requests
        ],
    )


def show(
    some_id: Annotated[str, typer.Argument(metavar="ID", help="A request or a grant.")],
    as_json: AsJson = False,
) -> None:
    """Show a request or a grant with all that is known of it."""
    if some_id.startswith("grt_"):

        async def fetch_grant(client: Client) -> GrantView:
            return await client.get_grant(some_id)

        print_grant(with_client(fetch_grant), as_json=as_json)
        return

    async def fetch_request(client: Client) -> RequestView:
        return await client.get_request(some_id)

    print_request(with_client(fetch_request), as_json=as_json)


def relinquish(grant_id: GrantId, as_json: AsJson = False) -> None:
    """Give a grant back before its time."""

    async def give_back(client: Client) -> GrantView:
        return await client.relinquish(grant_id)

    print_grant(with_client(give_back), as_json=as_json)


def revoke(
    grant_id: GrantId,
    reason: Annotated[str, typer.Option("--reason", help="Why; the person reads it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Take a grant away, as one of its approvers."""

    async def take_away(client: Client) -> GrantView:
        return await client.revoke(grant_id, reason=reason)

    print_grant(with_client(take_away), as_json=as_json)
