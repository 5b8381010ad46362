"""Taking the secret of a grant, and connecting with it."""

import os
import shutil
import signal
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from api.cli.calling import wait_for_decision, wait_until_active, with_client
from api.cli.options import AsJson, Database, For, GrantId, Patience, Reason
from api.cli.output import ExitCode, fail, moment, out, print_fields, print_json, time_left
from api.cli.views import names, print_decided
from api.client import Client
from api.schemas import CredentialView


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
    root = _root_file(view)
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
    # The API's own line already says so where clients trust their system's store.
    out.print(view.psql if root == "system" else view.psql_trusting(root), markup=False)


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
            out.print(f"{asked.id}: waiting for {names(asked.approvers)} …")
            decided = await wait_for_decision(client, asked, timeout)
            if decided.grant_id is None:
                print_decided(decided)
                raise typer.Exit(ExitCode.DENIED)
            grant_id = decided.grant_id
            await wait_until_active(client, grant_id, timeout)
        return await client.hand_out(grant_id)

    view = with_client(obtain)
    # Ctrl-C belongs to psql, which cancels its query with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    command = [psql, *(arguments or [])]
    raise typer.Exit(subprocess.call(command, env=os.environ | _environment(view)))  # noqa: S603


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


def _root_file(view: CredentialView) -> str:
    """Keep the certificate that vouches for the proxy where libpq can read it."""
    if view.root_certificate in ("", "system"):
        return view.root_certificate
    folder = Path(typer.get_app_dir("pgcurfew"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{view.host.replace(':', '_')}-{view.port}.pem"
    path.write_text(view.root_certificate)
    return str(path)
