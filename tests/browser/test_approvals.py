"""Approvals in a browser: what comes in meanwhile, and what somebody has typed."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.calls import ask, call
from tests.browser.window import Window
from tests.support.service import Service
from tests.support.stage import OTHER_DEV, REVIEWER, SECOND_REVIEWER

pytestmark = pytest.mark.newest
PHONE = {"viewport": {"width": 390, "height": 844}}


def test_what_comes_in_meanwhile_shows_up_and_what_was_typed_stays(
    service: Service, window_of: Callable[..., Window]
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


def test_a_thumb_decides_on_a_phone(service: Service, window_of: Callable[..., Window]) -> None:
    asked = ask(service, "in a hurry")
    window = window_of(REVIEWER, **PHONE)
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
    service: Service, window_of: Callable[..., Window]
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
