"""Keeps N worker processes alive, passes on what they are to do, and ends them together.

A worker that dies takes only its own sessions with it and is started again, later and later if it
keeps dying.
"""

import asyncio
import contextlib
import logging
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process

from proxy.orders import Orders
from proxy.parent import RELOAD

EXIT_UNUSABLE = 2  # the settings cannot be used: starting again would not help

_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0
_LIVED_WELL_S = 60.0

_log = logging.getLogger(__name__)


async def supervise(command: list[str], workers: int, orders: Orders, *, grace_s: float) -> bool:
    """Run `workers` copies of `command` until told to stop, then end them.

    A worker that has not left `grace_s` after it was asked to is killed. Returns False if one
    said that it can never start.
    """
    alive: set[Process] = set()
    keepers: list[asyncio.Task[bool]] = []
    async with asyncio.TaskGroup() as tasks:
        passing_on = tasks.create_task(_pass_on_reload(alive, orders.reload))
        async with asyncio.TaskGroup() as keeping:
            for _ in range(workers):
                keeper = keeping.create_task(_keep_alive(command, alive, orders.stop, grace_s))
                keepers.append(keeper)
        passing_on.cancel()
    return all(keeper.result() for keeper in keepers)


async def _pass_on_reload(alive: set[Process], told: asyncio.Event) -> None:
    while True:
        await told.wait()
        told.clear()
        for process in alive:
            assert process.stdin is not None
            process.stdin.write(RELOAD)


async def _keep_alive(
    command: list[str], alive: set[Process], stop: asyncio.Event, grace_s: float
) -> bool:
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
        alive.add(process)
        try:
            code = await _wait_or_end(process, stop, grace_s)
        finally:
            alive.discard(process)
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
