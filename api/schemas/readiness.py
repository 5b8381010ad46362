"""What /healthz and /readyz answer: which parts do, and how much there is, never where."""

from typing import TYPE_CHECKING, Literal

from api.schemas import View

if TYPE_CHECKING:  # as in api.schemas
    from broker.service.health import TargetHealth
    from broker.service.instruments import Proxies, Spool


class HealthView(View):
    """The process serves."""

    status: Literal["ok"] = "ok"


class SpoolView(View):
    """What waits on one machine to be taken to the ledger, and how long its oldest has: in seconds,
    as is `sink_oldest_s` of a copy of the record, which is null without one."""

    shipper: str
    bytes: int
    limit: int
    oldest_s: float
    sink_oldest_s: float | None

    @classmethod
    def of(cls, spool: "Spool") -> "SpoolView":
        return cls.model_construct(
            shipper=spool.shipper,
            bytes=spool.size,
            limit=spool.limit,
            oldest_s=spool.oldest_s,
            sink_oldest_s=spool.sink_oldest_s,
        )


TargetState = Literal["ok", "unchecked", "unreachable"]


class ReadinessView(View):
    """Whether requests can be taken, and whoever has access gets in. `refusing` are workers that
    let nobody in, as nothing can be recorded; `holding` counts sessions that wait for that. A
    target that is down stops only itself."""

    ledger: Literal["ok", "unreachable"]
    targets: dict[str, TargetState]
    spool: tuple[SpoolView, ...]
    refusing: tuple[str, ...]
    holding: int

    @property
    def is_ready(self) -> bool:
        return self.ledger == "ok" and not self.refusing

    @classmethod
    def of(cls, proxies: "Proxies | None", targets: "list[TargetHealth]") -> "ReadinessView":
        """Without a ledger, nobody knows of the proxies."""
        return cls.model_construct(
            ledger="unreachable" if proxies is None else "ok",
            targets={each.target: _state(each) for each in targets},
            spool=tuple(SpoolView.of(each) for each in proxies.spools) if proxies else (),
            refusing=tuple(proxies.refusing) if proxies else (),
            holding=proxies.holding if proxies else 0,
        )


def _state(target: "TargetHealth") -> TargetState:
    if target.reachable:
        return "ok"
    return "unchecked" if target.checked_at is None else "unreachable"
