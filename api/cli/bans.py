"""Operators' commands about bans: whom wrong secrets have shut out. They work on the ledger."""

from typing import Annotated

import typer

from api.cli.operating import operator, with_broker
from api.cli.options import AsJson
from api.cli.output import moment, out, print_json, print_table
from api.schemas import BanView
from broker.service.broker import Broker

app = typer.Typer(help="Addresses and user names shut out by wrong secrets.", no_args_is_help=True)


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="bans")


@app.command()
def ls(as_json: AsJson = False) -> None:
    """List the bans in force."""

    async def fetch(broker: Broker) -> list[BanView]:
        return [BanView.of(each) for each in await broker.bans.list()]

    views = with_broker(fetch)
    if as_json:
        print_json(views)
        return
    print_table(
        "Bans",
        ("key", "wrong secrets", "until"),
        [(each.key, str(each.failures), moment(each.until)) for each in views],
    )


@app.command()
def lift(
    words: Annotated[
        list[str], typer.Argument(metavar="KEY", help="As listed: address 192.0.2.7, login NAME.")
    ],
) -> None:
    """End a ban before its time, on every proxy."""
    key = " ".join(words)

    async def end(broker: Broker) -> None:
        await broker.bans.lift(key, actor=operator())

    with_broker(end)
    out.print(f"The ban of {key} is lifted.", markup=False)
