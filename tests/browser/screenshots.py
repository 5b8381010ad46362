"""Takes a picture of every page, light and dark, wide and narrow, into screenshots/: to be looked
at. Those that the README shows go to docs/, too."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.chromium import ARGUMENTS, NoBrowser, find_chromium
from tests.browser.window import sign_in
from tests.support.servers import MissingServers, find_sources
from tests.support.showcase import AUDITOR, OPERATOR, Showcase, run_showcase
from tests.support.stage import DEV, REVIEWER

ROOT = Path(__file__).parents[2]
PICTURES, DOCS = ROOT / "screenshots", ROOT / "docs"

_WIDTHS = {"wide": (1280, 860), "phone": (390, 844)}
_THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_README = {
    ("approvals", "wide", "light"): "approvals.png",
    ("overview", "wide", "dark"): "overview.png",
    ("approvals", "phone", "light"): "approvals-phone.png",
}


@dataclass(frozen=True, slots=True)
class View:
    """A page as somebody sees it; `click` names what they click on first."""

    name: str
    path: str
    email: str | None = DEV
    click: str | None = None


def views_of(showcase: Showcase) -> tuple[View, ...]:
    """Return every page that there is."""
    found = showcase.landmarks
    return (
        View("sign-in", "/sign-in", None),
        View("request-for-strangers", "/request?target=orders&role=orders_reader&for=1h", None),
        View("overview", "/", OPERATOR),
        View("overview-developer", "/"),
        View("request", "/request?target=orders&role=orders_writer&for=30m"),
        View("access", "/access"),
        View("secret", "/access", click="text=Get a secret"),
        View("approvals", "/approvals", REVIEWER),
        View("requests", "/requests", OPERATOR),
        View("requests-drawer", "/requests", OPERATOR, click="[data-drawer] >> nth=1"),
        View("request-ended", f"/requests/{found.ended_request}", REVIEWER),
        View("request-pending", f"/requests/{found.pending_request}", REVIEWER),
        View("sessions", "/sessions", OPERATOR),
        View("session", f"/sessions/{found.ended_session}"),
        View("statements", "/sessions/statements?text=orders", OPERATOR),
        View("targets", "/targets", OPERATOR),
        View("target", "/targets/orders", OPERATOR),
        View("target-developer", "/targets/orders"),
        View("policies", "/policies?target=orders&role=orders_writer&duration=2h", REVIEWER),
        View("policies-version", "/policies/versions/2", REVIEWER),
        View("audit", "/audit", AUDITOR),
        View("verification", "/audit/verification", AUDITOR),
        View("me", "/me"),
        View("not-found", "/requests/req_0000000000000000"),
        View("docs", "/docs", None),
    )


def take(showcase: Showcase, browser: Browser) -> Iterator[Path]:
    """Yield each picture as it is taken."""
    for width, size in _WIDTHS.items():
        for theme in _THEMES:
            pages: dict[str | None, Page] = {}
            for view in views_of(showcase):
                if view.email not in pages:
                    context = browser.new_context(
                        base_url=showcase.service.api_url,
                        viewport={"width": size[0], "height": size[1]},
                        color_scheme=theme,
                    )
                    token = showcase.service.tokens[view.email] if view.email else None
                    pages[view.email] = sign_in(context, token)
                picture = PICTURES / f"{view.name}-{width}-{theme}.png"
                _take_one(pages[view.email], view, picture)
                yield picture
                if name := _README.get((view.name, width, theme)):
                    shutil.copy(picture, DOCS / name)


def _take_one(page: Page, view: View, picture: Path) -> None:
    page.goto(view.path)
    if view.click is not None:
        page.click(view.click)
    page.wait_for_load_state("load")
    page.wait_for_function("!document.querySelector('.htmx-request')")
    page.screenshot(path=picture, full_page=view.click is None)


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    (*_, newest) = find_sources()
    with (
        tempfile.TemporaryDirectory(prefix="pgcurfew-screenshots-") as folder,
        newest.run() as server,
        run_showcase(server, Path(folder)) as showcase,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=[*ARGUMENTS])
        count = sum(1 for _ in take(showcase, browser))
        browser.close()
    print(f"{count} pictures in {PICTURES.relative_to(ROOT)}/")


if __name__ == "__main__":
    try:
        main()
    except (NoBrowser, MissingServers) as error:
        sys.exit(str(error))
