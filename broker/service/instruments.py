"""What those see who watch the service: whether requests can be taken, how the spools are, counts.

They are not asked who they are. So nothing here names a person, or says where anything is.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from broker.ledger import counts, sessions
from broker.ledger.connection import reading
from broker.ledger.counts import Counts
from broker.ledger.sessions import WorkerCondition
from broker.service.context import Context

_SILENCE = timedelta(seconds=30)  # of a process that says every few seconds that it lives


@dataclass(frozen=True, slots=True)
class Spool:
    """The spool of one machine, as its shipper sees it. Of a sink there is its lag, in seconds."""

    shipper: str
    size: int
    limit: int
    oldest_s: float
    shipped: int
    sink_oldest_s: float | None


@dataclass(frozen=True, slots=True)
class Proxies:
    """How the proxies say that they are. `refusing` are workers that let nobody in, as nothing can
    be recorded, and `holding` counts sessions that wait for that."""

    spools: list[Spool] = field(default_factory=list)
    refusing: list[str] = field(default_factory=list)
    holding: int = 0


class Instruments:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def proxies(self) -> Proxies:
        """Raises LedgerUnavailable."""
        async with reading(self._context.ledger) as db:
            found = await sessions.fetch_conditions(db)
        silent = self._context.now() - _SILENCE
        return _proxies([each for each in found if each.seen_at > silent])

    async def counts(self) -> Counts:
        """Raises LedgerUnavailable."""
        async with reading(self._context.ledger) as db:
            return await counts.fetch(db)


def _proxies(found: list[WorkerCondition]) -> Proxies:
    workers = [each for each in found if each.condition.get("kind") == "worker"]
    shippers = [each for each in found if each.condition.get("kind") == "shipper"]
    return Proxies(
        spools=[_spool(each) for each in shippers],
        refusing=[each.id for each in workers if each.condition["refusing"]],
        holding=sum(each.condition["holding"] for each in workers),
    )


def _spool(shipper: WorkerCondition) -> Spool:
    said: dict[str, Any] = shipper.condition
    lags = [sink["oldest_s"] for sink in said["sink"].values()]
    return Spool(
        shipper=shipper.id,
        size=said["spool_bytes"],
        limit=said["spool_limit"],
        oldest_s=said["oldest_s"],
        shipped=said["shipped"],
        sink_oldest_s=max(lags, default=None),
    )
