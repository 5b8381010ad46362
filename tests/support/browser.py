"""Browsers, as far as signing in is concerned, and the site that they visit, with a clock of its
own."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import httpx2
from aiohttp.test_utils import TestServer

from api.app import make_app
from api.callers.door import Door
from broker.service.broker import Broker
from broker.tls import web_context
from tests.support.ports import free_port
from tests.support.provider import CLI_CLIENT, WEB_CLIENT, Provider
from tests.support.stage import Stage

KEY = bytes(range(32))


@dataclass(slots=True)
class Clock:
    """Begins at the real time, which the provider has too, and goes on only when told."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        return self.at

    def advance(self, by: timedelta) -> None:
        self.at += by


class Browser(httpx2.AsyncClient):
    """Keeps cookies, asks for pages, and says truthfully where its forms come from."""

    async def read_page(self, path: str) -> str:
        """Return the text of a page that must be there."""
        answer = await self.get(path)
        assert answer.status_code == httpx2.codes.OK, (answer.status_code, answer.text)
        return answer.text

    async def submit(self, path: str, **fields: str) -> httpx2.Response:
        """Send a form of one of our pages, without its CSRF token."""
        headers = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}
        return await self.post(path, data=fields, headers=headers)

    async def submit_from(self, page: str, path: str, **fields: str) -> httpx2.Response:
        """Open a page, fill its form in, and send it."""
        return await self.submit(path, csrf=self.token_in(await self.read_page(page)), **fields)

    async def sign_in(
        self, provider: Provider, email: str | None, to: str = "/me"
    ) -> httpx2.Response:
        """Sign in with the provider; return what the browser gets when it comes back."""
        return await self.get(await self.go_and_come_back(provider, email, to))

    async def go_and_come_back(self, provider: Provider, email: str | None, to: str = "/me") -> str:
        """Return where the provider sends the browser."""
        sent = await self.get("/sign-in/company", params={"to": to})
        assert sent.status_code == httpx2.codes.SEE_OTHER, sent.text
        return await provider.let_in(sent.headers["Location"], email)

    @staticmethod
    def token_in(page: str) -> str:
        """Return the CSRF token in the page's form."""
        found = re.search(r'name="csrf" value="([^"]+)"', page)
        assert found is not None, page
        return unescape(found[1])

    @property
    def origin(self) -> str:
        return str(self.base_url).rstrip("/")


@dataclass(frozen=True, slots=True)
class Site:
    broker: Broker
    door: Door
    clock: Clock
    url: str

    def browser(self, **cookies: str) -> Browser:
        headers = {"Accept": "text/html"}
        # There is no TLS, but httpx2 would read all that this machine trusts, again and again.
        return Browser(base_url=self.url, headers=headers, cookies=cookies, verify=web_context())


@asynccontextmanager
async def site_of(
    stage: Stage,
    *,
    keys: tuple[bytes, ...] = (KEY,),
    clock: Clock | None = None,
    edit: Callable[[dict[str, Any]], None] = lambda _identity: None,
    public_url: str | None = None,
    policies: tuple[dict[str, Any], ...] = (),
    **sections: Any,
) -> AsyncIterator[Site]:
    """Serve what the stage's settings say; `edit` may change their section `identity`, and
    `policies` take the place of the usual ones, as `Stage.write_policies` has it, as `sections` of
    the settings do."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    known_as = public_url or url
    identity = stage.settings()["identity"]
    edit(identity)
    stage.write_settings(identity=identity, api={"public_url": known_as}, **sections)
    if policies:
        stage.write_policies(*policies)
    clock = clock or Clock()
    async with stage.broker() as made:
        broker = Broker(replace(made.context, now=clock.now))
        door = Door(known_as, keys)
        async with TestServer(make_app(broker, door), host="127.0.0.1", port=port):
            yield Site(broker, door, clock, url)


def with_provider(provider: Provider) -> Callable[[dict[str, Any]], None]:
    """Return the edit that lets people sign in with this provider, called company."""

    def edit(identity: dict[str, Any]) -> None:
        identity["groups"] = ["night-shift"]
        identity["providers"] = [
            {
                "name": "company",
                "issuer": provider.issuer,
                "client_id": WEB_CLIENT,
                "client_secret": "file:password",
                "cli_client_id": CLI_CLIENT,
                "domains": ["example.com"],
            }
        ]

    return edit
