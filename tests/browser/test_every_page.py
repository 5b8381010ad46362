"""Every page: who can read it, what the browser may do there, what it weighs, and what becomes of
texts that would rather be scripts."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, Response, ViewportSize, expect

from api.access import ROUTES
from api.input import queries
from tests.browser.forms import (
    Form,
    Kind,
    find_forms,
    lost_fields,
    open_first,
    send,
    shows,
    wrong_fields,
)
from tests.browser.hostile_texts import HOSTILE, caught, left_in
from tests.browser.views import VIEWS, View, open_view
from tests.browser.window import Window, Windows
from tests.support.servers import Server
from tests.support.service import Service
from tests.support.showcase import Showcase, run_showcase

pytestmark = pytest.mark.newest

# By whose pages they are on; those of a kind together.
Forms = dict[str | None, list[list[Form]]]

_MOST_BYTES = 60_000
_WIDE: ViewportSize = {"width": 1280, "height": 860}
_PHONE: ViewportSize = {"width": 390, "height": 844}
# What is no page: files, and what leads elsewhere.
_NO_PAGES = {
    "/static/{digest}/{name}",
    "/access/root.crt",
    "/audit/export",
    "/grants/{id}",
    "/sign-in/{provider}",
    "/sign-in/{provider}/callback",
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/metrics",
}
_FORMS = {
    "/sign-in",
    "/request",
    "/requests",
    "/requests/ID/approval",
    "/requests/ID/denial",
    "/requests/ID/comments",
    "/access/ID/extension",
    "/grants/ID/extension",
    "/grants/ID/revocation",
    "/grants/ID/review",
    "/sessions/statements",
    "/policies",
    "/audit",
}
# More of them have the same faults, and to look at them takes long.
_LEAVE_SOME = """document.querySelectorAll(
  "tbody tr:nth-child(n+9), .timeline > li:nth-child(n+9), .lines > li:nth-child(n+4)"
).forEach((each) => each.remove())"""
_HEADINGS = "main h1, main h2"
_ABOUT = re.compile(r"(/requests|/grants)/\w+(?=/)")
# What makes one scroll sideways, if anything does.
_TOO_WIDE = """() => document.documentElement.scrollWidth <= window.innerWidth ? [] :
  [...document.querySelectorAll("body *")].filter(
    (each) => each.getBoundingClientRect().right > window.innerWidth
  ).map((each) => each.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def showcase(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Showcase]:
    with run_showcase(server, tmp_path_factory.mktemp("showcase")) as running, left_in(running):
        yield running


@pytest.fixture(scope="module")
def service(showcase: Showcase) -> Service:
    return showcase.service


@pytest.fixture(scope="module")
def windows(chromium: Browser, service: Service) -> Windows:
    return Windows(chromium, service, {"reduced_motion": "reduce"})


@pytest.fixture(scope="module")
def plain(chromium: Browser) -> Page:
    """A browser that runs no script, and shows what it is given."""
    return chromium.new_context(java_script_enabled=False).new_page()


@pytest.fixture(scope="module")
def trusting_windows(chromium: Browser, service: Service) -> Windows:
    """Browsers that run whatever they get: what keeps scripts out is not the policy."""
    return Windows(chromium, service, {"bypass_csp": True})


@pytest.fixture(scope="module")
def forms(trusting_windows: Windows, showcase: Showcase) -> Forms:
    """All forms into which one types something, by who has them on their pages."""
    return {
        email: find_forms(trusting_windows.of(email).page, paths)
        for email, paths in _paths(showcase).items()
    }


@dataclass(frozen=True, slots=True)
class Seen:
    """A page that is open, what the server answered, and whom the browser asked for anything."""

    view: View
    window: Window
    response: Response
    html: str = field(repr=False)
    asked: tuple[str, ...] = field(repr=False)


_BY_PERSON = sorted(VIEWS, key=lambda view: view.email or "")


@pytest.fixture(scope="module", params=_BY_PERSON, ids=[view.name for view in _BY_PERSON])
def seen(request: pytest.FixtureRequest, windows: Windows, showcase: Showcase) -> Seen:
    view: View = request.param
    window = windows.of(view.email)
    window.page.set_viewport_size(_WIDE)
    before = len(window.complaints.asked)
    response = open_view(window.page, view, showcase.landmarks)
    asked = window.complaints.asked[before:]
    return Seen(view, window, response, response.text(), tuple(asked))


class _Inline(HTMLParser):
    """What in a page would run, or be drawn, without coming from a file."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in named):
            self.found.append(f"<{tag}>")
        self.found += [
            f"{tag} {name}={text}"
            for name, text in attrs
            if name == "style"
            or name.startswith(("on", "hx-on"))
            or (text or "").lower().startswith(("javascript:", "js:"))
        ]


def test_every_page_is_looked_at() -> None:
    pages = {path for path in map(_path, ROUTES) if path and not path.startswith("/v1/")}
    opened = {view.path.partition("?")[0] for view in VIEWS}
    missing = {
        page
        for page in pages - _NO_PAGES
        if not any(re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", page), path) for path in opened)
    }
    assert missing == set()
    assert pages >= _NO_PAGES


def _path(route: str) -> str | None:
    method, _, path = route.partition(" ")
    return path if method == "GET" else None


def test_a_page_runs_and_draws_nothing_but_our_own_files(seen: Seen, service: Service) -> None:
    assert _Inline(seen.html).found == []
    policy = seen.response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe-eval" not in policy
    may_be_styled = seen.view.name == "docs"
    assert policy.count("unsafe-inline") == may_be_styled
    assert may_be_styled is ("style-src 'self' 'unsafe-inline'" in policy)
    elsewhere = [url for url in seen.asked if not url.startswith((service.api_url, "data:"))]
    assert elsewhere == []


def test_nothing_on_a_page_goes_wrong_and_texts_stay_texts(seen: Seen) -> None:
    """Every text that somebody can leave in the ledger or on the target would be a script."""
    assert caught(seen.window.page) == []
    seen.window.check()


def test_a_page_is_light(seen: Seen) -> None:
    assert 0 < seen.response.request.sizes()["responseBodySize"] <= _MOST_BYTES


def test_everybody_can_read_it_in_any_light_and_on_any_screen(seen: Seen) -> None:
    if seen.view.name == "docs":
        pytest.skip("Swagger UI is not ours to mend")
    page = seen.window.page
    page.evaluate(_LEAVE_SOME)
    faults = seen.window.serious_faults()
    page.set_viewport_size(_PHONE)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(_TOO_WIDE) == []
    faults += seen.window.serious_faults()
    page.emulate_media(color_scheme="light")
    assert faults == []


def test_a_page_says_the_same_without_a_script(seen: Seen, plain: Page) -> None:
    plain.set_content(seen.html)
    assert plain.get_by_role("main").inner_text().strip()
    if not seen.view.needs_script:
        with_script = seen.window.page.locator(_HEADINGS).all_text_contents()
        assert plain.locator(_HEADINGS).all_text_contents() == with_script


def test_whatever_is_typed_into_any_field_stays_a_text(
    trusting_windows: Windows, forms: Forms
) -> None:
    """What a form does not take is said beside its field, in which it still stands; what it takes
    is shown as it was typed."""
    tried: set[Kind] = set()
    for email, kinds in forms.items():
        window = trusting_windows.of(email)
        for of_a_kind in kinds:
            kind = of_a_kind[0].kind
            if kind not in tried and _type_everywhere(window.page, of_a_kind):
                tried.add(kind)
        window.check()
    assert {kind.action for kind in tried} >= _FORMS


def _type_everywhere(page: Page, forms: list[Form]) -> bool:
    """Say whether one of these forms was there."""
    refused: set[str] = set()
    for picked in (-1, 0, 0):
        form = open_first(page, forms)
        if form is None:
            return False
        typed = {name: HOSTILE for name in form.fields if name not in refused}
        if not typed:
            return True
        answer = send(page, form, typed, picked=picked)
        assert caught(page) == []
        if answer.ok:
            _assert_shown(page, form)
            return True
        assert lost_fields(page, [*typed], HOSTILE) == set(), form
        wrong = wrong_fields(page, form)
        if not wrong:
            expect(page.get_by_role("alert")).not_to_be_empty()
            return True
        refused |= wrong
    raise AssertionError(f"{form} takes nothing")


def _assert_shown(page: Page, form: Form) -> None:
    """It is where the form leads to, or where all is said of what the form is about."""
    about = _ABOUT.match(form.action)
    if about is not None and not shows(page, HOSTILE[1:]):
        page.goto(about[0], wait_until="domcontentloaded")
    assert shows(page, HOSTILE[1:]), form  # a sentence may begin with it
    assert caught(page) == []


def test_whatever_a_link_says_stays_a_text(
    trusting_windows: Windows, showcase: Showcase, forms: Forms
) -> None:
    """Every parameter that any page takes, on every page."""
    schemas = [each for each in vars(queries).values() if isinstance(each, type)]
    names = {"to", "out", "done"}
    names |= {name for each in schemas for name in getattr(each, "model_fields", ())}
    names |= {name for kinds in forms.values() for kind in kinds for name in kind[0].fields}
    said = urlencode(dict.fromkeys(sorted(names), HOSTILE))
    for email, paths in _paths(showcase).items():
        page = trusting_windows.of(email).page
        page.goto("about:blank")
        for path in sorted({each.partition("?")[0] for each in paths}):
            page.set_content(page.request.get(f"{path}?{said}").text())
            assert caught(page) == [], path


def _paths(showcase: Showcase) -> dict[str | None, list[str]]:
    """Return the pages of each person."""
    paths = defaultdict(list)
    for view in VIEWS:
        paths[view.email].append(view.path_at(showcase.landmarks))
    return paths
