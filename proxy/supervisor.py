"""Keeps N worker processes alive and a shipper beside them, passes on what they are to do, and ends
them together: the shipper last, so that what the workers wrote last is taken to the ledger.

A worker that dies takes only its own sessions with it and is started again, later and later if it
keeps dying; so is the shipper.
"""

import asyncio
import contextlib
import logging
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass

from proxy.orders import Orders
from proxy.parent import RELOAD

EXIT_UNUSABLE = 2  # the settings cannot be used: starting again would not help

_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0
_LIVED_WELL_S = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep alive. One that has not left `grace_s` after it was asked to is killed."""

    name: str
    command: list[str]
    grace_s: float


async def supervise(worker: Child, workers: int, shipper: Child, orders: Orders) -> bool:
    """Run so many workers, and one shipper, until told to stop, then end them.

    Returns False if one said that it can never start.
    """
    alive: set[Process] = set()
    workers_have_left = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        passing_on = tasks.create_task(_pass_on_reload(alive, orders.reload))
        shipping = tasks.create_task(_keep_shipper(shipper, alive, orders.stop, workers_have_left))
        async with asyncio.TaskGroup() as keeping:
            keepers = [
                keeping.create_task(_keep_alive(worker, alive, orders.stop)) for _ in range(workers)
            ]
        workers_have_left.set()
        await asyncio.wait([shipping])
        passing_on.cancel()
    return all(keeper.result() for keeper in (*keepers, shipping))


async def _keep_shipper(
    shipper: Child, alive: set[Process], stop: asyncio.Event, workers_have_left: asyncio.Event
) -> bool:
    """Without one the workers would write until the spool is full: if it can never start, neither
    do they go on."""
    is_usable = await _keep_alive(shipper, alive, workers_have_left)
    if not is_usable:
        stop.set()
    return is_usable


async def _pass_on_reload(alive: set[Process], told: asyncio.Event) -> None:
    while True:
        await told.wait()
        told.clear()
        for process in alive:
            assert process.stdin is not None
            process.stdin.write(RELOAD)


async def _keep_alive(child: Child, alive: set[Process], stop: asyncio.Event) -> bool:
    """Run the command again and again. Returns False if it can never start, True when stopped."""
    loop = asyncio.get_running_loop()
    delay = _FIRST_DELAY_S
    while not stop.is_set():
        started = loop.time()
        # A session of its own, so that Ctrl-C reaches only us and workers end in order. The pipe
        # tells the child when we are gone.
        process = await asyncio.create_subprocess_exec(
            *child.command, stdin=PIPE, stdout=DEVNULL, start_new_session=True
        )
        alive.add(process)
        try:
            code = await _wait_or_end(process, stop, child)
        finally:
            alive.discard(process)
        if stop.is_set():
            return True
        if code == EXIT_UNUSABLE:
            stop.set()
            return False
        if loop.time() - started > _LIVED_WELL_S:
            delay = _FIRST_DELAY_S
        _log.error("a %s ended with %d; starting another in %.1f s", child.name, code, delay)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), delay)
        delay = min(delay * 2, _LONGEST_DELAY_S)
    return True


async def _wait_or_end(process: Process, stop: asyncio.Event, child: Child) -> int:
    """Wait for the process to end; make it end once we are to stop."""
    async with asyncio.TaskGroup() as tasks:
        ended = tasks.create_task(process.wait())
        stopping = tasks.create_task(stop.wait())
        await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ended.done():
            process.send_signal(signal.SIGTERM)
            await asyncio.wait([ended], timeout=child.grace_s)
            if not ended.done():
                _log.error("%s %d does not stop; killing it", child.name, process.pid)
                process.kill()
    return ended.result()
