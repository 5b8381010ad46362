"""Operators' commands: bring the ledger up to date, and run the service or its parts."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import typer
import uvloop
from aiohttp import web

from api.app import make_app
from api.callers.door import Door
from api.cli.output import out
from api.cli.proxy_process import keep_proxy, proxy_command, proxy_environment
from api.guards.connections import Runner
from api.guards.terms import Guards, Terms
from broker.assembly.audit_key import AuditKey
from broker.assembly.broker import open_broker
from broker.assembly.cookie_keys import read_cookie_keys
from broker.config.settings import Settings, config_path, load_settings
from broker.domain.errors import Unavailable
from broker.domain.quota import Quota
from broker.endpoints import (
    ledger_login,
    proxy_ledger_login,
    public_url,
    read_proxy_keys,
    split_listen,
    unusable_listen,
)
from broker.reaper import run_reaper
from broker.service.broker import Broker

# They log each request that they make, and each of its failures: we say what matters, once.
_TALKATIVE = ("httpx", "httpx2", "pagerduty")
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
    """Run broker, API and proxies until SIGTERM or Ctrl-C.

    SIGHUP lets them read settings and policies again.
    """
    _run(with_api=True, with_proxy=True)


def api() -> None:
    """Run broker and API, without proxies."""
    _run(with_api=True, with_proxy=False)


def reaper() -> None:
    """Run only the broker's clock: expiry, removal and repair."""
    _run(with_api=False, with_proxy=False)


def proxy() -> None:
    """Run only the proxies, in a process without admin secrets.

    SIGHUP lets them read their settings again.
    """
    config = config_path()
    settings = load_settings(config)
    command = proxy_command()
    os.execve(command[0], command, proxy_environment(settings, os.environ))  # noqa: S606


def _run(*, with_api: bool, with_proxy: bool) -> None:
    logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT, stream=sys.stderr)
    for library in _TALKATIVE:
        logging.getLogger(library).setLevel(logging.CRITICAL)
    config = config_path()
    settings = load_settings(config)
    AuditKey(settings, config).open()  # made now if there is none, rather than when it is needed
    if with_proxy:
        # What only the proxies need is checked here too, so that one start names every fault.
        proxy_ledger_login(settings, config)
        read_proxy_keys(settings, config)
    site = _site(settings, config) if with_api else None
    usable = uvloop.run(_serve(settings, config, site, with_proxy=with_proxy))
    if not usable:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class Site:
    """Where the API listens, how browsers come in there, and what callers are held to."""

    listener: socket.socket
    door: Door
    guards: Guards


async def _serve(settings: Settings, config: Path, site: Site | None, *, with_proxy: bool) -> bool:
    stop, told, proxies_told = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def reload() -> None:
        told.set()
        proxies_told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    async with open_broker(settings, config) as broker, asyncio.TaskGroup() as tasks:
        await broker.policies.begin()
        working = tasks.create_task(run_reaper(broker))
        listening = tasks.create_task(_reload_when_told(broker, told))
        environment = proxy_environment(settings, os.environ)
        proxies = (
            tasks.create_task(keep_proxy(environment, stop, proxies_told)) if with_proxy else None
        )
        if site is not None:
            async with _listening(broker, site):
                await stop.wait()
        else:
            await stop.wait()
        _log.info("stopping")
        usable = await proxies if proxies is not None else True
        working.cancel()
        listening.cancel()
    return usable


async def _reload_when_told(broker: Broker, told: asyncio.Event) -> None:
    while True:
        await told.wait()
        told.clear()
        try:
            await broker.policies.look(told=True)
        except Unavailable as error:
            _log.warning("settings and policies are read again later: %s", error)
        except Exception:
            # Whatever it is: what was in force stays, and the service with it.
            _log.exception("settings and policies could not be read again")


def _listen(settings: Settings, config: Path) -> socket.socket:
    try:
        host, port = split_listen(settings.api.listen)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise unusable_listen("api.listen", settings.api.listen, error, config) from None


def _site(settings: Settings, config: Path) -> Site:
    door = Door(public_url(settings), read_cookie_keys(settings, config))
    return Site(_listen(settings, config), door, Guards(_terms(settings)))


def _terms(settings: Settings) -> Terms:
    api, limits = settings.api, settings.api.rate_limit
    return Terms(
        people=_quota(limits.per_minute, limits.burst),
        strangers=_quota(limits.strangers_per_minute, limits.strangers_burst),
        trusted_proxies=api.trusted_proxies,
        cors_origins=frozenset(api.cors_origins),
    )


def _quota(per_minute: int, burst: int) -> Quota | None:
    return Quota(per_minute, burst) if per_minute else None


@asynccontextmanager
async def _listening(broker: Broker, site: Site) -> AsyncIterator[None]:
    runner = Runner(make_app(broker, site.door, site.guards))
    await runner.setup()
    try:
        await web.SockSite(runner, site.listener).start()
        _log.info("the API listens on %s", site.listener.getsockname()[:2])
        yield
    finally:
        await runner.cleanup()
