"""Sealed tickets. Operators seal, list and revoke them, on the ledger itself; whoever holds one
uses it with nothing but its file."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.libpq import libpq_environment
from api.cli.operating import operator, with_broker
from api.cli.options import AsJson, Database, For, duration_option, network_option
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
from api.cli.ticket_file import TicketFile, new_private_file, read_ticket_file
from api.schemas import TicketView
from broker.config.settings import config_path, load_settings
from broker.domain.duration import format_duration, iso_duration
from broker.domain.ticket import NotGenuine, Ticket, read_unverified
from broker.endpoints import read_ticket_key
from broker.service.broker import Broker
from broker.service.sealing import NewTicket, Order

app = typer.Typer(
    help="Sealed tickets: access for when everything else is down.", no_args_is_help=True
)


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="break-glass")


TicketPath = Annotated[Path, typer.Argument(metavar="FILE", help="The ticket.")]
_FROM = network_option("From where it may be used; all of the internet is 0.0.0.0/0 and ::/0.")


@app.command()
def seal(
    target: str,
    role: str,
    person: Annotated[
        str, typer.Option("--for-person", metavar="EMAIL", help="Who is to hold it.")
    ],
    networks: Annotated[list[Any], _FROM],
    access: For = timedelta(hours=2),
    validity: Annotated[
        timedelta, duration_option("--valid", "Within which its first use must come.")
    ] = timedelta(days=90),
    database: Database = None,
    file: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to put it; else it is printed."),
    ] = None,
) -> None:
    """Seal a ticket for a role, and make its login now. It is shown once.

    Its holder then gets in through a proxy that accepts tickets, even with broker and ledger down:
    once, for as long as --for says from the first connection on.
    """
    config = config_path()
    sign = read_ticket_key(load_settings(config), config)
    order = Order(
        person=person,
        target=target,
        role=role,
        database=database,
        networks=tuple(dict.fromkeys(networks)),
        access=access,
        validity=validity,
    )

    async def make(broker: Broker) -> NewTicket:
        return await broker.sealing.seal(order, sign, actor=operator())

    with nullcontext(sys.stdout) if file is None else new_private_file(file) as place:
        new = with_broker(make)
        place.write(TicketFile.of(new).text())
    ticket = new.ticket
    print(  # noqa: T201
        f"{ticket.id}: {ticket.role} on {ticket.target} for {ticket.person}, until "
        f"{moment(ticket.expires)}. Nobody can show it again: keep it where only they find it.",
        file=sys.stderr,
    )


@app.command()
def ls(as_json: AsJson = False) -> None:
    """List tickets, without their secrets, which nobody has but their holders."""

    async def fetch(broker: Broker) -> list[TicketView]:
        return [TicketView.of(each) for each in await broker.tickets.list()]

    views = with_broker(fetch)
    if as_json:
        print_json(views)
        return
    print_table(
        "Tickets",
        ("id", "person", "target", "role", "grant", "state", "key", "until", "used", "from"),
        [
            (
                each.id,
                each.person,
                each.target,
                each.role,
                each.grant_id,
                each.state,
                each.key_id,
                moment(each.expires_at),
                moment(each.used_at),
                each.used_from or "",
            )
            for each in views
        ],
    )


@app.command()
def revoke(
    ticket_id: Annotated[str, typer.Argument(metavar="TICKET")],
    reason: Annotated[str, typer.Option("--reason", help="Why.")] = "",
) -> None:
    """Remove a ticket's login, so that the ticket opens nothing, whoever holds it."""

    async def end(broker: Broker) -> TicketView:
        ended = await broker.tickets.revoke(ticket_id, actor=operator(), reason=reason)
        return TicketView.of(ended)

    view = with_broker(end)
    out.print(f"{view.id} of {view.person} is revoked; grant {view.grant_id} is {view.state}.")


@app.command()
def show(file: TicketPath, as_json: AsJson = False) -> None:
    """Say what is in a ticket. Works with everything down; whether it still opens is for the proxy
    to say."""
    ticket_file = read_ticket_file(file)
    ticket = _ticket_in(ticket_file, file)
    fields = [
        ("ticket", ticket.id),
        ("grant", ticket.grant_id),
        ("person", ticket.person),
        ("target", ticket.target),
        ("database", ticket.database),
        ("role", ticket.role),
        ("login", ticket.login),
        ("from", ", ".join(map(str, ticket.networks))),
        ("valid from", moment(ticket.not_before)),
        ("valid until", f"{moment(ticket.expires)} ({time_left(ticket.expires)})"),
        ("access", f"{format_duration(ticket.access)} from the first connection on"),
        ("proxy", f"{ticket_file.host} port {ticket_file.port}"),
        ("proxy key", ticket.key_id),
    ]
    if as_json:
        print_json(_plain(ticket, ticket_file))
    else:
        print_fields(fields)


@app.command(context_settings={"ignore_unknown_options": True})
def use(
    file: TicketPath,
    only_print: Annotated[
        bool, typer.Option("--print", help="Print what to connect with instead.")
    ] = False,
    host: Annotated[
        str | None, typer.Option("--host", help="Another name or address of the proxy.")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="Another port of it.")] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Another certificate to trust it through.",
        ),
    ] = None,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="-- PSQL ARGUMENTS", show_default=False)
    ] = None,
) -> None:
    """Run psql with a ticket. Asks nobody but the proxy. The first connection starts the clock."""
    ticket_file = read_ticket_file(file)
    ticket = _ticket_in(ticket_file, file)
    changes = {"host": host, "port": port, "root_certificate": root.read_text() if root else None}
    ticket_file = ticket_file.model_copy(
        update={name: value for name, value in changes.items() if value is not None}
    )
    environment = libpq_environment(ticket_file)
    if only_print:
        for name, value in environment.items():
            print(f"export {name}={shlex.quote(value)}")  # noqa: T201
        return
    if ticket.expires <= datetime.now(UTC):
        fail(f"{ticket.id} was valid until {moment(ticket.expires)}; trying anyway", ExitCode.ERROR)
    psql = shutil.which("psql")
    if psql is None:
        raise typer.Exit(fail("psql is not installed; use --print", ExitCode.ERROR))
    # Ctrl-C belongs to psql, which cancels its query with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    command = [psql, *(arguments or [])]
    raise typer.Exit(subprocess.call(command, env=os.environ | environment))  # noqa: S603


def _ticket_in(ticket_file: TicketFile, path: Path) -> Ticket:
    found = read_unverified(ticket_file.user)
    if isinstance(found, NotGenuine):
        raise typer.Exit(fail(f"{path} holds no ticket: {found.why}", ExitCode.DENIED))
    return found


def _plain(ticket: Ticket, ticket_file: TicketFile) -> dict[str, Any]:
    return {
        "id": ticket.id,
        "grant_id": ticket.grant_id,
        "person": ticket.person,
        "target": ticket.target,
        "database": ticket.database,
        "role": ticket.role,
        "login": ticket.login,
        "networks": ticket.networks,
        "not_before": ticket.not_before,
        "expires_at": ticket.expires,
        "access": iso_duration(ticket.access),
        "key_id": ticket.key_id,
        "host": ticket_file.host,
        "port": ticket_file.port,
    }
