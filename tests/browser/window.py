"""A window of a browser, and what it complains about."""

from dataclasses import dataclass, field

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page

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

    def on_page(page: Page) -> None:
        page.on("pageerror", lambda error: complaints.found.append(f"error: {error}"))
        page.on(
            "console",
            lambda message: (
                message.type == "error" and complaints.found.append(f"console: {message.text}")
            ),
        )
        page.on("dialog", lambda dialog: complaints.found.append(f"dialog: {dialog.message}"))

    for page in context.pages:
        on_page(page)
    context.on("page", on_page)
    return complaints
