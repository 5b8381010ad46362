"""What happens, as it happens."""

from contextlib import suppress
from datetime import UTC
from typing import Annotated

import typer

from api.cli.calling import with_client
from api.cli.options import AsJson
from api.cli.statement_views import say_now, visible
from api.client import Client
from api.schemas.events import EventView
from broker.domain.hints.hint import Topic


def register(app: typer.Typer) -> None:
    app.command()(events)


def events(
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="Go on after this event; not from now.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what happens and what it is about, as far as you may see it, until Ctrl-C."""

    async def listen(client: Client) -> None:
        async for event in client.follow_events(after=after):
            if as_json:
                say_now(event.model_dump_json())
            elif event.topic is not Topic.HELLO:
                say_now(line_of(event))

    with suppress(KeyboardInterrupt):
        with_client(listen)


def line_of(event: EventView) -> str:
    """Return one line for a terminal."""
    if event.topic is Topic.RESET:
        return "something was missed: what you know may be out of date"
    at = event.at.astimezone(UTC)
    subject = event.session_id or event.grant_id or event.request_id
    about = [event.kind, subject, event.target and f"on {event.target}"]
    by = event.actor and f"by {event.actor}"
    return visible(" ".join(filter(None, [f"{at:%H:%M:%S}", *about, by])))
