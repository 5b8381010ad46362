"""A broker that dies by SIGKILL before its Nth statement, on ledger and target alike.

`python -m tests.support.crash CONFIG` reads orders from standard input, one a line:

    N ACTION ID EMAIL

carries each out in a process of its own, and answers "died" or, if the action was over before its
Nth statement, "finished".
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from asyncpg.connection import Connection

from broker.assembly.broker import open_broker
from broker.config.settings import load_settings
from broker.service.approvals import Consent
from tests.support.people import get_person

_STATEMENTS = ("execute", "fetch", "fetchrow", "fetchval", "copy_to_table")
_FINISHED = 7  # the exit code of a process that was not killed


class Mortal:
    """The test's side: a broker that dies as often as one likes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run_until(self, step: int, action: str, subject: str, email: str) -> bool:
        """Run the action in a broker that dies before statement `step`. Returns whether it
        finished first."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{step} {action} {subject} {email}\n".encode())
        answer = (await self._process.stdout.readline()).decode().strip()
        assert answer in ("died", "finished"), answer
        return answer == "finished"


@asynccontextmanager
async def mortal_broker(config: Path) -> AsyncIterator[Mortal]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.crash", str(config)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Mortal(process)
    finally:
        process.kill()
        await process.wait()


def _die_before(step: int) -> None:
    """Arm the trap: every statement counts, those that open and commit transactions too."""
    done = 0

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        async def count_and_call(*args: Any, **kwargs: Any) -> Any:
            nonlocal done
            done += 1
            if done >= step:
                os.kill(os.getpid(), signal.SIGKILL)
            return await method(*args, **kwargs)

        return count_and_call

    for name in _STATEMENTS:
        setattr(Connection, name, counted(getattr(Connection, name)))


async def _act(config: Path, step: int, action: str, subject: str, email: str) -> None:
    async with open_broker(load_settings(config), config) as broker:
        person = await get_person(broker, email)
        _die_before(step)
        if action == "approve":
            await broker.approve(subject, person, Consent())
        elif action == "relinquish":
            await broker.relinquish(subject, person)
        elif action == "hand_out":
            await broker.grants.hand_out(subject, person, source=None)
        # Without closing anything: what comes after the action is not under test.
        os._exit(_FINISHED)


def main() -> None:
    config = Path(sys.argv[1])
    for line in sys.stdin:
        step, action, subject, email = line.split()
        # A fork has everything loaded already, and no event loop yet.
        child = os.fork()
        if child == 0:
            asyncio.run(_act(config, int(step), action, subject, email))
        _pid, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        answers = {-signal.SIGKILL: "died", _FINISHED: "finished"}
        print(answers.get(code, f"exit code {code}"), flush=True)


if __name__ == "__main__":
    main()
