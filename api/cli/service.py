"""Operators' commands: bring the ledger up to date, and run the service or its parts."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import typer
from aiohttp import web

from api.app import make_app
from api.cli.output import out
from api.cli.proxy_process import keep_proxy, proxy_command, proxy_environment
from broker.assembly import open_broker
from broker.endpoints import (
    ledger_login,
    proxy_ledger_login,
    read_proxy_keys,
    split_listen,
    unusable_listen,
)
from broker.reaper import run_reaper
from broker.service.broker import Broker
from broker.settings import Settings, config_path, load_settings

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_log = logging.getLogger("pgcurfew")


def register(app: typer.Typer) -> None:
    for command in (migrate, serve, api, proxy, reaper):
        app.command()(command)


def migrate() -> None:
    """Bring the ledger to the newest revision. Safe to run again."""
    # Alembic takes longer to load than all else together, and only this command needs it.
    from broker.ledger.migrate import migrate as bring_up_to_date  # noqa: PLC0415

    config = config_path()
    settings = load_settings(config)
    done = asyncio.run(bring_up_to_date(ledger_login(settings, config), settings.ledger.proxy.user))
    out.print(f"The ledger is at revision {done.revision}; proxies log in as {done.proxy_role}.")


def serve() -> None:
    """Run broker, API and proxies until SIGTERM or Ctrl-C."""
    _run(with_api=True, with_proxy=True)


def api() -> None:
    """Run broker and API, without proxies."""
    _run(with_api=True, with_proxy=False)


def reaper() -> None:
    """Run only the broker's clock: expiry, removal and repair."""
    _run(with_api=False, with_proxy=False)


def proxy() -> None:
    """Run only the proxies, in a process without admin secrets."""
    config = config_path()
    settings = load_settings(config)
    command = proxy_command()
    os.execve(command[0], command, proxy_environment(settings, os.environ))  # noqa: S606


def _run(*, with_api: bool, with_proxy: bool) -> None:
    logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT, stream=sys.stderr)
    config = config_path()
    settings = load_settings(config)
    if with_proxy:
        # What only the proxies need is checked here too, so that one start names every fault.
        proxy_ledger_login(settings, config)
        read_proxy_keys(settings, config)
    listener = _listen(settings, config) if with_api else None
    usable = asyncio.run(_serve(settings, config, listener, with_proxy=with_proxy))
    if not usable:
        raise typer.Exit(1)


async def _serve(
    settings: Settings, config: Path, listener: socket.socket | None, *, with_proxy: bool
) -> bool:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_broker(settings, config) as broker, asyncio.TaskGroup() as tasks:
        working = tasks.create_task(run_reaper(broker))
        proxies = (
            tasks.create_task(keep_proxy(proxy_environment(settings, os.environ), stop))
            if with_proxy
            else None
        )
        if listener is not None:
            async with _listening(broker, listener):
                await stop.wait()
        else:
            await stop.wait()
        _log.info("stopping")
        usable = await proxies if proxies is not None else True
        working.cancel()
    return usable


def _listen(settings: Settings, config: Path) -> socket.socket:
    try:
        host, port = split_listen(settings.api.listen)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise unusable_listen("api.listen", settings.api.listen, error, config) from None


@asynccontextmanager
async def _listening(broker: Broker, listener: socket.socket) -> AsyncIterator[None]:
    runner = web.AppRunner(make_app(broker), access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        _log.info("the API listens on %s", listener.getsockname()[:2])
        yield
    finally:
        await runner.cleanup()
