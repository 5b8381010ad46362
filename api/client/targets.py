"""What there is to ask for, and what is wrong with it."""

from api.client.calls import Calls, quoted
from api.schemas import Page, TargetView
from api.schemas.insight import LeftoversView, MembersView, RoleInsightView, TargetDetailsView
from api.schemas.operating import CheckupView


class TargetCalls(Calls):
    async def list_targets(self) -> Page[TargetView]:
        return await self._get(Page[TargetView], "/v1/targets")

    async def get_target(self, target: str) -> TargetDetailsView:
        return await self._get(TargetDetailsView, f"/v1/targets/{quoted(target)}")

    async def list_roles(self, target: str) -> Page[RoleInsightView]:
        """Return what the roles of a target may do, in plain words."""
        return await self._get(Page[RoleInsightView], f"/v1/targets/{quoted(target)}/roles")

    async def list_members(self, target: str) -> MembersView:
        """Return who is in which role of a target's server."""
        return await self._get(MembersView, f"/v1/targets/{quoted(target)}/members")

    async def list_leftovers(self, target: str) -> LeftoversView:
        """Return what should not be on a target, or no longer."""
        return await self._get(LeftoversView, f"/v1/targets/{quoted(target)}/leftovers")

    async def check_target(self, target: str) -> CheckupView:
        """Have a target looked over, now."""
        return await self._get(CheckupView, f"/v1/targets/{quoted(target)}/findings")
