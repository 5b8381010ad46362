"""Access from the first click to the receipt, as people get it: with a mouse, with a keyboard
alone, without JavaScript; and what pages say while other things happen."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.calls import ask, call
from tests.browser.keyboard import tab_to
from tests.browser.steps import (
    PATIENCE_S,
    approve,
    ask_for_writer,
    end_session,
    enter,
    give_back,
    in_shell,
    read_the_receipt,
    say,
    take_secret,
)
from tests.browser.window import Window
from tests.support.cable import lay_cable
from tests.support.service import Service
from tests.support.showcase import OPERATOR
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, SECOND_REVIEWER

pytestmark = pytest.mark.newest

Open = Callable[..., Window]

_PHONE = {"viewport": {"width": 390, "height": 844}}
_CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}
_SLEEP = "SELECT pg_sleep(60)"
_HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@contextmanager
def _without_loading(page: Page) -> Iterator[None]:
    """What changes meanwhile does so on the page that is open."""
    page.evaluate("window.isStillThere = true")
    yield
    assert page.evaluate("window.isStillThere === true")


def test_access_from_the_first_click_to_the_receipt(
    service: Service, window_of: Open, tmp_path: Path
) -> None:
    dev, reviewer = window_of(None, **_CLIPBOARD).page, window_of(REVIEWER).page
    operator = window_of(OPERATOR).page
    enter(dev, service.tokens[DEV])
    reviewer.goto("/approvals")
    with _without_loading(reviewer):
        ask_for_writer(dev, reason="order 4711 has the wrong item")
        card = reviewer.get_by_role("article").filter(has_text="order 4711")
        expect(card).to_contain_text(f"{DEV} asks for orders_writer on orders, for 30m")
    with _without_loading(dev):
        approve(reviewer, card)
        expect(dev.get_by_role("main")).to_contain_text(f"{REVIEWER} approved this for 15m")
    dev.get_by_role("link", name="Use it, extend it or give it back").click()
    line = take_secret(dev, tmp_path)
    operator.goto("/sessions")
    expect(operator.get_by_text("Nobody is connected")).to_be_visible()
    with in_shell(line, tmp_path) as psql:
        say(psql, f"SELECT 6 * 7 AS answer; {_SLEEP};")
        with _without_loading(operator):
            row = operator.get_by_role("row").filter(has_text=_SLEEP)
            expect(row).to_contain_text(DEV)
        row.get_by_role("link", name="Session ses_").click()
        end_session(operator)
        said, complained = psql.communicate(timeout=PATIENCE_S)
    assert "42" in said
    assert f"was ended by {OPERATOR}" in complained
    give_back(dev)
    read_the_receipt(dev)


def test_without_a_mouse(service: Service, window_of: Open) -> None:
    """By Tab, Enter, Space and what one types; one always sees where one is."""
    dev, reviewer = window_of(DEV).page, window_of(REVIEWER).page
    dev.goto("/request")
    tab_to(dev, dev.get_by_role("link", name="Skip to what this page says"))
    dev.keyboard.press("Enter")
    tab_to(dev, dev.get_by_role("link", name="orders_writer", exact=True), most=8)
    dev.keyboard.press("Enter")
    tab_to(dev, dev.get_by_label("For how long"))
    dev.keyboard.press("Control+A")
    dev.keyboard.type("25m")
    tab_to(dev, dev.get_by_label("Why"))
    dev.keyboard.type("no mouse at hand")
    tab_to(dev, dev.get_by_role("button", name="Ask", exact=True))
    dev.keyboard.press("Enter")
    expect(dev.get_by_role("heading", level=1)).to_contain_text("Request req_")
    reviewer.goto("/approvals")
    card = reviewer.get_by_role("article").filter(has_text="no mouse at hand")
    tab_to(reviewer, card.get_by_role("radio").first)
    reviewer.keyboard.press("ArrowRight")
    tab_to(reviewer, card.get_by_label("Comment, or the reason to deny it"))
    reviewer.keyboard.type("here you are")
    tab_to(reviewer, card.get_by_role("button", name="Approve"))
    reviewer.keyboard.press("Enter")
    expect(reviewer.get_by_role("status").filter(has_text="You approved this")).to_be_visible()
    _open_and_close_the_drawer(reviewer)


def _open_and_close_the_drawer(page: Page) -> None:
    page.goto("/requests")
    link = page.get_by_role("cell").get_by_role("link").first
    drawer = page.get_by_role("dialog", name="Details")
    tab_to(page, link)
    for way_out in ("Escape", "Enter"):
        page.keyboard.press("Enter")
        expect(drawer).to_contain_text("no mouse at hand")
        if way_out == "Enter":
            tab_to(page, drawer.get_by_role("button", name="Close"))
        page.keyboard.press(way_out)
        expect(drawer).to_be_hidden()
        expect(link).to_be_focused()


def test_without_a_script(service: Service, window_of: Open) -> None:
    """With plain links and forms: asking, approving, taking the secret, giving it back."""
    dev = window_of(DEV, java_script_enabled=False).page
    reviewer = window_of(REVIEWER, java_script_enabled=False).page
    dev.goto("/request?target=orders&role=orders_owner&for=20m&reason=plain")
    dev.get_by_label("For how long").fill("3h")
    dev.get_by_role("button", name="Check").click()
    expect(dev.get_by_role("region", name="If you ask")).to_contain_text("3h is too long")
    dev.get_by_label("For how long").fill("20m")
    dev.get_by_role("button", name="Ask", exact=True).click()
    reviewer.goto("/approvals")
    card = reviewer.get_by_role("article").filter(has_text="plain")
    card.get_by_role("link", name="What it would let them do").click()
    expect(reviewer.get_by_role("main")).to_contain_text("risk")
    reviewer.go_back()
    card.get_by_role("radio", name=re.compile("^15m")).check()
    card.get_by_role("button", name="Approve").click()
    expect(reviewer.get_by_role("status")).to_contain_text("You approved this for 15m")
    dev.goto("/access")
    held = dev.get_by_role("article").filter(has_text="orders_owner")
    held.get_by_role("button", name="Get a new secret").click()
    expect(dev.get_by_role("figure").filter(has_text="Secret")).to_be_visible()
    dev.get_by_role("link", name="Back to my access").click()
    held.locator("summary").get_by_text("Give it back").click()
    held.get_by_role("button", name="Give it back").click()
    over = dev.get_by_role("row").filter(has_text="orders_owner")
    expect(over).to_contain_text("relinquished")


def test_what_comes_in_meanwhile_shows_up_and_what_was_typed_stays(
    service: Service, window_of: Open
) -> None:
    """Another request, a comment, and a decision of somebody else."""
    first, second = ask(service, "the first"), ask(service, "the second", OTHER_DEV)
    page = window_of(REVIEWER).page
    page.goto("/approvals")
    card = page.locator(f"#card-{first}")
    card.get_by_label("Other", exact=True).locator("..").get_by_placeholder("20m").fill("25m")
    expect(card.get_by_label("Other", exact=True)).to_be_checked()
    comment = card.get_by_label("Comment, or the reason to deny it")
    comment.fill("half a sen")
    card.get_by_text("Other terms").click()
    third = ask(service, "the third")
    call(service, SECOND_REVIEWER, f"/v1/requests/{first}/comments", text="look at this one")
    call(service, SECOND_REVIEWER, f"/v1/requests/{second}/denial", reason="not today")
    expect(page.locator(f"#card-{third}")).to_contain_text("the third")
    expect(card).to_contain_text("look at this one")
    expect(page.locator(f"#card-{second}")).to_contain_text("denied this on")
    expect(comment).to_have_value("half a sen")
    expect(comment).to_be_visible()
    expect(card.get_by_label("From networks")).to_be_visible()
    expect(card.get_by_placeholder("20m")).to_have_value("25m")
    card.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status").filter(has_text="You approved this")).to_contain_text("25m")


def test_a_thumb_decides_on_a_phone(service: Service, window_of: Open) -> None:
    asked = ask(service, "in a hurry")
    window = window_of(REVIEWER, **_PHONE)
    page = window.page
    page.goto("/approvals")
    card = page.locator(f"#card-{asked}")
    expect(card.locator("#blast-radius, .blast p").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for name in ("Approve", "Deny"):
        box = card.get_by_role("button", name=name).bounding_box()
        assert box is not None
        assert box["height"] >= 44
    assert window.serious_faults() == []
    card.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("status").filter(has_text="You denied this on")).to_be_visible()


def test_the_drawer_shows_all_of_a_request_without_leaving_the_list(
    service: Service, window_of: Open
) -> None:
    asked = ask(service, "to be looked at")
    window = window_of(REVIEWER)
    page = window.page
    page.goto("/requests")
    page.locator(f"#row-{asked}").get_by_role("link").first.click()
    drawer = page.get_by_role("dialog", name="Details")
    expect(drawer).to_contain_text("to be looked at")
    expect(drawer.locator("#blast-radius")).to_contain_text("Reads")
    expect(drawer.get_by_role("link", name="Open as a page")).to_have_attribute(
        "href", re.compile(f"/requests/{asked}$")
    )
    assert window.serious_faults() == []
    call(service, SECOND_REVIEWER, f"/v1/requests/{asked}/comments", text="from elsewhere")
    expect(drawer).to_contain_text("from elsewhere")
    drawer.get_by_role("button", name="Close").click()
    expect(drawer).to_be_hidden()
    assert page.url.endswith("/requests")


def test_a_lost_connection_is_said_and_what_was_missed_is_there_once_it_is_back(
    service: Service, window_of: Open
) -> None:
    api = urlsplit(service.api_url)
    assert api.hostname is not None
    assert api.port is not None
    with lay_cable(api.hostname, api.port) as cable:
        window = window_of(REVIEWER, base_url=f"http://127.0.0.1:{cable.port}")
        page = window.page
        page.goto("/approvals")
        lost = page.get_by_text("Connection lost: trying again. What you see may be old.")
        with _without_loading(page):
            cable.cut()
            expect(lost).to_be_visible()
            ask(service, "asked meanwhile")
            cable.mend()
            expect(lost).to_be_hidden()
            expect(page.get_by_role("article").filter(has_text="asked meanwhile")).to_be_visible()
        window.forget()  # what was being loaded when it was cut


def test_a_page_that_nobody_looks_at_keeps_no_connection(service: Service, window_of: Open) -> None:
    page = window_of(REVIEWER).page
    with page.expect_request("**/v1/events"):
        page.goto("/approvals")
    with _without_loading(page):
        with page.expect_event("requestfailed", lambda each: each.url.endswith("/v1/events")):
            page.evaluate(_HIDE, True)
        ask(service, "while it was hidden")
        with page.expect_request("**/v1/events"):
            page.evaluate(_HIDE, False)
        expect(page.get_by_role("article").filter(has_text="while it was hidden")).to_be_visible()


def test_who_comes_too_late_hears_who_decided_and_the_page_goes_on(
    service: Service, window_of: Open
) -> None:
    """A decision, and a request, that come while the page does not hear of them, and one after."""
    asked = ask(service, "both want to answer")
    page = window_of(REVIEWER).page
    page.route("**/v1/events", lambda route: route.abort())
    page.goto("/approvals")
    call(service, SECOND_REVIEWER, f"/v1/requests/{asked}/denial", reason="not today")
    card = page.get_by_role("article").filter(has_text="both want to answer")
    card.get_by_role("radio", name=re.compile("^15m")).check()
    card.get_by_role("button", name="Approve").click()
    said = page.get_by_role("alert")
    expect(said).to_contain_text(re.compile(f"{SECOND_REVIEWER} denied this on .*: not today"))
    # Only now: a page that follows again would have been told before it was clicked on.
    page.unroute("**/v1/events")
    with _without_loading(page):
        ask(service, "the next one")
        expect(page.get_by_role("article").filter(has_text="the next one")).to_be_visible()


def test_what_does_not_fit_is_said_beside_its_field_and_nothing_typed_is_lost(
    service: Service, window_of: Open
) -> None:
    asked = ask(service, "for a while")
    dev, reviewer = window_of(DEV).page, window_of(REVIEWER).page
    dev.goto("/request?target=orders&role=orders_writer")
    dev.get_by_label("For how long").fill("9h")
    dev.get_by_label("Why").fill("<b>because</b>")
    _send_wrongly(dev, dev.get_by_role("button", name="Ask", exact=True))
    _assert_wrong(dev.get_by_label("For how long"), "9h", "9h is too long")
    expect(dev.get_by_label("Why")).to_have_value("<b>because</b>")
    reviewer.goto("/approvals")
    card = reviewer.locator(f"#card-{asked}")
    card.get_by_label(re.compile("^Another time")).fill("soon")
    card.get_by_label("Comment, or the reason to deny it").fill("go on")
    _send_wrongly(reviewer, card.get_by_role("button", name="Approve"))
    group = card.get_by_role("group", name="Give it for")
    expect(group).to_have_accessible_description(re.compile("it is not a duration"))
    expect(card.get_by_label(re.compile("^Another time"))).to_have_value("soon")
    expect(card.get_by_label("Comment, or the reason to deny it")).to_have_value("go on")


def _send_wrongly(page: Page, button: Locator) -> None:
    with page.expect_navigation() as landed:
        button.click()
    assert landed.value.status == 422


def _assert_wrong(field: Locator, typed: str, said: str) -> None:
    expect(field).to_have_value(typed)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile(said))
