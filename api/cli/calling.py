"""Calling the API that the environment names, and waiting for what others do."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import typer

from api.cli.kept import Kept, find_kept
from api.cli.output import ExitCode, fail, moment
from api.client import Client, open_client
from api.failures import ApiError, ApiUnreachable
from api.schemas import RequestView
from api.schemas.events import EventView
from broker.domain.hints.hint import Topic

_DEFAULT_URL = "http://127.0.0.1:7480"
_POLL_S = 1.0
_LOOK_ANYWAY_S = 10.0
# Whoever begins to listen, or has missed something, looks.
_AS_IF_NEW = {Topic.HELLO, Topic.RESET}

Result = TypeVar("Result")


def api_url() -> str:
    return (os.environ.get("PGCURFEW_URL") or _DEFAULT_URL).rstrip("/")


def given_token() -> str:
    """Return the token that the environment gives, which goes before any sign-in, or nothing."""
    return os.environ.get("PGCURFEW_TOKEN", "")


def with_client(use: Callable[[Client], Awaitable[Result]], *, token: str | None = None) -> Result:
    """Run `use` against the API that the environment names: with this token, that of the
    environment, or as who has signed in."""
    url, token = api_url(), token or given_token()
    kept = None if token else find_kept(url)
    if kept is not None:
        token = _living(kept)
    if not token:
        raise typer.Exit(fail(asyncio.run(_how_to_begin(url)), ExitCode.DENIED))

    async def run() -> Result:
        async with open_client(url, token) as client:
            return await use(client)

    try:
        return asyncio.run(run())
    except ApiError as error:
        if kept is not None and error.status == 401:
            raise typer.Exit(_fail_over(kept, "is no longer good")) from None
        raise


def _living(kept: Kept) -> str:
    """Return its token, or end the command if it is known to be good no longer."""
    if kept.until <= datetime.now(UTC):
        raise typer.Exit(_fail_over(kept, f"ended at {moment(kept.until)}"))
    return kept.token


def _fail_over(kept: Kept, how: str) -> int:
    return fail(f"your sign-in at {kept.url} {how}; run: pgcurfew login", ExitCode.DENIED)


async def _how_to_begin(url: str) -> str:
    """Return what somebody without a token can do, as this server sees it."""
    try:
        async with open_client(url) as client:
            if (await client.list_sign_in_ways()).providers:
                return f"you are not signed in at {url}; run: pgcurfew login"
    except (ApiError, ApiUnreachable):
        pass  # then it is not worth more words
    return "PGCURFEW_TOKEN is not set; an operator makes one with: pgcurfew token create YOUR-EMAIL"


async def wait_for_decision(client: Client, view: RequestView, timeout: timedelta) -> RequestView:
    waiting = _wait_until(
        client,
        look=lambda: client.get_request(view.id),
        is_over=lambda now: now.state != "pending",
        concerns=lambda event: event.request_id == view.id,
    )
    return await _in_time(waiting, timeout, f"{view.id} is still pending")


async def wait_until_active(client: Client, grant_id: str, timeout: timedelta) -> None:
    waiting = _wait_until(
        client,
        look=lambda: client.get_grant(grant_id),
        is_over=lambda now: now.state != "provisioning",
        concerns=lambda event: event.grant_id == grant_id,
    )
    await _in_time(waiting, timeout, f"{grant_id} is still being provisioned")


async def _wait_until(
    client: Client,
    *,
    look: Callable[[], Awaitable[Result]],
    is_over: Callable[[Result], bool],
    concerns: Callable[[EventView], bool],
) -> Result:
    """Look now, and again whenever something happens that concerns it, until it is over.

    Looks now and then besides, as something between us and the server may hold events back.
    """
    happened, is_deaf = asyncio.Event(), asyncio.Event()

    async def listen() -> None:
        with suppress(ApiError, ApiUnreachable):
            async for event in client.follow_events():
                if concerns(event) or event.topic in _AS_IF_NEW:
                    happened.set()
        is_deaf.set()  # as with an older server: then there is still looking
        happened.set()

    async def look_on(listening: "asyncio.Task[None]") -> Result | ApiError | ApiUnreachable:
        try:
            while not is_over(now := await look()):
                wait_s = _POLL_S if is_deaf.is_set() else _LOOK_ANYWAY_S
                with suppress(TimeoutError):
                    await asyncio.wait_for(happened.wait(), wait_s)
                happened.clear()
        except (ApiError, ApiUnreachable) as error:
            return error  # raised, it would come as a group
        finally:
            listening.cancel()
        return now

    async with asyncio.TaskGroup() as tasks:
        found = await look_on(tasks.create_task(listen()))
    if isinstance(found, ApiError | ApiUnreachable):
        raise found
    return found


async def _in_time(step: Awaitable[Result], timeout: timedelta, otherwise: str) -> Result:
    try:
        return await asyncio.wait_for(step, timeout.total_seconds())
    except TimeoutError:
        raise typer.Exit(fail(otherwise, ExitCode.TIMED_OUT)) from None
