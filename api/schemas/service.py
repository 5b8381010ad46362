"""What there is to ask for, and what operators look at."""

from typing import TYPE_CHECKING

from pydantic import AwareDatetime

from api.schemas.base import View
from broker.domain.grant import GrantKind

if TYPE_CHECKING:  # clients, too, load this module, and need none of the broker
    from broker.ledger.alarms import Alarm
    from broker.ledger.bans import Ban
    from broker.service.health import TargetHealth


class AlarmView(View):
    id: str
    target: str | None
    grant_id: str | None
    message: str
    raised_at: AwareDatetime
    cleared_at: AwareDatetime | None

    @classmethod
    def of(cls, alarm: "Alarm") -> "AlarmView":
        return cls.model_construct(**{name: getattr(alarm, name) for name in cls.model_fields})


class BanView(View):
    """Nobody gets in by this key, an address or a user name, until then."""

    key: str
    failures: int
    until: AwareDatetime

    @classmethod
    def of(cls, ban: "Ban") -> "BanView":
        return cls.model_construct(key=ban.key, failures=ban.failures, until=ban.until)


class TargetView(View):
    """A target that this person may ask for, and whether it answers."""

    name: str
    roles: tuple["RoleView", ...]
    reachable: bool
    checked_at: AwareDatetime | None
    server_version: str | None

    @classmethod
    def of(cls, health: "TargetHealth", roles: "tuple[RoleView, ...]") -> "TargetView":
        return cls.model_construct(
            name=health.target,
            roles=roles,
            reachable=health.reachable,
            checked_at=health.checked_at,
            server_version=health.version,
        )


class RoleView(View):
    """A role that may be asked for. `problem` says why it cannot be given at the moment."""

    name: str
    description: str
    kinds: tuple[GrantKind, ...]
    problem: str | None
