"""What policies say, would say and said; and checking a policy file before it is in force."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from api.cli.calling import with_client
from api.cli.options import AsJson, At, Database, From, MaybeFor, Reason, Since
from api.cli.output import ExitCode, err, fail, print_json
from api.cli.policy_views import (
    print_access,
    print_answer,
    print_book,
    print_diff,
    print_history,
    print_in_force,
    print_replay,
)
from api.client import Client
from api.schemas.policies import (
    AccessView,
    AnswerView,
    InForceView,
    PolicyQuestion,
    ShiftLine,
    VersionDetailsView,
    VersionView,
)
from broker.config.faults import SettingsError
from broker.domain.grant import GrantKind
from broker.domain.version import VersionKind

app = typer.Typer(help="What policies say, would say and said.", no_args_is_help=True)

_File = Annotated[
    Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A policy file.")
]
_Person = Annotated[
    str | None, typer.Argument(metavar="PERSON", help="You, unless named.", show_default=False)
]


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="policy")


@app.command("test")
def ask_what_if(
    target: Annotated[str, typer.Option("--target")],
    role: Annotated[str, typer.Option("--role")],
    person: Annotated[
        str | None, typer.Option("--as", metavar="PERSON", help="Who asks; you, unless named.")
    ] = None,
    requester: Annotated[
        str | None, typer.Option("--by", metavar="PERSON", help="Who asks for them instead.")
    ] = None,
    duration: MaybeFor = None,
    database: Database = None,
    reason: Reason = "",
    networks: From = None,
    membership: Annotated[
        bool, typer.Option("--membership", help="For their own role there, not a new login.")
    ] = False,
    at: At = None,
    groups: Annotated[
        list[str] | None,
        typer.Option("--group", help="As if in this group, and no other. May be repeated."),
    ] = None,
    manager: Annotated[
        str | None, typer.Option("--manager", help="As if this were their manager.")
    ] = None,
    on_call: Annotated[
        list[str] | None,
        typer.Option("--on-call", metavar="SCHEDULE", help="As if on call. May be repeated."),
    ] = None,
    pre_approved: Annotated[
        bool | None, typer.Option(help="As if approved in advance, or not.", show_default=False)
    ] = None,
    living: Annotated[
        int | None, typer.Option("--living", min=0, help="As if a machine with so many grants.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain what would happen if somebody asked: why, why not, and who would approve.

    Nothing is asked for. The exit code is 2 if it would be denied.
    """
    # What is wrong with it, the API says as it does of requests.
    question = PolicyQuestion.model_construct(
        person=person,
        requester=requester,
        target=target,
        role=role,
        database=database,
        duration=duration,
        reason=reason,
        kind=GrantKind.MEMBERSHIP if membership else GrantKind.LOGIN,
        networks=tuple(networks or ()),
        at=at,
        groups=frozenset(groups) if groups is not None else None,
        manager=manager,
        on_call=frozenset(on_call) if on_call is not None else None,
        pre_approved=pre_approved,
        living=living,
    )

    async def ask(client: Client) -> AnswerView:
        return await client.test_policies(question)

    answer = with_client(ask)
    print_json(answer) if as_json else print_answer(answer)
    if answer.outcome == "denied":
        raise typer.Exit(ExitCode.DENIED)


@app.command()
def replay(file: _File, since: Since = timedelta(days=90), as_json: AsJson = False) -> None:
    """List past requests that the policies in FILE would answer otherwise than those in force."""
    text, begin = _text_of(file), datetime.now(UTC) - since

    async def try_all(client: Client) -> tuple[list[ShiftLine], int]:
        shifts: list[ShiftLine] = []
        considered = 0
        with err.status("Trying past requests …") as status:
            async for line in client.replay_policies(text, begin):
                if isinstance(line, ShiftLine):
                    shifts.append(line)
                else:
                    considered = line.considered
                    status.update(f"Tried {considered} past requests …")
        return shifts, considered

    shifts, considered = with_client(try_all)
    if as_json:
        print_json({"considered": considered, "shifts": shifts})
    else:
        print_replay(shifts, considered=considered, since=begin)


@app.command("ls")
def list_in_force(as_json: AsJson = False) -> None:
    """List the policies in force, in words: who gets what, for how long, and who must agree."""

    async def fetch(client: Client) -> InForceView:
        return await client.get_policies()

    found = with_client(fetch)
    print_json(found) if as_json else print_in_force(found)


@app.command()
def show(
    person: _Person = None,
    as_json: AsJson = False,
) -> None:
    """List all that somebody may ask for, and who would approve it."""

    async def fetch(client: Client) -> tuple[AccessView, ...]:
        return (await client.list_access(person)).items

    found = with_client(fetch)
    print_json(found) if as_json else print_access(found, person)


@app.command()
def check(file: _File, as_json: AsJson = False) -> None:
    """Check a policy file against the settings, without the service: for CI.

    The exit code is 2, and every fault is named with its line, if it could not come into force.
    """
    # The settings take longer to load than all else together, and only this command needs them.
    from broker.config.policy_file import parse_policies  # noqa: PLC0415
    from broker.config.settings import config_path, load_settings  # noqa: PLC0415

    try:
        book = parse_policies(_text_of(file), str(file), load_settings(config_path()))
    except SettingsError as error:
        raise typer.Exit(fail(str(error), ExitCode.DENIED)) from None
    if as_json:
        print_json({"file": str(file), "policies": [each.name for each in book.policies]})
    else:
        print_book(book, str(file))


@app.command()
def history(
    kind: Annotated[
        VersionKind | None, typer.Option("--kind", help="Only policies, or only settings.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 20,
    as_json: AsJson = False,
) -> None:
    """List what was in force, newest first."""

    async def fetch(client: Client) -> tuple[VersionView, ...]:
        return (await client.list_versions(kind=kind, limit=limit)).items

    found = with_client(fetch)
    print_json(found) if as_json else print_history(found)


@app.command()
def diff(
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="See: policy history.")],
    as_json: AsJson = False,
) -> None:
    """Show what a version changed."""

    async def fetch(client: Client) -> VersionDetailsView:
        return await client.get_version(number)

    found = with_client(fetch)
    print_json(found) if as_json else print_diff(found)


def _text_of(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise typer.Exit(fail(f"{file} cannot be read: {why}", ExitCode.DENIED)) from None
