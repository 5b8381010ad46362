"""People's commands: ask, decide, connect, give back."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from api.cli.output import (
    ExitCode,
    fail,
    moment,
    out,
    print_fields,
    print_json,
    print_table,
    time_left,
)
from api.client import Client, open_client
from api.schemas import CredentialView, GrantView, RequestView
from broker.domain.duration import format_duration, parse_duration
from broker.domain.errors import InvalidDuration

_DEFAULT_URL = "http://127.0.0.1:7480"
_POLL_S = 1.0

Result = TypeVar("Result")


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


def register(app: typer.Typer) -> None:
    for command in (request, approve, deny, cancel, ls, show, credential, relinquish, revoke):
        app.command()(command)
    app.command(context_settings={"ignore_unknown_options": True})(connect)


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
            out.print(f"{view.id}: waiting for {_names(view.approvers)} …") if not as_json else None
            view = await _wait_for_decision(client, view, timeout)
        return view

    view = _with_client(ask)
    if as_json:
        print_json(view)
    elif view.state == "pending":
        out.print(f"[bold]{view.id}[/] is pending until {moment(view.lapses_at)}.")
        out.print(f"Approvers: {_names(view.approvers)}")
        out.print(f"They run: pgcurfew approve {view.id}")
    else:
        _print_decided(view)
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

    _print_grant(_with_client(decide), as_json=as_json)


def deny(
    request_id: RequestId,
    reason: Annotated[str, typer.Option("--reason", help="Why not.")] = "",
    as_json: AsJson = False,
) -> None:
    """Deny a request."""

    async def decide(client: Client) -> RequestView:
        return await client.deny(request_id, reason=reason)

    _print_request(_with_client(decide), as_json=as_json)


def cancel(request_id: RequestId, as_json: AsJson = False) -> None:
    """Withdraw your own pending request."""

    async def withdraw(client: Client) -> RequestView:
        return await client.cancel(request_id)

    _print_request(_with_client(withdraw), as_json=as_json)


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

    grants, requests = _with_client(fetch)
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

        _print_grant(_with_client(fetch_grant), as_json=as_json)
        return

    async def fetch_request(client: Client) -> RequestView:
        return await client.get_request(some_id)

    _print_request(_with_client(fetch_request), as_json=as_json)


def credential(grant_id: GrantId, as_json: AsJson = False) -> None:
    """Get the secret of a grant, shown once. An earlier one stops working."""

    async def hand_out(client: Client) -> CredentialView:
        return await client.hand_out(grant_id)

    view = _with_client(hand_out)
    if as_json:
        print_json(view)
        return
    options = _root_option(view)
    print_fields(
        [
            ("host", view.host),
            ("port", str(view.port)),
            ("user", view.user),
            ("password", view.password),
            ("dbname", view.dbname),
            ("sslmode", view.sslmode),
            ("sslrootcert", options.rpartition("=")[2]),
            ("until", f"{moment(view.expires_at)} ({time_left(view.expires_at)})"),
        ]
    )
    out.print()
    out.print(view.psql.removesuffix("'") + options + "'", markup=False)


def connect(
    target: str,
    role: str,
    duration: For = timedelta(hours=1),
    reason: Reason = "",
    database: Database = None,
    timeout: Patience = timedelta(hours=1),
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="-- PSQL ARGUMENTS", show_default=False)
    ] = None,
) -> None:
    """Run psql with a live grant; ask for one and wait for its approval if needed."""
    psql = shutil.which("psql")
    if psql is None:
        raise typer.Exit(fail("psql is not installed; use pgcurfew credential", ExitCode.ERROR))

    async def obtain(client: Client) -> CredentialView:
        grant_id = await _live_grant(client, target, role, database)
        if grant_id is None:
            asked = await client.request(
                target, role, duration=duration, reason=reason, database=database
            )
            out.print(f"{asked.id}: waiting for {_names(asked.approvers)} …")
            decided = await _wait_for_decision(client, asked, timeout)
            if decided.grant_id is None:
                _print_decided(decided)
                raise typer.Exit(ExitCode.DENIED)
            grant_id = decided.grant_id
            await _wait_until_active(client, grant_id, timeout)
        return await client.hand_out(grant_id)

    view = _with_client(obtain)
    # Ctrl-C belongs to psql, which cancels its query with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    command = [psql, *(arguments or [])]
    raise typer.Exit(subprocess.call(command, env=os.environ | _environment(view)))  # noqa: S603


def relinquish(grant_id: GrantId, as_json: AsJson = False) -> None:
    """Give a grant back before its time."""

    async def give_back(client: Client) -> GrantView:
        return await client.relinquish(grant_id)

    _print_grant(_with_client(give_back), as_json=as_json)


def revoke(
    grant_id: GrantId,
    reason: Annotated[str, typer.Option("--reason", help="Why; the person reads it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Take a grant away, as one of its approvers."""

    async def take_away(client: Client) -> GrantView:
        return await client.revoke(grant_id, reason=reason)

    _print_grant(_with_client(take_away), as_json=as_json)


