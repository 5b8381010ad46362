"""Working on the ledger itself, as an operator who may read the settings."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from typing import TypeVar

from broker.assembly.broker import open_broker
from broker.config.settings import config_path, load_settings
from broker.service.broker import Broker

Result = TypeVar("Result")


def with_broker(use: Callable[[Broker], Awaitable[Result]]) -> Result:
    """Run `use` on the broker of the settings."""
    config = config_path()

    async def run() -> Result:
        async with open_broker(load_settings(config), config) as broker:
            return await use(broker)

    return asyncio.run(run())


def operator() -> str:
    """Name who works on the ledger's machine, for the audit trail."""
    return f"operator:{getpass.getuser()}"
