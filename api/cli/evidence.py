"""All that there is about a grant, in one file."""

from pathlib import Path
from typing import Annotated

import typer

from api.cli.calling import with_client
from api.cli.options import GrantId
from api.cli.output import out
from api.cli.saving import save
from api.client import Client


def register(main: typer.Typer) -> None:
    main.command()(evidence)


def evidence(
    grant_id: GrantId,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Default: GRANT.zip, here."),
    ] = None,
) -> None:
    """Pack the request, decisions, statements, receipt and proof of a grant, for an auditor."""
    file = output or Path(f"{grant_id}.zip")

    async def take(client: Client) -> int:
        return await save(client.get_evidence(grant_id), file)

    count = with_client(take)
    out.print(f"{file}: {count:,} bytes. Unpack it in an empty folder, and run: python verify.py")