def _with_client(use: Callable[[Client], Awaitable[Result]]) -> Result:
    """Run `use` against the API that the environment names."""
    token = os.environ.get("PGCURFEW_TOKEN", "")
    if not token:
        raise typer.Exit(
            fail(
                "PGCURFEW_TOKEN is not set; an operator makes one with: "
                "pgcurfew token create YOUR-EMAIL",
                ExitCode.DENIED,
            )
        )

    async def run() -> Result:
        async with open_client(os.environ.get("PGCURFEW_URL") or _DEFAULT_URL, token) as client:
            return await use(client)

    return asyncio.run(run())


async def _wait_for_decision(client: Client, view: RequestView, timeout: timedelta) -> RequestView:
    async def until_decided() -> RequestView:
        while (now := await client.get_request(view.id)).state == "pending":
            await asyncio.sleep(_POLL_S)
        return now

    return await _in_time(until_decided(), timeout, f"{view.id} is still pending")


async def _wait_until_active(client: Client, grant_id: str, timeout: timedelta) -> None:
    async def until_active() -> None:
        while (await client.get_grant(grant_id)).state == "provisioning":
            await asyncio.sleep(_POLL_S)

    await _in_time(until_active(), timeout, f"{grant_id} is still being provisioned")


async def _in_time(step: Awaitable[Result], timeout: timedelta, otherwise: str) -> Result:
    try:
        return await asyncio.wait_for(step, timeout.total_seconds())
    except TimeoutError:
        raise typer.Exit(fail(otherwise, ExitCode.TIMED_OUT)) from None


async def _live_grant(client: Client, target: str, role: str, database: str | None) -> str | None:
    for grant in (await client.list_grants(status="active", mine=True)).items:
        fits = (grant.target, grant.role) == (target, role)
        if fits and database in (None, grant.database):
            return grant.id
    return None


def _environment(view: CredentialView) -> dict[str, str]:
    """Return libpq's variables. https://www.postgresql.org/docs/current/libpq-envars.html"""
    environment = {
        "PGHOST": view.host,
        "PGPORT": str(view.port),
        "PGUSER": view.user,
        "PGPASSWORD": view.password,
        "PGDATABASE": view.dbname,
        "PGSSLMODE": view.sslmode,
    }
    if root := _root_file(view):
        environment["PGSSLROOTCERT"] = root
    return environment


def _root_option(view: CredentialView) -> str:
    root = _root_file(view)
    return f"&sslrootcert={root}" if root and root != "system" else ""


def _root_file(view: CredentialView) -> str:
    """Keep the certificate that vouches for the proxy where libpq can read it."""
    if view.root_certificate in ("", "system"):
        return view.root_certificate
    folder = Path(typer.get_app_dir("pgcurfew"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{view.host.replace(':', '_')}-{view.port}.pem"
    path.write_text(view.root_certificate)
    return str(path)


def _print_decided(view: RequestView) -> None:
    said = [each.comment for each in view.decisions or () if each.comment]
    because = f": {said[-1]}" if said else ""
    out.print(f"{view.id} is {view.state}{because}", markup=False)
    if view.grant_id:
        out.print(f"Next: pgcurfew credential {view.grant_id}")


def _print_request(view: RequestView, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    print_fields(
        [
            ("request", view.id),
            ("state", view.state),
            ("requester", view.requester),
            ("target", view.target),
            ("database", view.database),
            ("role", view.role),
            ("for", format_duration(view.duration)),
            ("reason", view.reason),
            ("from", view.source or ""),
            ("policy", view.policy),
            ("approvers", _names(view.approvers)),
            ("made", moment(view.created_at)),
            (
                "lapses" if view.closed_at is None else "closed",
                moment(view.closed_at or view.lapses_at),
            ),
            ("grant", view.grant_id or ""),
        ]
        + [
            (each.verdict, f"by {each.by} at {moment(each.at)} {each.comment}".strip())
            for each in view.decisions or ()
        ]
    )


def _print_grant(view: GrantView, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    ended = view.state in ("revoking", "ended")
    left = "" if ended else f" ({time_left(view.expires_at)})"
    how = f"{view.end_reason} by {view.ended_by}" if view.ended_by else view.end_reason or ""
    print_fields(
        [
            ("grant", view.id),
            ("state", view.state),
            ("person", view.person),
            ("target", view.target),
            ("database", view.database),
            ("role", view.role),
            ("login", view.login),
            ("until", moment(view.expires_at) + left),
            ("end", how),
            ("because", view.end_comment or ""),
            ("gone", moment(view.ended_at)),
            ("problem", view.last_error or ""),
        ]
    )
    if view.state == "active":
        out.print(f"\nNext: pgcurfew credential {view.id}")


def _names(approvers: tuple[str, ...] | None) -> str:
    return ", ".join(approvers or ()) or "nobody: the policy is gone"
