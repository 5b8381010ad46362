"""Takes a picture of every page, light and dark, wide and narrow, into screenshots/: to be looked
at. Those that the README shows go to docs/, too."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.chromium import ARGUMENTS, NoBrowser, find_chromium
from tests.browser.views import VIEWS, View, open_view
from tests.browser.window import sign_in
from tests.support.servers import MissingServers, find_sources
from tests.support.showcase import Showcase, run_showcase

ROOT = Path(__file__).parents[2]
PICTURES, DOCS = ROOT / "screenshots", ROOT / "docs"

_WIDTHS = {"wide": (1280, 860), "phone": (390, 844)}
_THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
# Their files, and how much of them is shown.
_README = {
    ("approvals", "wide", "light"): ("approvals.png", 1240),
    ("overview", "wide", "dark"): ("overview.png", 1260),
}


def take(showcase: Showcase, browser: Browser) -> Iterator[Path]:
    """Yield each picture as it is taken."""
    for width, size in _WIDTHS.items():
        for theme in _THEMES:
            pages: dict[str | None, Page] = {}
            for view in VIEWS:
                if view.email not in pages:
                    context = browser.new_context(
                        base_url=showcase.service.api_url,
                        viewport={"width": size[0], "height": size[1]},
                        color_scheme=theme,
                        reduced_motion="reduce",
                    )
                    token = showcase.service.tokens[view.email] if view.email else None
                    pages[view.email] = sign_in(context, token)
                page = pages[view.email]
                open_view(page, view, showcase.landmarks)
                yield _picture(page, PICTURES / f"{view.name}-{width}-{theme}.png", view)
                if shown := _README.get((view.name, width, theme)):
                    name, height = shown
                    page.set_viewport_size({"width": size[0], "height": height})
                    page.screenshot(path=DOCS / name)
                    page.set_viewport_size({"width": size[0], "height": size[1]})


def _picture(page: Page, path: Path, view: View) -> Path:
    # What lies over a page, as the drawer does, is no taller than the window.
    page.screenshot(path=path, full_page=not view.needs_script)
    return path


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
