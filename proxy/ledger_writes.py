"""What has to be written to the ledger is written, however long the ledger is away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from broker.domain.errors import LedgerUnavailable

_RETRY_S = 1.0

_log = logging.getLogger(__name__)


async def until_ledger_answers(step: Callable[[], Awaitable[object]]) -> None:
    """Try the step again and again until it is done, or until cancelled."""
    while True:
        try:
            await step()
        except LedgerUnavailable:
            await asyncio.sleep(_RETRY_S)
        except Exception:
            _log.exception("writing to the ledger failed; trying again")
            await asyncio.sleep(_RETRY_S)
        else:
            return
