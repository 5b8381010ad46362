"""Small JSON documents from issuers: under a deadline and a limit, and from nowhere else.

Redirects are not followed: an issuer is where the settings say it is.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from broker.hanging_up import HANGING_UP
from broker.tls import web_context

DEADLINE_S = 5.0
_LARGEST = 1 << 18  # bytes; the largest key sets in use have some tens of kilobytes
# No compression: a few bytes would become any number.
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "pgcurfew"}


class Unusable(Exception):
    """The issuer did not answer, or not as it should."""


@dataclass(frozen=True, slots=True)
class Document:
    content: dict[str, Any]
    cache_control: str


@asynccontextmanager
async def open_http() -> AsyncIterator[httpx2.AsyncClient]:
    """Open what issuers are asked through. HTTPS_PROXY and SSL_CERT_FILE are heeded."""
    async with httpx2.AsyncClient(
        verify=web_context(),
        headers=_HEADERS,
        timeout=DEADLINE_S,
        follow_redirects=False,
        event_hooks=HANGING_UP,
    ) as http:
        yield http


async def fetch_document(
    http: httpx2.AsyncClient, url: str, access_token: str | None = None
) -> Document:
    """Return the JSON object at `url`. Raises Unusable."""
    headers = {} if access_token is None else {"Authorization": f"Bearer {access_token}"}
    try:
        async with (
            asyncio.timeout(DEADLINE_S),
            http.stream("GET", url, headers=headers) as response,
        ):
            if response.status_code != httpx2.codes.OK:
                raise Unusable(f"{url} answered {response.status_code}")
            content = json.loads(await _read(response, url))
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
        raise Unusable(f"{url} does not answer: {str(error) or type(error).__name__}") from error
    except (ValueError, RecursionError) as error:
        raise Unusable(f"{url} is not JSON") from error
    if not isinstance(content, dict):
        raise Unusable(f"{url} is not a JSON object")
    return Document(content, response.headers.get("Cache-Control", ""))


async def _read(response: httpx2.Response, url: str) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > _LARGEST:
            raise Unusable(f"{url} is larger than {_LARGEST} bytes")
    return bytes(body)
