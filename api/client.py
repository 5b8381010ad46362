"""A typed client of the HTTP API. The command line is one of its users."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

import aiohttp
from pydantic import BaseModel

from api.schemas import (
    CredentialView,
    GrantView,
    Page,
    RequestView,
    SessionView,
    TargetView,
)
from broker.domain.duration import iso_duration

_TIMEOUT_S = 30.0

ViewType = TypeVar("ViewType", bound=BaseModel)


class ApiError(Exception):
    """The API answered with a problem (RFC 9457): `code` is stable, `detail` is for people."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code


class ApiUnreachable(Exception):
    """Nobody answered at the URL."""


class Client:
    """One person's view of one pgcurfew. Made by `open_client`.

    Every method raises ApiError or ApiUnreachable.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url.rstrip("/")

    async def request(
        self,
        target: str,
        role: str,
        *,
        duration: timedelta,
        reason: str = "",
        database: str | None = None,
    ) -> RequestView:
        body = {
            "target": target,
            "role": role,
            "duration": iso_duration(duration),
            "reason": reason,
            "database": database,
        }
        return await self._post(RequestView, "/v1/requests", body)

    async def get_request(self, request_id: str) -> RequestView:
        return await self._get(RequestView, f"/v1/requests/{request_id}")

    async def list_requests(
        self, *, status: str | None = None, limit: int = 50
    ) -> Page[RequestView]:
        query = _query(status=status, limit=limit)
        return await self._get(Page[RequestView], "/v1/requests", query)

    async def approve(
        self, request_id: str, *, duration: timedelta | None = None, comment: str = ""
    ) -> GrantView:
        body = {"duration": iso_duration(duration) if duration else None, "comment": comment}
        return await self._post(GrantView, f"/v1/requests/{request_id}/approval", body)

    async def deny(self, request_id: str, *, reason: str = "") -> RequestView:
        return await self._post(
            RequestView, f"/v1/requests/{request_id}/denial", {"reason": reason}
        )

    async def cancel(self, request_id: str) -> RequestView:
        return await self._post(RequestView, f"/v1/requests/{request_id}/cancellation", {})

    async def get_grant(self, grant_id: str) -> GrantView:
        return await self._get(GrantView, f"/v1/grants/{grant_id}")

    async def list_grants(
        self, *, status: str | None = None, mine: bool = False, limit: int = 50
    ) -> Page[GrantView]:
        query = _query(status=status, mine="true" if mine else None, limit=limit)
        return await self._get(Page[GrantView], "/v1/grants", query)

    async def hand_out(self, grant_id: str) -> CredentialView:
        """Return a new secret for the grant; the one before no longer works."""
        return await self._post(CredentialView, f"/v1/grants/{grant_id}/credential", {})

    async def relinquish(self, grant_id: str) -> GrantView:
        return await self._post(GrantView, f"/v1/grants/{grant_id}/relinquishment", {})

    async def revoke(self, grant_id: str, *, reason: str = "") -> GrantView:
        return await self._post(GrantView, f"/v1/grants/{grant_id}/revocation", {"reason": reason})

    async def get_receipt(self, grant_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._call("GET", f"/v1/grants/{grant_id}/receipt")
        return found

    async def list_sessions(
        self, *, grant_id: str | None = None, status: str | None = None, limit: int = 50
    ) -> Page[SessionView]:
        query = _query(grant=grant_id, status=status, limit=limit)
        return await self._get(Page[SessionView], "/v1/sessions", query)

    async def list_targets(self) -> Page[TargetView]:
        return await self._get(Page[TargetView], "/v1/targets")

    async def _get(
        self, view: type[ViewType], path: str, query: dict[str, str] | None = None
    ) -> ViewType:
        return view.model_validate(await self._call("GET", path, query=query))

    async def _post(self, view: type[ViewType], path: str, body: dict[str, Any]) -> ViewType:
        return view.model_validate(await self._call("POST", path, body=body))

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> Any:
        try:
            async with self._session.request(
                method, self._url + path, params=query, json=body
            ) as response:
                content = await response.json(content_type=None)
                if response.status >= 400:
                    raise _error(response.status, content)
                return content
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            why = str(error) or type(error).__name__
            raise ApiUnreachable(f"no pgcurfew answers at {self._url}: {why}") from error


@asynccontextmanager
async def open_client(url: str, token: str) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        yield Client(session, url)


def _query(**values: str | int | None) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None}


def _error(status: int, content: Any) -> ApiError:
    if not isinstance(content, dict):
        return ApiError(status, "unknown", f"the server answered {status}")
    detail = str(content.get("detail", ""))
    for fault in content.get("errors", ()):
        detail += f"\n  {fault['field']}: {fault['message']}"
    return ApiError(status, str(content.get("code", "unknown")), detail)
