"""Puts the commands together, and turns failures into one clear line and an exit code."""

import sys
from collections.abc import Callable
from importlib import metadata
from typing import Annotated

import typer

from api.cli import access, connect, demo, service, tokens
from api.cli.output import ExitCode, fail, out
from api.client import ApiError, ApiUnreachable
from broker.domain.errors import BrokerError
from broker.settings_faults import SettingsError

app = typer.Typer(
    name="pgcurfew",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"pgcurfew {metadata.version('pgcurfew')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show it and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Every PostgreSQL credential gets a curfew."""


access.register(app)
connect.register(app)
service.register(app)
app.add_typer(tokens.app, name="token")
app.command("demo")(demo.demo)

_EXIT_BY_STATUS = {
    400: ExitCode.DENIED,
    401: ExitCode.DENIED,
    403: ExitCode.DENIED,
    404: ExitCode.NOT_FOUND,
    422: ExitCode.DENIED,
}


def main() -> None:
    """The console script."""
    sys.exit(_explained(app))


def _explained(run: Callable[[], object]) -> int:
    try:
        run()
    except ApiError as error:
        return fail(str(error), _EXIT_BY_STATUS.get(error.status, ExitCode.ERROR))
    except (ApiUnreachable, SettingsError, BrokerError) as error:
        return fail(str(error), ExitCode.ERROR)
    except KeyboardInterrupt:
        return ExitCode.ERROR
    return ExitCode.DONE
