"""Operators' commands about managed servers: prepare one, and find out what is wrong with it."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from api.cli.checkups import show_checkup
from api.cli.options import AsJson
from api.cli.output import ExitCode, fail, out, print_json
from api.schemas.operating import CheckupView
from broker.assembly.broker import open_broker
from broker.config.faults import SettingsError
from broker.config.settings import Settings, config_path, load_settings, read_secret
from broker.domain.bootstrap.script import BootstrapPlan, bootstrap_script
from broker.domain.credential import SALT_BYTES, password_verifier
from broker.domain.errors import Invalid, TargetUnreachable
from broker.endpoints import target_address
from broker.service.doctor import Checkup
from broker.target.bootstrap import Applied, apply_bootstrap

_IN_ENVIRONMENT = "env:"


def register(app: typer.Typer) -> None:
    app.command()(bootstrap)
    app.command()(doctor)
    app.command()(rotate)


def bootstrap(
    target: str,
    dsn: Annotated[
        str | None,
        typer.Option(
            "--apply",
            metavar="DSN",
            help="Run it now, as the superuser or master of this connection string, or of "
            "env:NAME which holds one. It is used once and kept nowhere.",
        ),
    ] = None,
    restricted: Annotated[
        bool,
        typer.Option(
            "--restricted",
            help="PostgreSQL 13 to 15: functions instead of CREATEROLE, which is as good as "
            "superuser there.",
        ),
    ] = False,
) -> None:
    """Print the SQL that prepares a managed server for pgcurfew. Safe to run again."""
    config = config_path()
    settings = load_settings(config)
    plan = _plan(settings, config, target, restricted=restricted)
    if dsn is None:
        print(bootstrap_script(plan), end="")  # noqa: T201
        return
    if dsn.startswith(_IN_ENVIRONMENT):
        dsn = read_secret(dsn, "--apply", config)
    address = target_address(settings, config, target)
    try:
        applied = asyncio.run(apply_bootstrap(dsn, address, plan))
    except Invalid as error:
        raise typer.Exit(fail(str(error), ExitCode.DENIED)) from None
    except TargetUnreachable as error:
        raise typer.Exit(fail(f"{error} ({error.__cause__})", ExitCode.ERROR)) from None
    _show_applied(applied, plan, settings)


def doctor(
    target: Annotated[
        str | None, typer.Argument(help="Only this one; all of the settings otherwise.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look managed servers over: what would fail, what is a risk, and what mends it."""
    config = config_path()
    settings = load_settings(config)
    if target is not None:
        known(settings, config, target)
    names = [target] if target is not None else list(settings.targets)

    async def check() -> list[Checkup]:
        async with open_broker(settings, config) as broker:
            return [await broker.doctor.check(name) for name in names]

    checkups = asyncio.run(check())
    if as_json:
        print_json([CheckupView.of(each) for each in checkups])
    else:
        for each in checkups:
            show_checkup(each)
    if not all(each.is_usable for each in checkups):
        raise typer.Exit(ExitCode.ERROR)


def rotate(target: str) -> None:
    """Give the broker's own login on a managed server a new password."""
    config = config_path()
    settings = load_settings(config)
    known(settings, config, target)

    async def replace() -> None:
        async with open_broker(settings, config) as broker:
            await broker.rotation.rotate(broker.context.targets[target])

    asyncio.run(replace())
    admin = settings.targets[target].admin
    out.print(f"{admin.user} has a new password, in {admin.password}.", markup=False)


def _plan(settings: Settings, config: Path, name: str, *, restricted: bool) -> BootstrapPlan:
    known(settings, config, name)
    target = settings.targets[name]
    verifier, note = _verifier(target.admin.password, name, config)
    return BootstrapPlan(
        target=name,
        database=target.database,
        admin=target.admin.role,
        login=target.admin.user,
        catalog_roles=tuple(target.roles),
        restricted=restricted or target.admin.restricted,
        verifier=verifier,
        password_note=note,
    )


def known(settings: Settings, config: Path, target: str) -> None:
    """Exit if the settings have no such target."""
    if target not in settings.targets:
        names = ", ".join(settings.targets)
        said = f"{config} has no target {target}; it has {names}"
        raise typer.Exit(fail(said, ExitCode.NOT_FOUND))


def _verifier(reference: str, name: str, config: Path) -> tuple[str | None, str]:
    """Return a verifier of the login's password, or why there is none and what to do."""
    try:
        password = read_secret(reference, f"targets.{name}.admin.password", config)
        return password_verifier(password, os.urandom(SALT_BYTES)), ""
    except SettingsError:
        why = f"{reference} cannot be read here; run bootstrap where it can"
    except ValueError:
        why = f"{reference} holds more than printable ASCII"
    return None, f"{why}, or set it with \\password in psql"


def _show_applied(applied: Applied, plan: BootstrapPlan, settings: Settings) -> None:
    place = f"database {applied.database} ({applied.server}), as {applied.user}"
    done = [each.text for each in applied.said if not each.warning]
    open_ends = [each.text for each in applied.said if each.warning]
    if done:
        out.print(f"Prepared {place}:", markup=False)
    elif not open_ends:
        out.print(f"Nothing to add: {place}, is prepared.", markup=False)
    for text in done:
        out.print(f"  {text}", markup=False)
    if open_ends:
        out.print("Still to do:" if done else f"Still to do in {place}:", markup=False)
    for text in open_ends:
        out.print(f"  {text}", markup=False)
    if plan.restricted and not settings.targets[plan.target].admin.restricted:
        out.print(
            f"Now set targets.{plan.target}.admin.restricted: true in the settings.", markup=False
        )
    out.print(f"Next: pgcurfew doctor {plan.target}", markup=False)
