"""Running a program with access that it has only while it runs: deployments, reports, CI jobs."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import Annotated

import typer

from api.cli.calling import with_client
from api.cli.connect import wait_for_grant
from api.cli.libpq import libpq_environment
from api.cli.options import Database, MaybeFor, Patience, Reason
from api.cli.output import ExitCode, fail, warn
from api.client import ApiError, ApiUnreachable, Client
from api.schemas import CredentialView
from broker.domain.errors import ApprovalNeeded

_FORWARDED = (signal.SIGTERM, signal.SIGHUP)


def register(app: typer.Typer) -> None:
    app.command("exec", context_settings={"ignore_unknown_options": True})(execute)


def execute(
    target: str,
    role: str,
    duration: MaybeFor = None,
    reason: Reason = "",
    database: Database = None,
    timeout: Patience = timedelta(hours=1),
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND", show_default=False)
    ] = None,
) -> None:
    """Run a command with access in its environment (PGHOST, PGUSER, PGPASSWORD …), and give it back
    when the command ends."""
    if not command:
        raise typer.Exit(
            fail("name a command: pgcurfew exec TARGET ROLE -- COMMAND", ExitCode.DENIED)
        )
    program = shutil.which(command[0])
    if program is None:
        raise typer.Exit(fail(f"{command[0]} is not there to be run", ExitCode.ERROR))

    async def obtain(client: Client) -> "_Access":
        try:
            obtained = await client.obtain(
                target, role, duration=duration, reason=reason, database=database
            )
        except ApiError as error:
            if error.code != ApprovalNeeded.code:
                raise
        else:
            return _Access(obtained.grant.id, obtained.credential, obtained.token)
        asked = await client.request(
            target, role, duration=duration, reason=reason, database=database
        )
        grant_id = await wait_for_grant(client, asked, timeout, tell=warn)
        return _Access(grant_id, await client.hand_out(grant_id), None)

    access = with_client(obtain)
    try:
        code = _run([program, *command[1:]], access.credential)
    finally:
        _give_back(access)
    raise typer.Exit(code)


@dataclass(frozen=True, slots=True)
class _Access:
    """A grant for one program. `token` gives it back, if it takes another than we came with."""

    grant_id: str
    credential: CredentialView
    token: str | None


def _run(command: list[str], credential: CredentialView) -> int:
    """Return the command's exit code, or 128 and the number of the signal that ended it."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PGCURFEW_TOKEN")
    }
    process = subprocess.Popen(command, env=environment | libpq_environment(credential))  # noqa: S603
    with _forwarding(process):
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def _forwarding(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Pass signals on. Ctrl-C reaches the command from the terminal, and is its to answer."""

    def forward(number: int, _frame: FrameType | None) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _give_back(access: _Access) -> None:
    """A command that has done its work has done it, whether or not we can give back at once: the
    curfew comes anyway."""

    async def relinquish(client: Client) -> None:
        await client.relinquish(access.grant_id)

    try:
        with_client(relinquish, token=access.token)
    except (ApiError, ApiUnreachable) as error:
        until = access.credential.expires_at.astimezone()
        warn(f"{access.grant_id} could not be given back, and ends at {until:%H:%M}: {error}")
