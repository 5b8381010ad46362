"""Asking, and deciding."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

from api.client.calls import Calls, query_of
from api.schemas import AllowanceView, ApprovalView, ObtainedView, Page, RequestView
from api.schemas.insight import BlastRadiusView
from api.schemas.timeline import TimelineView
from broker.domain.duration import iso_duration
from broker.domain.grant import GrantKind
from broker.domain.network import Network


class Wanted(TypedDict, total=False):
    """Which requests are wanted, and in which order; `q` are words to find in them, `needs_me` says
    that they wait for one's own decision."""

    status: str | None
    requester: str | None
    target: str | None
    role: str | None
    policy: str | None
    since: datetime | None
    until: datetime | None
    q: str | None
    needs_me: bool
    sort: str | None


class RequestCalls(Calls):
    async def request(  # noqa: PLR0913  (all that one may ask for)
        self,
        target: str,
        role: str,
        *,
        duration: timedelta | None = None,
        reason: str = "",
        database: str | None = None,
        kind: GrantKind = GrantKind.LOGIN,
        networks: Sequence[Network] = (),
        pin_address: bool = False,
        person: str | None = None,
        conversation: str | None = None,
    ) -> RequestView:
        """Ask for a role, for oneself or for another person. What nobody has to agree to is given
        at once: then the request is approved, and has a grant. `conversation` is an https address
        where it is talked over."""
        body = {
            "kind": kind,
            "target": target,
            "role": role,
            "duration": iso_duration(duration) if duration is not None else None,
            "reason": reason,
            "database": database,
            "networks": [str(each) for each in networks],
            "pin_address": pin_address,
            "person": person,
            "conversation": conversation,
        }
        return await self._post(RequestView, "/v1/requests", body)

    async def obtain(
        self,
        target: str,
        role: str,
        *,
        duration: timedelta | None = None,
        reason: str = "",
        database: str | None = None,
        networks: Sequence[Network] = (),
        pin_address: bool = False,
    ) -> ObtainedView:
        """Ask for what nobody has to agree to, and get its secret with it. ApiError
        `approval-needed` if somebody has to agree; nothing is asked for then."""
        body = {
            "target": target,
            "role": role,
            "duration": iso_duration(duration) if duration is not None else None,
            "reason": reason,
            "database": database,
            "networks": [str(each) for each in networks],
            "pin_address": pin_address,
        }
        return await self._post(ObtainedView, "/v1/credentials", body)

    async def get_request(self, request_id: str) -> RequestView:
        return await self._get(RequestView, f"/v1/requests/{request_id}")

    async def get_request_timeline(self, request_id: str) -> TimelineView:
        """Return all that happened with a request and its grant, the oldest first."""
        return await self._get(TimelineView, f"/v1/requests/{request_id}/timeline")

    async def list_requests(
        self, *, after: str | None = None, limit: int = 50, **wanted: Unpack[Wanted]
    ) -> Page[RequestView]:
        query = query_of(after=after, limit=limit) | _query_for(wanted)
        return await self._get(Page[RequestView], "/v1/requests", query)

    def export_requests(self, **wanted: Unpack[Wanted]) -> AsyncIterator[bytes]:
        """Yield all requests that one wants and may see as a table, piece by piece. ApiUnreachable
        if it breaks off."""
        return self._take_along("/v1/requests.tsv", _query_for(wanted))

    async def approve(
        self,
        request_id: str,
        *,
        duration: timedelta | None = None,
        comment: str = "",
        networks: Sequence[Network] | None = None,
        pin_address: bool = False,
        break_glass: bool = False,
    ) -> ApprovalView:
        """Consent to a request; networks, if given, take the place of those that it asks for. There
        is a grant once enough approvers have consented, or one with `break_glass`."""
        body = {
            "duration": iso_duration(duration) if duration else None,
            "comment": comment,
            "networks": None if networks is None else [str(each) for each in networks],
            "pin_address": pin_address,
            "break_glass": break_glass,
        }
        return await self._post(ApprovalView, f"/v1/requests/{request_id}/approval", body)

    async def deny(self, request_id: str, *, reason: str = "") -> RequestView:
        return await self._post(
            RequestView, f"/v1/requests/{request_id}/denial", {"reason": reason}
        )

    async def cancel(self, request_id: str) -> RequestView:
        return await self._post(RequestView, f"/v1/requests/{request_id}/cancellation")

    async def comment(self, request_id: str, text: str) -> RequestView:
        return await self._post(RequestView, f"/v1/requests/{request_id}/comments", {"text": text})

    async def escalate(self, request_id: str) -> RequestView:
        """Let the people on call approve it, too, and have them paged."""
        return await self._post(RequestView, f"/v1/requests/{request_id}/escalation")

    async def get_blast_radius(self, request_id: str) -> BlastRadiusView:
        """Return what an approver risks by saying yes to a request."""
        return await self._get(BlastRadiusView, f"/v1/requests/{request_id}/blast-radius")

    async def allow(  # noqa: PLR0913  (all that one may say)
        self,
        person: str,
        target: str,
        role: str,
        *,
        duration: timedelta,
        ends_at: datetime,
        starts_at: datetime | None = None,
        database: str | None = None,
        reason: str = "",
    ) -> AllowanceView:
        """Consent beforehand to what the person asks for until `ends_at`."""
        body = {
            "person": person,
            "target": target,
            "role": role,
            "database": database,
            "duration": iso_duration(duration),
            "starts_at": starts_at.isoformat() if starts_at is not None else None,
            "ends_at": ends_at.isoformat(),
            "reason": reason,
        }
        return await self._post(AllowanceView, "/v1/allowances", body)

    async def list_allowances(
        self, *, status: str = "living", after: str | None = None, limit: int = 50
    ) -> Page[AllowanceView]:
        query = query_of(status=status, after=after, limit=limit)
        return await self._get(Page[AllowanceView], "/v1/allowances", query)

    async def revoke_allowance(self, allowance_id: str) -> AllowanceView:
        return await self._post(AllowanceView, f"/v1/allowances/{allowance_id}/revocation")


def _query_for(wanted: Wanted) -> dict[str, str]:
    named: dict[str, Any] = {name: value for name, value in wanted.items() if name != "needs_me"}
    return query_of(**named, needs="me" if wanted.get("needs_me") else None)
