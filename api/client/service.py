"""How things are: for everybody, and for operators."""

from typing import Any

from api.client.calls import Calls, query_of, quoted
from api.schemas import AlarmView, BanView, Page
from api.schemas.overview import OverviewView
from api.schemas.readiness import HealthView, ReadinessView


class ServiceCalls(Calls):
    async def list_alarms(
        self, *, status: str = "open", after: str | None = None, limit: int = 50
    ) -> Page[AlarmView]:
        query = query_of(status=status, after=after, limit=limit)
        return await self._get(Page[AlarmView], "/v1/alarms", query)

    async def acknowledge_alarm(self, alarm_id: str) -> AlarmView:
        """Close an alarm; if the trouble lasts, it is raised anew."""
        return await self._post(AlarmView, f"/v1/alarms/{alarm_id}/acknowledgement")

    async def get_overview(self, *, days: int = 30) -> OverviewView:
        """Return sums of the last days, and what needs attention."""
        return await self._get(OverviewView, "/v1/overview", query_of(days=days))

    async def list_bans(self) -> Page[BanView]:
        return await self._get(Page[BanView], "/v1/bans")

    async def lift_ban(self, key: str) -> None:
        await self._call("DELETE", f"/v1/bans/{quoted(key)}")

    async def get_health(self) -> HealthView:
        """Return whether the process serves. Needs no token, like the rest here."""
        return await self._get(HealthView, "/healthz")

    async def get_readiness(self) -> ReadinessView:
        """Return how it is, whether that is ready or not."""
        answer = await self._call("GET", "/readyz", takes=frozenset({503}))
        return ReadinessView.model_validate(answer)

    async def get_metrics(self) -> str:
        """Return how much of everything there is, in Prometheus' text format."""
        async with self._open("GET", "/metrics") as response:
            return await response.text()

    async def get_openapi(self) -> dict[str, Any]:
        """Return the description of the API."""
        found: dict[str, Any] = await self._call("GET", "/openapi.json")
        return found
