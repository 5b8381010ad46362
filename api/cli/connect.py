"""Taking the secret of a grant, and connecting with it."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import typer

from api.cli.calling import wait_for_decision, wait_until_active, with_client
from api.cli.libpq import libpq_environment, root_file
from api.cli.options import AsJson, Database, GrantId, MaybeFor, Patience, Reason
from api.cli.output import ExitCode, fail, moment, out, print_fields, print_json, time_left
from api.cli.views import names, print_decided
from api.client import Client
from api.schemas import CredentialView, RequestView
from broker.domain.grant import GrantState


def register(app: typer.Typer) -> None:
    app.command()(credential)
    app.command(context_settings={"ignore_unknown_options": True})(connect)


def credential(grant_id: GrantId, as_json: AsJson = False) -> None:
    """Get the secret of a grant, shown once. An earlier one stops working."""

    async def hand_out(client: Client) -> CredentialView:
        return await client.hand_out(grant_id)

    view = with_client(hand_out)
    if as_json:
        print_json(view)
        return
    root = root_file(view)
    print_fields(
        [
            ("host", view.host),
            ("port", str(view.port)),
            ("user", view.user),
            ("password", view.password),
            ("dbname", view.dbname),
            ("sslmode", view.sslmode),
            ("sslrootcert", root),
            ("until", f"{moment(view.expires_at)} ({time_left(view.expires_at)})"),
        ]
    )
    out.print()
    out.print(
        f"For saved connections: user {view.stable_user}, always leads to your living grant",
        markup=False,
    )
    out.print()
    # The API's own line already says so where clients trust their system's store.
    out.print(view.psql if root == "system" else view.psql_trusting(root), markup=False)


def connect(
    target: str,
    role: str,
    duration: MaybeFor = None,
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
            grant_id = await wait_for_grant(client, asked, timeout, tell=out.print)
        return await client.hand_out(grant_id)

    view = with_client(obtain)
    # Ctrl-C belongs to psql, which cancels its query with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    command = [psql, *(arguments or [])]
    raise typer.Exit(subprocess.call(command, env=os.environ | libpq_environment(view)))  # noqa: S603


async def wait_for_grant(
    client: Client, asked: RequestView, timeout: timedelta, *, tell: Callable[[str], None]
) -> str:
    """Wait until a request is approved and what it gives is there, or end the command. Returns the
    grant's id."""
    if asked.state == "pending":
        tell(f"{asked.id}: waiting for {names(asked.approvers)} …")
    decided = await wait_for_decision(client, asked, timeout)
    if decided.grant_id is None:
        print_decided(decided)
        raise typer.Exit(ExitCode.DENIED)
    await wait_until_active(client, decided.grant_id, timeout)
    return decided.grant_id


async def _live_grant(client: Client, target: str, role: str, database: str | None) -> str | None:
    for state in (GrantState.ACTIVE, GrantState.WAITING):
        for grant in (await client.list_grants(status=state, mine=True)).items:
            fits = (grant.target, grant.role) == (target, role)
            if fits and not grant.sealed and database in (None, grant.database):
                return grant.id
    return None
