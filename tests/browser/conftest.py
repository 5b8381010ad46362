"""One service and one browser for all tests of a file; each test has windows of its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.chromium import ARGUMENTS, find_chromium
from tests.browser.window import Window, sign_in, watch
from tests.support.servers import Server
from tests.support.service import Service, run_service
from tests.support.showcase import IDENTITY, PEOPLE
from tests.support.stage import set_up_apart

expect.set_options(timeout=20_000)  # other tests keep the machine busy


@pytest.fixture(scope="module")
def service(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with (
        set_up_apart(server, tmp_path_factory.mktemp("service")) as stage,
        run_service(stage, PEOPLE, identity=IDENTITY) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def chromium(service: Service) -> Iterator[Browser]:
    """Begins after the service and ends before it: Playwright's event loop occupies this thread,
    and the service is set up and taken down with one, too."""
    del service
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=[*ARGUMENTS])
        yield browser
        browser.close()


@pytest.fixture
def window_of(service: Service, chromium: Browser) -> Iterator[Callable[..., Window]]:
    """Return a function that opens a window in which somebody has signed in, or a stranger's.

    Whatever the browser complains about in any of them, scripts that it would not run above all,
    fails the test.
    """
    with ExitStack() as stack:
        windows: list[Window] = []

        def open_window(email: str | None, **options: Any) -> Window:
            context = chromium.new_context(**{"base_url": service.api_url, **options})
            stack.callback(context.close)
            complaints = watch(context)
            token = service.tokens[email] if email is not None else None
            window = Window(sign_in(context, token), complaints)
            windows.append(window)
            return window

        yield open_window
        for each in windows:
            each.check()
