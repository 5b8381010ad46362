"""The clock's side of the broker: what is due is done, again and again, until it holds.

Any number of reapers may run; the ledger's row locks share the work. Every loop survives its own
failures: a ledger or a target that is down is waited for.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from broker.domain.errors import BrokerError, Unavailable
from broker.service.broker import Broker
from broker.service.event_stream import LOOK_EVERY_S

_DUE_EVERY_S = 1.0
_CHECK_EVERY_S = 15.0
_RECONCILE_EVERY_S = 60.0
_ROTATE_EVERY_S = 60.0
_FORGET_EVERY_S = 600.0
_LOOK_EVERY_S = 2.0
_MAKE_DAYS_EVERY_S = 600.0
_AT_ONCE = 4

_log = logging.getLogger(__name__)


async def run_reaper(broker: Broker) -> None:
    """Work until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_repeat("due work", _DUE_EVERY_S, lambda: do_what_is_due(broker)))
        tasks.create_task(_repeat("pages", _DUE_EVERY_S, broker.paging.page_due))
        tasks.create_task(_repeat("lost sessions", _CHECK_EVERY_S, broker.sessions.close_lost))
        tasks.create_task(_repeat("old counts", _FORGET_EVERY_S, broker.bans.forget_old))
        tasks.create_task(_repeat("operator's files", _LOOK_EVERY_S, broker.policies.look))
        tasks.create_task(_repeat("audit trail", _DUE_EVERY_S, broker.trail_sealing.seal))
        tasks.create_task(_repeat("events", LOOK_EVERY_S, broker.events.look))
        tasks.create_task(_repeat("copies", _DUE_EVERY_S, broker.copying.send_events))
        tasks.create_task(_repeat("checkpoints", _LOOK_EVERY_S, broker.checkpoints.make_if_due))
        tasks.create_task(_repeat("days", _MAKE_DAYS_EVERY_S, broker.retention.make_days))
        tasks.create_task(_repeat("old days", _FORGET_EVERY_S, broker.retention.drop_old))
        tasks.create_task(_repeat("old calls", _FORGET_EVERY_S, broker.idempotency.forget_old))
        for name in broker.context.targets:
            tasks.create_task(_watch(broker, name))


async def do_what_is_due(broker: Broker) -> None:
    """Lapse requests, end overdue grants, make and remove logins: one round."""
    await broker.requests.lapse_unanswered()
    await broker.ticket_uses.follow()
    await broker.work.end_overdue()
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def work_on(grant_id: str) -> None:
        async with at_once:
            await broker.work.work_on(grant_id)

    async with asyncio.TaskGroup() as tasks:
        for grant_id in await broker.work.fetch_due():
            tasks.create_task(work_on(grant_id))


async def _watch(broker: Broker, name: str) -> None:
    """Keep an eye on one target: is it there, and does it hold logins that should be gone?"""

    async def check() -> None:
        await broker.health.check(name)

    async def reconcile() -> None:
        await broker.reconciliation.reconcile(broker.context.targets[name])

    async def rotate() -> None:
        await broker.rotation.rotate_if_due(broker.context.targets[name])

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_repeat(f"check of {name}", _CHECK_EVERY_S, check))
        tasks.create_task(_repeat(f"reconciliation of {name}", _RECONCILE_EVERY_S, reconcile))
        tasks.create_task(_repeat(f"rotation of {name}", _ROTATE_EVERY_S, rotate))


async def _repeat(what: str, every_s: float, step: Callable[[], Awaitable[object]]) -> None:
    """Run `step` for ever, `every_s` seconds apart, and log each new kind of failure once."""
    last_failure = ""
    while True:
        try:
            await step()
            last_failure = ""
        except (BrokerError, ExceptionGroup) as error:
            failure = _describe(error)
            if failure != last_failure:
                _log.warning("%s: %s; trying again", what, failure)
                last_failure = failure
        except Exception:
            # A reaper that stops would leave logins behind: whatever it is, log it and go on.
            _log.exception("%s failed; trying again", what)
        await asyncio.sleep(every_s)


def _describe(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        inner = {_describe(each) for each in error.exceptions}
        return "; ".join(sorted(inner))
    return str(error) if isinstance(error, Unavailable | BrokerError) else repr(error)
