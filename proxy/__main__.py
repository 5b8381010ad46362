"""`python -m proxy`: the proxy's entry point, a process of its own without admin secrets.

Without arguments it supervises workers and a shipper; with `worker` or `ship` it is one.
"""

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TypeVar

import uvloop

from broker.config.faults import SettingsError
from broker.config.settings import Settings, config_path, load_settings
from broker.endpoints import (
    proxy_ledger_login,
    sink_address,
    split_listen,
    state_dir,
    unusable_listen,
)
from proxy.assembly import read_rules, read_rules_again, spool_rules
from proxy.orders import Orders
from proxy.parent import WITH_PARENT, obey_parent
from proxy.server import bind, listen
from proxy.spool.shipper import LAST_SHIPMENT_S, ShipperPlan, run_shipper
from proxy.supervisor import EXIT_UNUSABLE, Child, supervise
from proxy.worker import WorkerPlan, run_worker

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_NICENESS = 5
_LAST_WORDS_S = 10.0  # for writing to the ledger, after the drain

Outcome = TypeVar("Outcome")


def main() -> int:
    logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT, stream=sys.stderr)
    config = config_path()
    try:
        settings = load_settings(config)
        plan = _plan(settings, config)
        shipper = _shipper_plan(settings, config)
        if "ship" in sys.argv[1:]:
            return _ship(shipper)
        # A supervisor only sees that it can have the address. Would it listen, clients could get in
        # for a moment, and be cut off.
        is_worker = "worker" in sys.argv[1:]
        listeners = _take_address(settings, config, listen if is_worker else bind)
    except (SettingsError, OSError) as error:
        print(f"pgcurfew proxy: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_UNUSABLE
    with_parent = WITH_PARENT in sys.argv[1:]
    if is_worker:
        _allow_many_sessions()
        # What is loaded stays, and messages make no cycles: to go through them is for nothing.
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        uvloop.run(_under_orders(partial(run_worker, plan, listeners), with_parent=with_parent))
        return 0
    for listener in listeners:
        listener.close()  # the workers have their own
    us = [sys.executable, "-m", "proxy"]
    worker = Child("worker", [*us, "worker", WITH_PARENT], plan.drain_timeout_s + _LAST_WORDS_S)
    ship = Child("shipper", [*us, "ship", WITH_PARENT], LAST_SHIPMENT_S + _LAST_WORDS_S)
    run = partial(supervise, worker, settings.proxy.workers, ship)
    usable = asyncio.run(_under_orders(run, with_parent=with_parent))
    return EXIT_UNUSABLE if usable is False else 0


def _ship(plan: ShipperPlan) -> int:
    # Rows live as long as their batch: to go through them again and again is for nothing.
    gc.set_threshold(100_000, 20, 100)
    # Sessions do not wait for us, and are not to: what we are late with is on the disk.
    os.nice(_NICENESS)
    uvloop.run(_under_orders(partial(run_shipper, plan), with_parent=WITH_PARENT in sys.argv[1:]))
    return 0


async def _under_orders(
    run: Callable[[Orders], Coroutine[None, None, Outcome]], *, with_parent: bool
) -> Outcome:
    """Run until SIGTERM, SIGINT or the end of our parent asks it to stop; SIGHUP asks it to read
    its settings again."""
    orders = Orders(stop=asyncio.Event(), reload=asyncio.Event())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, orders.stop.set)
    loop.add_signal_handler(signal.SIGHUP, orders.reload.set)
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(obey_parent(orders)) if with_parent else None
        outcome = await run(orders)
        if watching is not None:
            watching.cancel()
    return outcome


def _allow_many_sessions() -> None:
    """Two descriptors for each: the usual soft limit would be reached at 500 of them."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _plan(settings: Settings, config: Path) -> WorkerPlan:
    """Open what a worker needs, so that a supervisor finds faults before it starts any."""
    return WorkerPlan(
        ledger=proxy_ledger_login(settings, config),
        rules=read_rules(config),
        read_again=partial(read_rules_again, config),
        drain_timeout_s=settings.proxy.drain_timeout.total_seconds(),
        ticket_folder=state_dir(settings, config) / "tickets",
        spool_folder=state_dir(settings, config) / "spool",
        spool=spool_rules(settings),
    )


def _shipper_plan(settings: Settings, config: Path) -> ShipperPlan:
    return ShipperPlan(
        ledger=proxy_ledger_login(settings, config),
        folder=state_dir(settings, config) / "spool",
        limit=settings.audit.spool.limit,
        drain_s=settings.proxy.drain_timeout.total_seconds() + _LAST_WORDS_S,
        sink=sink_address(settings, config),
    )


def _take_address(
    settings: Settings, config: Path, take: Callable[[str, int], list[socket.socket]]
) -> list[socket.socket]:
    try:
        return take(*split_listen(settings.proxy.listen))
    except OSError as error:
        raise unusable_listen("proxy.listen", settings.proxy.listen, error, config) from None


if __name__ == "__main__":
    sys.exit(main())
