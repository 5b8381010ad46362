"""Lines of JSON over HTTPS: who answers 2xx has them all."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from broker.sink.address import HttpsSink
from broker.sink.sender import TIMEOUT_S, SinkUnreachable, json_line


@asynccontextmanager
async def open_https(address: HttpsSink) -> AsyncIterator["HttpsSender"]:
    async with aiohttp.ClientSession() as session:
        yield HttpsSender(address, session)


class HttpsSender:
    def __init__(self, address: HttpsSink, session: aiohttp.ClientSession) -> None:
        self._address = address
        self._session = session

    async def send(self, lines: Sequence[dict[str, Any]]) -> None:
        headers = {"Content-Type": "application/x-ndjson"}
        if self._address.token is not None:
            headers["Authorization"] = f"Bearer {self._address.token}"
        body = b"".join(json_line(line) + b"\n" for line in lines)
        try:
            async with self._session.post(
                self._address.url,
                data=body,
                headers=headers,
                ssl=self._address.context,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                allow_redirects=False,  # the token is for nobody else
            ) as response:
                if not 200 <= response.status < 300:
                    raise SinkUnreachable(f"it answers {response.status}")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise SinkUnreachable(str(error) or type(error).__name__) from error
