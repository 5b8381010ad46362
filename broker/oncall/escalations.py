"""Pages the people on call about a request.

Whoever calls keeps what is still to be paged, and tries again: a second page about the same request
is the same page to both vendors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, assert_never

from broker.domain.errors import PageFailed
from broker.domain.on_call import NotPaged, Page, Paged
from broker.domain.rota import Rota
from broker.oncall.failures import VendorFailed


class PagerDutyEvents(Protocol):
    async def trigger(self, routing_key: str, key: str, page: Page) -> None:
        """Raises VendorFailed."""


class IncidentIoEscalations(Protocol):
    async def escalate_along(self, path: str, key: str, page: Page) -> None:
        """Raises VendorFailed."""

    async def escalate_to_schedule(self, schedule: str, key: str, page: Page) -> None:
        """Raises VendorFailed."""


@dataclass(frozen=True, slots=True)
class PagerDutyPager:
    """Pages through the service whose Events API key this is, or through none."""

    pagerduty: PagerDutyEvents
    routing_key: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class IncidentIoPager:
    """Pages along the escalation path, or else those on call in the schedule."""

    incident_io: IncidentIoEscalations
    schedule: str
    path: str | None


class Escalations:
    def __init__(self, pagers: Mapping[str, Rota | PagerDutyPager | IncidentIoPager]) -> None:
        self._pagers = pagers

    async def page(self, schedule: str, page: Page) -> Paged | NotPaged:
        """Page whoever is on call in the schedule. Raises PageFailed: try again later."""
        try:
            return await self._page(schedule, page.key(schedule), page)
        except VendorFailed as failure:
            raise PageFailed(schedule, str(failure), failure.wait) from failure

    async def _page(self, schedule: str, key: str, page: Page) -> Paged | NotPaged:
        match self._pagers.get(schedule):
            case None:
                return NotPaged(f"the settings have no schedule {schedule!r}")
            case Rota():
                return NotPaged(f"{schedule!r} is a rota of our own, which has no pager")
            case PagerDutyPager() as pager:
                return await _page_by_pagerduty(pager, schedule, key, page)
            case IncidentIoPager() as pager:
                return await _page_by_incident_io(pager, key, page)
            case unknown:
                assert_never(unknown)


async def _page_by_pagerduty(
    pager: PagerDutyPager, schedule: str, key: str, page: Page
) -> Paged | NotPaged:
    if pager.routing_key is None:
        return NotPaged(f"oncall.schedules.{schedule} has no routing_key to page through")
    await pager.pagerduty.trigger(pager.routing_key, key, page)
    return Paged(f"PagerDuty has the event {key!r}")


async def _page_by_incident_io(pager: IncidentIoPager, key: str, page: Page) -> Paged:
    if pager.path is not None:
        await pager.incident_io.escalate_along(pager.path, key, page)
    else:
        await pager.incident_io.escalate_to_schedule(pager.schedule, key, page)
    return Paged(f"incident.io has the escalation {key!r}")
