"""Operators' commands about the record: does it still say what was written?"""

import typer

from api.cli.operating import with_broker
from api.cli.options import AsJson
from api.cli.output import ExitCode, out, print_json
from broker.service.broker import Broker
from broker.service.receipts import Chain

app = typer.Typer(help="The record.", no_args_is_help=True)


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="audit")


@app.callback()
def record() -> None:
    """Keep `verify` a command of its own, though it is the only one."""


@app.command()
def verify(as_json: AsJson = False) -> None:
    """Check every receipt against its hash and the one before it."""

    async def check(broker: Broker) -> Chain:
        return await broker.receipts.check_chain()

    chain = with_broker(check)
    broken = chain.broken
    if as_json:
        print_json({"receipts": chain.receipts, "broken": broken.why if broken else None})
    elif broken is None:
        out.print(f"{chain.receipts} receipts: the chain holds.")
    else:
        out.print(f"The chain of receipts is broken: {broken.why}.", markup=False)
    if broken is not None:
        raise typer.Exit(ExitCode.ERROR)
