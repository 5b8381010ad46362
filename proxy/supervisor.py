"""Keeps N worker processes alive, and ends them together.

A worker that dies takes only its own sessions with it and is started again, later and later if it
keeps dying.
"""

import asyncio
import contextlib
import logging
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process

EXIT_UNUSABLE = 2  # the settings cannot be used: starting again would not help

_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0
_LIVED_WELL_S = 60.0

_log = logging.getLogger(__name__)


async def supervise(
    command: list[str], workers: int, stop: asyncio.Event, *, grace_s: float
) -> bool:
    """Run `workers` copies of `command` until `stop` is set, then end them.

    A worker that has not left `grace_s` after it was asked to is killed. Returns False if one
    said that it can never start.
    """
    keepers: list[asyncio.Task[bool]] = []
    async with asyncio.TaskGroup() as tasks:
        for _ in range(workers):
            keepers.append(tasks.create_task(_keep_alive(command, stop, grace_s)))  # noqa: PERF401
    return all(keeper.result() for keeper in keepers)


async def _keep_alive(command: list[str], stop: asyncio.Event, grace_s: float) -> bool:
    """Run the command again and again. Returns False if it can never start, True when stopped."""
    loop = asyncio.get_running_loop()
    delay = _FIRST_DELAY_S
    while not stop.is_set():
        started = loop.time()
        # A session of its own, so that Ctrl-C reaches only us and workers end in order. The pipe
        # tells the worker when we are gone.
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=DEVNULL, start_new_session=True
        )
        code = await _wait_or_end(process, stop, grace_s)
        if stop.is_set():
            return True
        if code == EXIT_UNUSABLE:
            stop.set()
            return False
        if loop.time() - started > _LIVED_WELL_S:
            delay = _FIRST_DELAY_S
        _log.error("a worker ended with %d; starting another in %.1f s", code, delay)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), delay)
        delay = min(delay * 2, _LONGEST_DELAY_S)
    return True


async def _wait_or_end(process: Process, stop: asyncio.Event, grace_s: float) -> int:
    """Wait for the process to end; make it end once we are to stop."""
    async with asyncio.TaskGroup() as tasks:
        ended = tasks.create_task(process.wait())
        stopping = tasks.create_task(stop.wait())
        await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ended.done():
            process.send_signal(signal.SIGTERM)
            await asyncio.wait([ended], timeout=grace_s)
            if not ended.done():
                _log.error("worker %d does not stop; killing it", process.pid)
                process.kill()
    return ended.result()
