"""A window of a browser, what it complains about, and what it asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    Response,
)

from tests.support.service import Service

_SERIOUS = ("serious", "critical")
# What a browser says of every answer that is no success: those that are not a page's own are
# complained about by themselves.
_OF_AN_ANSWER = "Failed to load resource"
# As a browser says of a form of our own page.
_SAME_SITE = {"Sec-Fetch-Site": "same-origin"}
_AXE_IS_THERE = "typeof axe !== 'undefined'"
_RUN_AXE = "axe.run({resultTypes: ['violations'], preload: false})"


@dataclass(slots=True)
class Complaints:
    """What went wrong in a browser: scripts that it would not run, or that failed, answers to
    something other than a page, dialogs that somebody's script opened. And whom it asked for
    anything."""

    found: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list, repr=False)


@dataclass(frozen=True, slots=True)
class Window:
    page: Page
    complaints: Complaints

    def check(self) -> None:
        assert self.complaints.found == []

    def forget(self) -> None:
        """Pass over what was complained about so far: it was meant to be."""
        self.complaints.found.clear()

    def serious_faults(self) -> list[str]:
        """Return what somebody with a screen reader, or little sight, would stumble over."""
        if not self.page.evaluate(_AXE_IS_THERE):
            self.page.evaluate(AXE_SCRIPT)
        report = self.page.evaluate(_RUN_AXE)
        return [
            f"{each['id']}: {node['target']} {node.get('failureSummary', '')}"
            for each in report["violations"]
            if each["impact"] in _SERIOUS
            for node in each["nodes"]
        ]


def watch(context: BrowserContext) -> Complaints:
    complaints = Complaints()

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(_OF_AN_ANSWER):
            complaints.found.append(f"console: {message.text}")

    def on_response(response: Response) -> None:
        if (
            response.status >= HTTPStatus.BAD_REQUEST
            and not response.request.is_navigation_request()
        ):
            complaints.found.append(f"{response.status}: {response.url}")

    def on_dialog(dialog: Dialog) -> None:
        complaints.found.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def on_page(page: Page) -> None:
        page.on("pageerror", lambda error: complaints.found.append(f"error: {error}"))
        page.on("console", on_console)
        page.on("dialog", on_dialog)

    def on_request(request: Request) -> None:
        complaints.asked.append(request.url)

    context.on("page", on_page)
    context.on("request", on_request)
    context.on("response", on_response)
    return complaints


def sign_in(context: BrowserContext, token: str | None) -> Page:
    """Return a window in which whose token it is has signed in, if anybody's: without the form,
    which takes longer."""
    if token is not None:
        answer = context.request.post("/sign-in", form={"token": token}, headers=_SAME_SITE)
        assert answer.ok, answer.text()
    return context.new_page()


@dataclass(slots=True)
class Windows:
    """A window for each person, all with the same options, of which one is used at a time: others
    would go on loading what concerns them."""

    browser: Browser
    service: Service
    options: Mapping[str, Any]
    _opened: dict[str | None, Window] = field(default_factory=dict)
    _used: Window | None = None

    def of(self, email: str | None) -> Window:
        window = self._opened.get(email) or self._open(email)
        if self._used not in (None, window):
            self._used.page.goto("about:blank")
        self._used = window
        return window

    def _open(self, email: str | None) -> Window:
        context = self.browser.new_context(base_url=self.service.api_url, **self.options)
        complaints = watch(context)
        token = self.service.tokens[email] if email is not None else None
        self._opened[email] = Window(sign_in(context, token), complaints)
        return self._opened[email]
