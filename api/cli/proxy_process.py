"""Starts the proxy as a process of its own, in an environment without admin secrets.

It is started by name, never imported: this side holds admin credentials, that side must not.
"""

import asyncio
import contextlib
import logging
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator, Mapping

from broker.config.settings import Settings

_RESTART_DELAY_S = 1.0
_RELOAD = b"reload\n"  # on its standard input: it is to read its settings again
_UNUSABLE = 2  # the proxy's exit code for settings that it can never start with

# What any program may need of its surroundings. Everything else is left behind.
_HARMLESS = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "PYTHONPATH",
    "PYTHONUNBUFFERED",
    "VIRTUAL_ENV",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "PGCURFEW_CONFIG",
)

_log = logging.getLogger("pgcurfew")


def proxy_command() -> list[str]:
    return [sys.executable, "-m", "proxy"]


def proxy_environment(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a proxy may see: its own secrets, and settings, which are never
    secrets themselves."""
    allowed = {*_HARMLESS, *_names_in(_proxy_references(settings))}
    forbidden = set(_names_in(_admin_references(settings)))
    return {
        name: value
        for name, value in environment.items()
        if (name in allowed or _is_setting(name)) and name not in forbidden
    }


async def keep_proxy(
    environment: dict[str, str], stop: asyncio.Event, reload: asyncio.Event
) -> bool:
    """Keep the proxy's supervisor running until `stop`, then let it drain. On `reload` it is asked
    to read its settings again.

    Returns False, and sets `stop`, if it can never start.
    """
    while not stop.is_set():
        # Its standard input is a pipe from us: when we die without a word, it leaves too.
        process = await asyncio.create_subprocess_exec(
            *proxy_command(),
            "--with-parent",
            stdin=PIPE,
            env=environment,
            start_new_session=True,
        )
        async with asyncio.TaskGroup() as tasks:
            ended = tasks.create_task(process.wait())
            stopping = tasks.create_task(stop.wait())
            passing_on = tasks.create_task(_pass_on(process, reload))
            await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            passing_on.cancel()
            if not ended.done():
                process.send_signal(signal.SIGTERM)
        if stop.is_set():
            return True
        if ended.result() == _UNUSABLE:
            stop.set()
            return False
        _log.error("the proxy ended with %d; starting it again", ended.result())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _RESTART_DELAY_S)
    return True


async def _pass_on(process: Process, reload: asyncio.Event) -> None:
    assert process.stdin is not None
    while True:
        await reload.wait()
        reload.clear()
        process.stdin.write(_RELOAD)


def _is_setting(name: str) -> bool:
    return name.startswith("PGCURFEW_") and "__" in name


def _proxy_references(settings: Settings) -> list[str]:
    sink = settings.audit.sink
    tokens = [sink.token] if sink is not None and sink.token is not None else []
    return [settings.ledger.proxy.password, *settings.keys.proxy_keys.values(), *tokens]


def _admin_references(settings: Settings) -> list[str]:
    admins = [target.admin.password for target in settings.targets.values()]
    signing = [each for each in (settings.keys.ticket_key, settings.keys.audit_key) if each]
    return [settings.ledger.password, *admins, *signing, *_on_call_references(settings)]


def _on_call_references(settings: Settings) -> list[str]:
    vendors = [settings.oncall.pagerduty, settings.oncall.incident_io]
    keys = [each.routing_key for each in settings.oncall.schedules.values()]
    return [*(each.token for each in vendors if each), *(each for each in keys if each)]


def _names_in(references: list[str]) -> Iterator[str]:
    return (each.removeprefix("env:") for each in references if each.startswith("env:"))
