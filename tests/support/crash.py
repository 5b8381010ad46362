"""A broker that dies by SIGKILL before its Nth statement, on ledger and target alike.

    python -m tests.support.crash CONFIG N ACTION ID EMAIL

Prints "done" if it got to the end first.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asyncpg.connection import Connection

from broker.assembly import open_broker
from broker.service.broker import Broker
from broker.settings import load_settings
from tests.support.people import get_person

_STATEMENTS = ("execute", "fetch", "fetchrow", "fetchval", "copy_to_table")


def die_before(step: int) -> None:
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


async def act(broker: Broker, action: str, subject: str, email: str, step: int) -> None:
    person = await get_person(broker, email)
    die_before(step)
    if action == "approve":
        await broker.approve(subject, person, duration=None, comment="")
    elif action == "relinquish":
        await broker.relinquish(subject, person)
    elif action == "hand_out":
        await broker.grants.hand_out(subject, person, source=None)


async def main() -> None:
    config, step, action, subject, email = sys.argv[1:]
    path = Path(config)
    async with open_broker(load_settings(path), path) as broker:
        await act(broker, action, subject, email, int(step))
        # Without closing: what comes after the action is not under test.
        print("done", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(main())
