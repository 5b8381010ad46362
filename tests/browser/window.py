"""A window of a browser, and what it complains about."""

from dataclasses import dataclass, field

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, ConsoleMessage, Page

_SERIOUS = ("serious", "critical")


@dataclass(slots=True)
class Complaints:
    """What a browser says on its console, and dialogs that somebody's script opened."""

    found: list[str] = field(default_factory=list)


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
        report = Axe().run(self.page).response
        return [
            f"{each['id']}: {node['target']} {node.get('failureSummary', '')}"
            for each in report["violations"]
            if each["impact"] in _SERIOUS
            for node in each["nodes"]
        ]


def watch(context: BrowserContext) -> Complaints:
    complaints = Complaints()

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.found.append(f"console: {message.text}")

    def on_page(page: Page) -> None:
        page.on("pageerror", lambda error: complaints.found.append(f"error: {error}"))
        page.on("console", on_console)
        page.on("dialog", lambda dialog: complaints.found.append(f"dialog: {dialog.message}"))

    context.on("page", on_page)
    return complaints


def sign_in(context: BrowserContext, token: str | None) -> Page:
    """Return a window in which whose token it is has signed in, if anybody's."""
    page = context.new_page()
    page.goto("/sign-in")
    if token is not None:
        page.get_by_label("Personal token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/")
    return page
