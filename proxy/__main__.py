"""`python -m proxy`: the proxy's entry point, a process of its own without admin secrets.

Without arguments it supervises workers; with `worker` it is one.
"""

import asyncio
import logging
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
from broker.endpoints import proxy_ledger_login, split_listen, state_dir, unusable_listen
from proxy.assembly import read_rules, read_rules_again
from proxy.orders import Orders
from proxy.parent import WITH_PARENT, obey_parent
from proxy.server import bind, listen
from proxy.supervisor import EXIT_UNUSABLE, supervise
from proxy.worker import WorkerPlan, run_worker

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_LAST_WORDS_S = 10.0  # for writing to the ledger, after the drain

Outcome = TypeVar("Outcome")


def main() -> int:
    logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT, stream=sys.stderr)
    config = config_path()
    try:
        settings = load_settings(config)
        plan = _plan(settings, config)
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
        uvloop.run(_under_orders(partial(run_worker, plan, listeners), with_parent=with_parent))
        return 0
    for listener in listeners:
        listener.close()  # the workers have their own
    command = [sys.executable, "-m", "proxy", "worker", WITH_PARENT]
    workers, grace_s = settings.proxy.workers, plan.drain_timeout_s + _LAST_WORDS_S
    run = partial(supervise, command, workers, grace_s=grace_s)
    usable = asyncio.run(_under_orders(run, with_parent=with_parent))
    return EXIT_UNUSABLE if usable is False else 0


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
