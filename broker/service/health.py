"""Which targets answer. A target that is down stops nothing but itself, and is tried again."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from broker.domain.errors import BrokerError
from broker.service.context import Context
from broker.target.roles import fetch_role_faults, fetch_version

_CREATEROLE_IS_LIMITED_FROM = 16

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TargetHealth:
    """`version` is None while the target does not answer; `error` then tells operators why.

    `role_faults` says, by catalog role, why it cannot be given.
    """

    target: str
    checked_at: datetime | None = None
    version: str | None = None
    error: str | None = None
    role_faults: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def reachable(self) -> bool:
        return self.version is not None

    def is_like(self, other: "TargetHealth") -> bool:
        """Say whether a look at the target showed nothing new, whatever words an error has."""
        return (self.version, self.role_faults) == (other.version, other.role_faults)


class Health:
    def __init__(self, context: Context, tell: Callable[[str], None]) -> None:
        """`tell` hears the names of targets that are not as they were."""
        self._context = context
        self._tell = tell
        self._last = {name: TargetHealth(name) for name in context.targets}

    def targets(self) -> list[TargetHealth]:
        return list(self._last.values())

    def of(self, name: str) -> TargetHealth:
        """Return what was last heard of a target of the settings."""
        return self._last[name]

    async def check(self, name: str) -> TargetHealth:
        """Ask one target whether it is there, and log when the answer changes."""
        before, now = self._last[name], self._context.now()
        try:
            health = await self._look(name, now)
        except BrokerError as error:
            health = TargetHealth(name, now, error=f"{error} ({error.__cause__})")
        if health.reachable != before.reachable or before.checked_at is None:
            if health.reachable:
                _log.info("target %s answers: PostgreSQL %s", name, health.version)
                self._warn_of_create_role(name, str(health.version))
            else:
                _log.warning("%s; trying again", health.error)
        for role, faults in health.role_faults.items():
            if faults != before.role_faults.get(role, ()):
                _log.error("target %s: role %s cannot be given: %s", name, role, "; ".join(faults))
        self._last[name] = health
        if before.checked_at is None or not health.is_like(before):
            self._tell(name)
        return health

    def _warn_of_create_role(self, name: str, version: str) -> None:
        restricted = self._context.targets[name].admin_login.restricted
        if int(version.partition(".")[0]) < _CREATEROLE_IS_LIMITED_FROM and not restricted:
            _log.warning(
                "target %s: before PostgreSQL 16, CREATEROLE is as good as superuser, and the "
                "broker has it there; see pgcurfew bootstrap %s --restricted",
                name,
                name,
            )

    async def _look(self, name: str, now: datetime) -> TargetHealth:
        target, catalog = self._context.targets[name], self._context.catalog.targets[name]
        async with target.admin() as db:
            version = await fetch_version(db)
            faults = {
                role.name: await fetch_role_faults(db, role, catalog.database)
                for role in catalog.roles.values()
            }
        return TargetHealth(
            name,
            now,
            version=version,
            role_faults={role: found for role, found in faults.items() if found},
        )
