"""What people do on pages on the way to their access and back, step by step."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.support.service import clean_environment
from tests.support.showcase import OPERATOR

PATIENCE_S = 30

_ROOT, _PSQL = "Copy: In a terminal: adds it to those that are there", "Copy: In a terminal"


def enter(page: Page, token: str) -> None:
    page.goto("/sign-in")
    page.get_by_label("Personal token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def ask_for_writer(page: Page, reason: str) -> None:
    """Find the role, hear who has to agree, and ask."""
    page.get_by_role("link", name="Request access").click()
    page.get_by_role("link", name="orders_writer", exact=True).click()
    page.get_by_label("For how long").fill("30m")
    preview = page.get_by_role("region", name="If you ask")
    expect(preview).to_contain_text("must agree first")
    expect(preview).to_contain_text("Policywriters")
    expect(preview).to_contain_text("Lasts30m")
    page.get_by_label("Why").fill(reason)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Request req_")


def approve(page: Page, card: Locator) -> None:
    expect(card).to_contain_text("INSERT on")  # what it would let them do
    card.get_by_role("radio", name=re.compile("^15m")).check()
    card.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status").filter(has_text="You approved this for 15m")).to_be_visible()


def take_secret(page: Page, home: Path) -> str:
    """Return the line that the page offers for a shell, whose home trusts the proxy by then."""
    page.get_by_role("button", name="Get a new secret").click()
    secret = page.get_by_role("figure").filter(has_text="Secret").locator("code").inner_text()
    page.get_by_text("First time on this machine").click()
    with in_shell(_copied(page, _ROOT), home) as shell:
        assert shell.wait(PATIENCE_S) == 0
    line = _copied(page, _PSQL)
    assert secret in line
    page.get_by_role("link", name="Back to my access").click()
    expect(page.get_by_role("heading", name="orders_writer on orders")).to_be_visible()
    assert secret not in page.content()
    return line


def _copied(page: Page, button: str) -> str:
    """Return what is in the clipboard after a click."""
    page.get_by_role("button", name=button, exact=True).click()
    expect(page.get_by_role("button", name=button, exact=True)).to_have_text("Copied")
    return str(page.evaluate("navigator.clipboard.readText()"))


def end_session(page: Page) -> None:
    page.get_by_text("End this session").click()
    page.get_by_role("button", name="End it now").click()
    expect(page.get_by_role("main")).to_contain_text(f"Ended by{OPERATOR}")


def give_back(page: Page) -> None:
    page.goto("/access")
    page.get_by_text("Give it back", exact=True).first.click()
    page.get_by_role("button", name="Give it back").click()
    ended = page.get_by_role("row").filter(has_text="orders_writer").first
    expect(ended).to_contain_text("relinquished")


def read_the_receipt(page: Page) -> None:
    page.get_by_role("link", name="Request and receipt").first.click()
    receipt = page.get_by_role("region", name=re.compile("^Receipt"))
    expect(receipt).to_contain_text("The login is gone")
    expect(receipt).not_to_contain_text("Not proved")
    told = page.get_by_role("heading", name="All that happened").locator("~ ol").inner_text()
    events = ("asked for", "agreed", "was made", "connected", "ended a session", "gave the access")
    places = [told.find(each) for each in (*events, "proves that")]
    assert places == sorted(places), told
    assert -1 not in places, told


@contextmanager
def in_shell(line: str, home: Path) -> "Iterator[subprocess.Popen[str]]":
    """Run a line in somebody's shell."""
    with subprocess.Popen(
        ["sh", "-c", line],
        env={**clean_environment(), "HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def say(process: "subprocess.Popen[str]", text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{text}\n")
    process.stdin.flush()
