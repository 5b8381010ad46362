"""Operators' commands about bearer tokens. They work on the ledger itself: the first token cannot
come from an API that wants one."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, TypeVar

import typer

from api.cli.options import AsJson, MaybeFor
from api.cli.output import moment, out, print_json, print_table
from api.schemas import TokenView
from broker.assembly import open_broker
from broker.service.tokens import Tokens
from broker.settings import config_path, load_settings

app = typer.Typer(help="Bearer tokens for the API.", no_args_is_help=True)

Result = TypeVar("Result")


@app.command()
def create(
    email: str,
    lifetime: MaybeFor = None,
    label: Annotated[str, typer.Option("--label", help="What it is for.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a token for a person of identity.people, shown once; for 90 days unless --for says."""

    async def make(tokens: Tokens) -> TokenView:
        new = await tokens.create(
            email, label=label, lifetime=lifetime or timedelta(days=90), actor=_operator()
        )
        return TokenView.of(new.token, new.secret)

    view = _with_tokens(make)
    if as_json:
        print_json(view)
    else:
        out.print(f"{view.id} for {view.person}, until {moment(view.expires_at)}:", markup=False)
        out.print(view.token, markup=False)


@app.command()
def ls(as_json: AsJson = False) -> None:
    """List tokens, without their secrets, which nobody has any more."""

    async def fetch(tokens: Tokens) -> list[TokenView]:
        return [TokenView.of(each) for each in await tokens.list()]

    views = _with_tokens(fetch)
    if as_json:
        print_json(views)
        return
    print_table(
        "Tokens",
        ("id", "person", "label", "made", "until", "revoked"),
        [
            (
                each.id,
                each.person,
                each.label,
                moment(each.created_at),
                moment(each.expires_at),
                moment(each.revoked_at),
            )
            for each in views
        ],
    )


@app.command()
def revoke(token_id: Annotated[str, typer.Argument(metavar="TOKEN")]) -> None:
    """Make a token useless."""

    async def end(tokens: Tokens) -> TokenView:
        return TokenView.of(await tokens.revoke(token_id, actor=_operator()))

    view = _with_tokens(end)
    out.print(f"{view.id} of {view.person} is revoked.", markup=False)


def _with_tokens(use: Callable[[Tokens], Awaitable[Result]]) -> Result:
    config = config_path()

    async def run() -> Result:
        async with open_broker(load_settings(config), config) as broker:
            return await use(broker.tokens)

    return asyncio.run(run())


def _operator() -> str:
    """Name who works on the ledger's machine, for the audit trail."""
    return f"operator:{getpass.getuser()}"
