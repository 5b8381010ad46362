"""Which targets answer. A target that is down stops nothing but itself, and is tried again."""

import logging
from dataclasses import dataclass
from datetime import datetime

from broker.domain.errors import BrokerError
from broker.service.context import Context
from broker.target.leftovers import ping

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TargetHealth:
    """`version` is None while the target does not answer; `error` then tells operators why."""

    target: str
    checked_at: datetime | None = None
    version: str | None = None
    error: str | None = None

    @property
    def reachable(self) -> bool:
        return self.version is not None


class Health:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._last = {name: TargetHealth(name) for name in context.targets}

    def targets(self) -> list[TargetHealth]:
        return list(self._last.values())

    async def check(self, name: str) -> TargetHealth:
        """Ask one target whether it is there, and log when the answer changes."""
        before, now = self._last[name], self._context.now()
        try:
            health = TargetHealth(name, now, version=await ping(self._context.targets[name]))
        except BrokerError as error:
            health = TargetHealth(name, now, error=f"{error} ({error.__cause__})")
        if health.reachable != before.reachable or before.checked_at is None:
            if health.reachable:
                _log.info("target %s answers: PostgreSQL %s", name, health.version)
            else:
                _log.warning("%s; trying again", health.error)
        self._last[name] = health
        return health
