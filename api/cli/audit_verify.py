"""Operators' commands: does the record still say what was written? Signs that it did, too."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from api.cli.options import AsJson
from api.cli.output import ExitCode, fail, out, print_json
from broker.domain.statement.checkpoint import Checkpoint
from broker.domain.statement.export import LineChecker, checkpoint_line, checkpoint_of
from broker.service.offline import (
    UNREADABLE,
    PublicKeys,
    UnusableKeys,
    lines_of,
    read_public_keys,
    summary,
    told_of,
    words,
)

if TYPE_CHECKING:  # slow to load, and whoever follows or exports the record has no need of them
    from broker.service.broker import Broker
    from broker.service.verification import Report

Result = TypeVar("Result")


def register(audit: typer.Typer) -> None:
    audit.command()(verify)
    audit.command()(checkpoint)


def verify(
    file: Annotated[
        Path | None,
        typer.Argument(help="An export as JSON lines, - for standard input. Default: the ledger."),
    ] = None,
    since: Annotated[
        int | None, typer.Option(metavar="CHECKPOINT", help="Check only what came after it.")
    ] = None,
    kept: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="Checkpoints that you kept, from `audit checkpoint --json`. May be repeated.",
            show_default=False,
        ),
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(metavar="PEM", help="Trust these keys. Default: audit.pub in state_dir."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that nothing on record was changed, taken out or put in, and name what was."""
    if file is not None:
        if since is not None or kept:
            raise typer.BadParameter("--since and --checkpoint go with the ledger, not with a file")
        _verify_file(file, public_key, as_json=as_json)
        return
    if public_key is not None:
        raise typer.BadParameter("--public-key goes with a file: the ledger's are in state_dir")
    known = [each for path in kept or () for each in _read_checkpoints(path)]

    async def check(broker: "Broker") -> "Report":
        return await broker.verification.run(since=since, known=known)

    report = _with_broker(check)
    if as_json:
        print_json(_facts(report))
    else:
        _print(report)
    if report.found:
        raise typer.Exit(ExitCode.ERROR)


def checkpoint(as_json: AsJson = False) -> None:
    """Sign the newest links of the record now. Whoever keeps the answer can hold us to it."""

    async def make(broker: "Broker") -> Checkpoint:
        await broker.trail_sealing.seal()
        return await broker.checkpoints.make()

    made = _with_broker(make)
    if as_json:
        out.print(checkpoint_line(made), markup=False)
        return
    heads = ", ".join(f"{name} {head.number}" for name, head in made.heads.items())
    out.print(f"Checkpoint {made.number} of {made.made_at}: {heads}.", markup=False)
    out.print(f"Key {made.key_id}, signature {made.signature.hex()}", markup=False)


def _with_broker(use: "Callable[[Broker], Awaitable[Result]]") -> Result:
    from api.cli.operating import with_broker  # noqa: PLC0415

    return with_broker(use)


def _verify_file(file: Path, public_key: Path | None, *, as_json: bool) -> None:
    try:
        checker = LineChecker(_keys(public_key).is_genuine)
        found = 0
        for flaw in checker.check(lines_of(file)):
            found += 1
            out.print(json.dumps(flaw.to_json()) if as_json else str(flaw), markup=False)
    except (*UNREADABLE, UnusableKeys) as error:
        raise typer.Exit(fail(f"it cannot be checked: {error}", ExitCode.DENIED)) from None
    told = [json.dumps(summary(checker, found))] if as_json else words(checker, found)
    for line in told:
        out.print(line, markup=False)
    if found:
        raise typer.Exit(ExitCode.ERROR)


def _keys(public_key: Path | None) -> PublicKeys:
    from broker.config.settings import config_path, load_settings  # noqa: PLC0415
    from broker.endpoints import state_dir  # noqa: PLC0415

    if public_key is None:
        config = config_path()
        public_key = state_dir(load_settings(config), config) / "audit.pub"
    return read_public_keys(public_key.read_bytes())


def _read_checkpoints(path: Path) -> list[Checkpoint]:
    try:
        return [checkpoint_of(json.loads(line)) for line in path.read_bytes().splitlines() if line]
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        example = "what `pgcurfew audit checkpoint --json` printed"
        raise typer.BadParameter(f"{path} is not {example}") from None


def _print(report: "Report") -> None:
    for flaw in report.flaws:
        out.print(str(flaw), markup=False)
    if report.found > len(report.flaws):
        out.print(f"… and {report.found - len(report.flaws)} more")
    for line in told_of((name.value, tally) for name, tally in report.tallies.items()):
        out.print(line, markup=False)
    newest = report.newest_checkpoint
    until = f", the newest is {newest.number} of {newest.made_at}" if newest is not None else ""
    out.print(f"{report.checkpoints} checkpoints{until}", markup=False)
    if report.unsealed_events:
        out.print(f"{report.unsealed_events} events are in no block yet")
    out.print(
        f"The record does not hold: {report.found} faults." if report.found else "The record holds."
    )


def _facts(report: "Report") -> dict[str, Any]:
    from api.schemas.operating import VerificationView  # noqa: PLC0415  (slow to load)

    return VerificationView.of(report).model_dump(mode="json")
