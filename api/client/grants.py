"""What was given, its secret, and its end."""

from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp

from api.client.calls import Calls, query_of
from api.schemas import (
    ApprovalView,
    CredentialView,
    FindingView,
    GrantView,
    Page,
    ReceiptView,
    ReviewView,
)
from api.schemas.fit import PrivilegeFitView
from api.schemas.timeline import TimelineView
from broker.domain.duration import iso_duration

# Evidence is packed as a whole before the first byte of it comes.
_TIMEOUT_OF_PACKING = aiohttp.ClientTimeout(total=None, sock_read=3600.0)


class GrantCalls(Calls):
    async def get_grant(self, grant_id: str) -> GrantView:
        return await self._get(GrantView, f"/v1/grants/{grant_id}")

    async def get_grant_timeline(self, grant_id: str) -> TimelineView:
        """Return all that happened with a grant and its request, the oldest first."""
        return await self._get(TimelineView, f"/v1/grants/{grant_id}/timeline")

    async def list_grants(
        self,
        *,
        status: str | None = None,
        mine: bool = False,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[GrantView]:
        query = query_of(status=status, mine="true" if mine else None, after=after, limit=limit)
        return await self._get(Page[GrantView], "/v1/grants", query)

    async def hand_out(self, grant_id: str) -> CredentialView:
        """Return a new secret for the grant; the one before no longer works."""
        return await self._post(CredentialView, f"/v1/grants/{grant_id}/credential")

    async def relinquish(self, grant_id: str) -> GrantView:
        return await self._post(GrantView, f"/v1/grants/{grant_id}/relinquishment")

    async def revoke(self, grant_id: str, *, reason: str = "") -> GrantView:
        return await self._post(GrantView, f"/v1/grants/{grant_id}/revocation", {"reason": reason})

    async def extend(
        self,
        grant_id: str,
        *,
        duration: timedelta | None = None,
        rows: int = 0,
        size: int = 0,
        reason: str = "",
    ) -> ApprovalView:
        """Ask for a later end, or for more rows and bytes. While its request is pending, the grant
        is as before."""
        body = {
            "duration": iso_duration(duration) if duration else None,
            "rows": rows,
            "bytes": size,
            "reason": reason,
        }
        return await self._post(ApprovalView, f"/v1/grants/{grant_id}/extension", body)

    async def get_review(self, grant_id: str) -> ReviewView:
        return await self._get(ReviewView, f"/v1/grants/{grant_id}/review")

    async def write_review(self, grant_id: str, text: str) -> ReviewView:
        """Write the review of a break-glass grant, once and for all."""
        return await self._post(ReviewView, f"/v1/grants/{grant_id}/review", {"text": text})

    async def get_receipt(self, grant_id: str) -> ReceiptView:
        return await self._get(ReceiptView, f"/v1/grants/{grant_id}/receipt")

    async def list_findings(self, grant_id: str) -> Page[FindingView]:
        """Return what the grant's life changed on its target."""
        return await self._get(Page[FindingView], f"/v1/grants/{grant_id}/findings")

    async def get_privilege_fit(self, grant_id: str) -> PrivilegeFitView:
        """Return what a grant's statements used of what its role may do."""
        return await self._get(PrivilegeFitView, f"/v1/grants/{grant_id}/privilege-fit")

    def get_evidence(self, grant_id: str) -> AsyncIterator[bytes]:
        """Yield the zip of all that there is about a grant, piece by piece."""
        path = f"/v1/grants/{grant_id}/evidence"
        return self._take_along(path, timeout=_TIMEOUT_OF_PACKING)
