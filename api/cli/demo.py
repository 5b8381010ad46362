"""`pgcurfew demo`: a first look without any set-up."""

import asyncio
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.output import ExitCode, fail, out
from api.demo.failures import DemoFailed, StepFailed
from broker.embedded import EmbeddedError

if TYPE_CHECKING:
    from api.demo.site import Site


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Play the whole story, check every step, and stop.")
    ] = False,
) -> None:
    """Try everything on this machine: an embedded PostgreSQL, broker, API and proxy."""
    try:
        # These need the extra `embedded`, which no other command does.
        from api.demo.first_access import get_first_access  # noqa: PLC0415
        from api.demo.site import run_site  # noqa: PLC0415
        from api.demo.story import Story  # noqa: PLC0415
    except ModuleNotFoundError as error:
        missing = f"{error.name} is not installed; run: pip install 'pgcurfew[embedded]'"
        raise typer.Exit(fail(missing, ExitCode.ERROR)) from None
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        out.print("Starting an embedded PostgreSQL, the broker, the API and the proxy …")
        with run_site() as site:
            if once:
                asyncio.run(Story(site, out).play())
                out.print("\n[bold green]Every step held.[/]")
            else:
                _print_next_steps(site, asyncio.run(get_first_access(site)))
                stop.wait()
    except (DemoFailed, EmbeddedError) as error:
        raise typer.Exit(fail(str(error), ExitCode.ERROR)) from None
    except StepFailed as error:
        out.print(f"[red]✗ {error}[/]")
        raise typer.Exit(fail("a step of the story did not hold", ExitCode.ERROR)) from None
    except KeyboardInterrupt:
        out.print("\nStopped; nothing is left running.")


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _print_next_steps(site: "Site", psql: str) -> None:
    out.print(
        f"""
[bold]pgcurfew is running[/] with a small application, "orders": 200 orders of three products.

[bold]Look around[/] with a grant that was asked for and approved for you, for an hour:

  {psql}
  => SELECT * FROM shop.orders LIMIT 3;
  => DELETE FROM shop.orders;             -- you are a reader

[bold]Ask[/] for more, as the developer, in a second terminal:

  export PATH={Path(sys.executable).parent}:$PATH
  export PGCURFEW_URL={site.api_url}
  export PGCURFEW_TOKEN={site.requester_token}
  pgcurfew request orders orders_writer --for 15m --reason "first look"

[bold]Approve[/] it, as the reviewer, in a third one:

  export PATH={Path(sys.executable).parent}:$PATH
  export PGCURFEW_URL={site.api_url}
  export PGCURFEW_TOKEN={site.reviewer_token}
  pgcurfew ls
  pgcurfew approve REQUEST

[bold]Use it[/], and give it back, as the developer again:

  pgcurfew connect orders orders_writer   # psql, through the proxy
  pgcurfew ls
  pgcurfew relinquish GRANT

[bold]In a browser[/]: {site.api_url}, signed in with either token. A private window is somebody
else: ask in one, and approve in the other.

The API is at {site.api_url}/docs, the proxy at localhost:{site.proxy_port}.
Settings: {site.config}
Log:      {site.home / "pgcurfew.log"}
Ctrl-C stops everything and removes it.""",  # noqa: S608  (for people to type)
    )
