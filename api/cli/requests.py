"""Finding requests, of all that there ever were, and taking them along."""

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.audit_options import Since, Until
from api.cli.calling import with_client
from api.cli.options import AsJson
from api.cli.output import moment, out, print_json, print_table, warn
from api.cli.saving import save
from api.client import Client
from api.schemas import Page, RequestView
from broker.domain.duration import format_duration
from broker.domain.request import RequestState
from broker.domain.request_list import Sort


def register(app: typer.Typer) -> None:
    app.command()(requests)


def requests(
    words: Annotated[
        list[str] | None,
        typer.Argument(help="Beginnings of words in reasons, people, targets, roles; or an id."),
    ] = None,
    status: Annotated[RequestState | None, typer.Option("--status")] = None,
    requester: Annotated[
        str | None,
        typer.Option("--requester", metavar="EMAIL", help="Who asked, or whom it is for."),
    ] = None,
    target: Annotated[str | None, typer.Option("--target", metavar="TARGET")] = None,
    role: Annotated[str | None, typer.Option("--role", metavar="ROLE")] = None,
    policy: Annotated[str | None, typer.Option("--policy", metavar="POLICY")] = None,
    since: Since = None,
    until: Until = None,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Only those that wait for your decision.")
    ] = False,
    sort: Annotated[Sort, typer.Option("--sort", help="With a minus, backwards.")] = Sort.NEWEST,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    tsv: Annotated[
        bool, typer.Option("--tsv", help="All of them, with what became of each, as a table.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Of --tsv; compressed if it ends in .gz."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find requests that you may see, of all that there ever were."""
    if output is not None and not tsv:
        raise typer.BadParameter("there is a file with --tsv only", param_hint="--output")
    wanted: dict[str, Any] = {
        "status": status,
        "requester": requester,
        "target": target,
        "role": role,
        "policy": policy,
        "since": since,
        "until": until,
        "q": " ".join(words) if words else None,
        "needs_me": waiting,
        "sort": sort,
    }

    async def find(client: Client) -> Page[RequestView]:
        return await client.list_requests(**wanted, limit=limit)

    async def take(client: Client) -> int:
        return await save(client.export_requests(**wanted), output)

    if tsv:
        count = with_client(take)
        if output is not None:
            warn(f"{output}: {count:,} bytes of requests")
        return
    _show(with_client(find), limit, as_json=as_json)


def _show(page: Page[RequestView], limit: int, *, as_json: bool) -> None:
    if as_json:
        print_json(page.items)
        return
    print_table(
        "Requests",
        ("id", "asked", "state", "person", "target", "role", "for", "reason"),
        [
            (
                each.id,
                moment(each.created_at),
                each.state,
                each.person,
                each.target,
                each.role,
                format_duration(each.duration) if each.duration else "",
                each.reason,
            )
            for each in page.items
        ],
    )
    if page.next is not None:
        out.print(f"These are the first {limit}; there are more.")
