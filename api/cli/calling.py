"""Calling the API that the environment names, and waiting for what others do."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import typer

from api.cli.output import ExitCode, fail
from api.client import Client, open_client
from api.schemas import RequestView

_DEFAULT_URL = "http://127.0.0.1:7480"
_POLL_S = 1.0

Result = TypeVar("Result")


def with_client(use: Callable[[Client], Awaitable[Result]]) -> Result:
    """Run `use` against the API that the environment names."""
    token = os.environ.get("PGCURFEW_TOKEN", "")
    if not token:
        raise typer.Exit(
            fail(
                "PGCURFEW_TOKEN is not set; an operator makes one with: "
                "pgcurfew token create YOUR-EMAIL",
                ExitCode.DENIED,
            )
        )

    async def run() -> Result:
        async with open_client(os.environ.get("PGCURFEW_URL") or _DEFAULT_URL, token) as client:
            return await use(client)

    return asyncio.run(run())


async def wait_for_decision(client: Client, view: RequestView, timeout: timedelta) -> RequestView:
    async def until_decided() -> RequestView:
        while (now := await client.get_request(view.id)).state == "pending":
            await asyncio.sleep(_POLL_S)
        return now

    return await _in_time(until_decided(), timeout, f"{view.id} is still pending")


async def wait_until_active(client: Client, grant_id: str, timeout: timedelta) -> None:
    async def until_active() -> None:
        while (await client.get_grant(grant_id)).state == "provisioning":
            await asyncio.sleep(_POLL_S)

    await _in_time(until_active(), timeout, f"{grant_id} is still being provisioned")


async def _in_time(step: Awaitable[Result], timeout: timedelta, otherwise: str) -> Result:
    try:
        return await asyncio.wait_for(step, timeout.total_seconds())
    except TimeoutError:
        raise typer.Exit(fail(otherwise, ExitCode.TIMED_OUT)) from None
