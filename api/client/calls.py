"""How the API is called: one HTTP request for each call, and what becomes of it."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel

from api.failures import ApiError, ApiUnreachable, WrongField

TIMEOUT = aiohttp.ClientTimeout(total=30.0)
# There may be 100,000 requests to replay, and a sign of life after every few hundred.
TIMEOUT_OF_STREAM = aiohttp.ClientTimeout(total=None, sock_read=60.0)
_PIECE = 65_536  # bytes, of what is taken along
_KEY_BYTES = 18

ViewType = TypeVar("ViewType", bound=BaseModel)


class Calls:
    """Every method raises ApiError or ApiUnreachable."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url.rstrip("/")

    async def _get(
        self, view: type[ViewType], path: str, query: Mapping[str, str] | None = None
    ) -> ViewType:
        return view.model_validate(await self._call("GET", path, query=query))

    async def _post(
        self, view: type[ViewType], path: str, body: Mapping[str, Any] | None = None
    ) -> ViewType:
        """Have something done, once: by its key the server knows a call that comes again, as it
        does if the connection broke off before there was an answer."""
        key = {"Idempotency-Key": secrets.token_urlsafe(_KEY_BYTES)}
        try:
            answer = await self._call("POST", path, body=body or {}, headers=key)
        except _BrokenOff:
            answer = await self._call("POST", path, body=body or {}, headers=key)
        return view.model_validate(answer)

    async def _delete(self, view: type[ViewType], path: str) -> ViewType:
        return view.model_validate(await self._call("DELETE", path))

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        takes: frozenset[int] = frozenset(),
    ) -> Any:
        async with self._open(
            method, path, query=query, body=body, headers=headers, takes=takes
        ) as response:
            return await response.json(content_type=None)

    async def _take_along(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        timeout: aiohttp.ClientTimeout = TIMEOUT_OF_STREAM,
    ) -> AsyncIterator[bytes]:
        """Yield what may be too long to have at once, piece by piece."""
        async with self._open("GET", path, query=query, timeout=timeout) as response:
            async for each in response.content.iter_chunked(_PIECE):
                yield each

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: aiohttp.ClientTimeout = TIMEOUT,
        takes: frozenset[int] = frozenset(),
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield the answer, if it is a good one or `takes` has its status."""
        url = self._url + path
        try:
            async with self._session.request(
                method, url, params=query, json=body, headers=headers, timeout=timeout
            ) as response:
                if response.status >= 400 and response.status not in takes:
                    raise _error(response.status, await response.json(content_type=None))
                yield response
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            why = str(error) or type(error).__name__
            unreachable = _BrokenOff if _is_broken_off(error) else ApiUnreachable
            raise unreachable(f"no pgcurfew answers at {self._url}: {why}") from error


class _BrokenOff(ApiUnreachable):
    """There was a connection, and it ended before the answer did: who knows what was done."""


def _is_broken_off(error: Exception) -> bool:
    broken = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError)
    return isinstance(error, broken) and not isinstance(error, aiohttp.ClientConnectorError)


def query_of(**values: str | int | datetime | None) -> dict[str, str]:
    """Return what is given as a query string has it."""
    return {name: _text(value) for name, value in values.items() if value is not None}


def _text(value: str | int | datetime) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def quoted(name: str) -> str:
    return quote(name, safe="")


def _error(status: int, content: Any) -> ApiError:
    if not isinstance(content, dict):
        return ApiError(status, "unknown", f"the server answered {status}")
    errors = [
        WrongField(each["field"], each["message"], tuple(each.get("allowed", ())))
        for each in content.get("errors", ())
    ]
    detail, code = str(content.get("detail", "")), str(content.get("code", "unknown"))
    return ApiError(status, code, detail, errors)
