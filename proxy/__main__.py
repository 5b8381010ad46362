"""`python -m proxy`: the proxy's entry point, a process of its own without admin secrets.

Without arguments it supervises workers; with `worker` it is one.
"""

import asyncio
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import uvloop

from broker.endpoints import (
    proxy_certificate_files,
    proxy_ledger_login,
    read_proxy_keys,
    split_listen,
    target_address,
    unusable_file,
    unusable_listen,
)
from broker.settings import Settings, config_path, load_settings
from broker.settings_faults import SettingsError
from proxy.ipfilter import IpFilter
from proxy.parent import WITH_PARENT, wait_until_parent_left
from proxy.server import listen
from proxy.supervisor import EXIT_UNUSABLE, supervise
from proxy.tls import CertificateFiles, client_context, ensure_certificate
from proxy.worker import WorkerPlan, run_worker

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_LAST_WORDS_S = 10.0  # for writing to the ledger, after the drain

Outcome = TypeVar("Outcome")

_log = logging.getLogger("proxy")


def main() -> int:
    logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT, stream=sys.stderr)
    config = config_path()
    try:
        settings = load_settings(config)
        plan = _plan(settings, config)
        listeners = _listen(settings, config)
    except (SettingsError, OSError) as error:
        print(f"pgcurfew proxy: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_UNUSABLE
    with_parent = WITH_PARENT in sys.argv[1:]
    if "worker" in sys.argv[1:]:
        run_one = partial(run_worker, plan, listeners)
        uvloop.run(_until_told(run_one, with_parent=with_parent))
        return 0
    for listener in listeners:
        listener.close()  # only to see that it can be had; the workers have their own
    command = [sys.executable, "-m", "proxy", "worker", WITH_PARENT]
    workers, grace_s = settings.proxy.workers, plan.drain_timeout_s + _LAST_WORDS_S
    run = partial(supervise, command, workers, grace_s=grace_s)
    usable = asyncio.run(_until_told(run, with_parent=with_parent))
    return EXIT_UNUSABLE if usable is False else 0


async def _until_told(
    run: Callable[[asyncio.Event], Coroutine[None, None, Outcome]], *, with_parent: bool
) -> Outcome:
    """Run until SIGTERM, SIGINT or the end of our parent asks it to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(_stop_with_parent(stop)) if with_parent else None
        outcome = await run(stop)
        if watching is not None:
            watching.cancel()
    return outcome


async def _stop_with_parent(stop: asyncio.Event) -> None:
    await wait_until_parent_left()
    stop.set()


def _plan(settings: Settings, config: Path) -> WorkerPlan:
    """Open what a worker needs, so that a supervisor finds faults before it starts any."""
    proxy = settings.proxy
    keys = read_proxy_keys(settings, config)
    return WorkerPlan(
        ledger=proxy_ledger_login(settings, config),
        targets={name: target_address(settings, config, name) for name in settings.targets},
        proxy_keys=keys,
        current_key=keys[settings.keys.current],
        tls=_tls(settings, config),
        tls_required=proxy.tls.required,
        ip_filter=IpFilter(allow=proxy.networks.allow, deny=proxy.networks.deny),
        startup_timeout_s=proxy.startup_timeout.total_seconds(),
        drain_timeout_s=proxy.drain_timeout.total_seconds(),
    )


def _listen(settings: Settings, config: Path) -> list[socket.socket]:
    try:
        return listen(*split_listen(settings.proxy.listen))
    except OSError as error:
        raise unusable_listen("proxy.listen", settings.proxy.listen, error, config) from None


def _tls(settings: Settings, config: Path) -> ssl.SSLContext:
    certificate, key, root = proxy_certificate_files(settings, config)
    if settings.proxy.tls.certificate is None:
        names = [settings.proxy.public_host, "localhost", "127.0.0.1", "::1"]
        if ensure_certificate(CertificateFiles(certificate, key, root), names, datetime.now(UTC)):
            _log.info("made a certificate; clients trust it through %s", root)
    try:
        return client_context(certificate, key)
    except OSError as error:
        where = "proxy.tls.certificate and proxy.tls.key"
        raise unusable_file(where, certificate, error, config) from None


if __name__ == "__main__":
    sys.exit(main())
