"""Taking the record along, and looking for statements in it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from api.cli.audit_options import OfGrant, OfPerson, OfSession, OfTarget, Since, Until, What
from api.cli.calling import with_client
from api.cli.options import AsJson
from api.cli.output import moment, out, print_json, print_table, warn
from api.cli.saving import save
from api.cli.statement_views import one_line
from api.client import Client
from api.schemas.statements import FoundStatementPage

_SHOWN = 100  # characters of a statement in a list


class Layout(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"


def register(audit: typer.Typer) -> None:
    audit.command()(export)
    audit.command()(search)


def export(
    layout: Annotated[
        Layout, typer.Option("--format", help="Only JSON lines say all, and prove it.")
    ] = Layout.JSONL,
    what: Annotated[What | None, typer.Option(help="All, or of a table statements.")] = None,
    grant_id: OfGrant = None,
    session_id: OfSession = None,
    person: OfPerson = None,
    target: OfTarget = None,
    since: Since = None,
    until: Until = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Compressed if it ends in .gz."),
    ] = None,
) -> None:
    """Write the record, or part of it, to a file or standard output."""
    what = what or (What.ALL if layout is Layout.JSONL else What.STATEMENTS)

    async def take(client: Client) -> int:
        pieces = client.export_record(
            what=what,
            layout=layout,
            grant_id=grant_id,
            session_id=session_id,
            person=person,
            target=target,
            since=since,
            until=until,
        )
        return await save(pieces, output)

    count = with_client(take)
    if output is not None:
        warn(f"{output}: {count:,} bytes of {what} as {layout}")


def search(
    text: Annotated[str, typer.Argument(help="Anywhere in a statement, in either case.")],
    grant_id: OfGrant = None,
    session_id: OfSession = None,
    person: OfPerson = None,
    target: OfTarget = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: AsJson = False,
) -> None:
    """Find statements that you may see, the newest first; of the last day, unless you say more."""

    async def find(client: Client) -> FoundStatementPage:
        return await client.find_statements(
            text=text,
            grant_id=grant_id,
            session_id=session_id,
            person=person,
            target=target,
            since=since,
            until=until,
            limit=limit,
        )

    page = with_client(find)
    if as_json:
        print_json(page.items)
        return
    print_table(
        "Statements",
        ("id", "number", "began", "person", "target", "rows", "sqlstate", "text"),
        [
            (
                each.session_id,
                str(each.seq),
                moment(each.started_at),
                each.person or "",
                each.target or "",
                "" if each.rows is None else f"{each.rows:,}",
                each.sqlstate or "",
                one_line(each.text, _SHOWN),
            )
            for each in page.items
        ],
    )
    if page.next is not None:
        out.print(f"These are the newest {limit}; there are more.")
