"""Puts the commands together, and turns failures into one clear line and an exit code."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated

import typer

from api.cli.output import ExitCode, exit_code, fail, out
from api.failures import ApiError, ApiUnreachable
from broker.config.faults import SettingsError
from broker.domain.errors import BrokerError, NotFound

# What each module registers, in the order of the help. To load them all takes longer than most
# commands take to run: only the help, and who mistypes a command, wait for that.
COMMANDS = {
    "access": (
        *("request", "approve", "deny", "cancel", "comment", "escalate", "ls", "show", "extend"),
        *("relinquish", "revoke", "review", "alarms", "acknowledge"),
    ),
    "overview": ("overview",),
    "requests": ("requests",),
    "fit": ("fit",),
    "roles": ("roles",),
    "connect": ("credential", "connect"),
    "execute": ("exec",),
    "login": ("login", "logout", "whoami"),
    "allowances": ("allowance",),
    "service": ("migrate", "serve", "api", "proxy", "reaper"),
    "targets": ("bootstrap", "doctor", "rotate"),
    "sessions": ("sessions",),
    "commits": ("commits",),
    "bans": ("bans",),
    "policy": ("policy",),
    "tokens": ("token",),
    "audit": ("audit",),
    "events": ("events",),
    "evidence": ("evidence",),
    "break_glass": ("break-glass",),
    "demo": ("demo",),
}
_VERSION = "--version"


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata  # noqa: PLC0415  (nothing else needs it)

        out.print(f"pgcurfew {metadata.version('pgcurfew')}")
        raise typer.Exit


def _options(
    _version: Annotated[
        bool,
        typer.Option(_VERSION, help="Show it and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Every PostgreSQL credential gets a curfew."""


def make_app(arguments: Sequence[str]) -> typer.Typer:
    """Return the command that the arguments name, as the only one, or all if they name none."""
    app = typer.Typer(
        name="pgcurfew",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback()(_options)
    for module in _needed(arguments[0] if arguments else ""):
        import_module(f"api.cli.{module}").register(app)
    return app


def _needed(first: str) -> Sequence[str]:
    if first == _VERSION:
        return ()
    return [module for module, names in COMMANDS.items() if first in names] or list(COMMANDS)


def main() -> None:
    """The console script."""
    sys.exit(_explained(make_app(sys.argv[1:])))


def _explained(run: Callable[[], object]) -> int:
    try:
        run()
    except ApiError as error:
        return fail(str(error), exit_code(error))
    except NotFound as error:
        return fail(str(error), ExitCode.NOT_FOUND)
    except (ApiUnreachable, SettingsError, BrokerError) as error:
        return fail(str(error), ExitCode.ERROR)
    except KeyboardInterrupt:
        return ExitCode.ERROR
    return ExitCode.DONE
