"""Operators' commands about bearer tokens. They work on the ledger itself: the first token cannot
come from an API that wants one."""

from typing import Annotated

import typer

from api.cli.operating import operator, with_broker
from api.cli.options import AsJson, MaybeFor
from api.cli.output import moment, out, print_json, print_table
from api.schemas import TokenView
from broker.config.identity import SERVICE
from broker.domain.authorization import Action
from broker.domain.identity.workload import machine_email
from broker.service.broker import Broker

app = typer.Typer(help="Bearer tokens for the API.", no_args_is_help=True)


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="token")


@app.command()
def create(
    holder: Annotated[str, typer.Argument(metavar="EMAIL", help="Of whom; or a machine's name.")],
    lifetime: MaybeFor = None,
    label: Annotated[str, typer.Option("--label", help="What it is for.")] = "",
    scope: Annotated[
        list[Action] | None,
        typer.Option("--scope", help="What it is good for. May be repeated; default: everything."),
    ] = None,
    service: Annotated[
        bool, typer.Option("--service", help="For a machine of identity.machines.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a token for a person or a machine, shown once; for 90 days unless --for says."""
    email = machine_email(holder, SERVICE) if service and "@" not in holder else holder

    async def make(broker: Broker) -> TokenView:
        new = await broker.tokens.create(
            email,
            label=label,
            lifetime=lifetime,
            actor=operator(),
            scopes=frozenset(scope) if scope else None,
        )
        return TokenView.of(new.token, new.secret)

    view = with_broker(make)
    if as_json:
        print_json(view)
    else:
        out.print(f"{view.id} for {view.person}, until {moment(view.expires_at)}:", markup=False)
        out.print(view.token, markup=False)


@app.command()
def ls(as_json: AsJson = False) -> None:
    """List tokens, without their secrets, which nobody has any more."""

    async def fetch(broker: Broker) -> list[TokenView]:
        return [TokenView.of(each) for each in await broker.tokens.list()]

    views = with_broker(fetch)
    if as_json:
        print_json(views)
        return
    print_table(
        "Tokens",
        ("id", "of", "kind", "good for", "label", "made", "by", "until", "last used", "revoked"),
        [
            (
                each.id,
                each.person,
                each.kind,
                "everything" if each.scopes is None else " ".join(each.scopes),
                each.label,
                moment(each.created_at),
                each.created_by,
                moment(each.expires_at),
                moment(each.last_used_at),
                moment(each.revoked_at),
            )
            for each in views
        ],
    )


@app.command()
def revoke(token_id: Annotated[str, typer.Argument(metavar="TOKEN")]) -> None:
    """Make a token useless."""

    async def end(broker: Broker) -> TokenView:
        return TokenView.of(await broker.tokens.revoke(token_id, actor=operator()))

    view = with_broker(end)
    out.print(f"{view.id} of {view.person} is revoked.", markup=False)
