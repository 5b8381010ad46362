"""Going through a page without a mouse."""

from playwright.sync_api import Locator, Page, expect

_MOST_TABS = 60
_HAS_FOCUS = "(element) => element === document.activeElement"
_SHOWS_FOCUS = """() => {
  const {outlineStyle, outlineWidth} = getComputedStyle(document.activeElement);
  return outlineStyle !== "none" && outlineWidth !== "0px";
}"""


def tab_to(page: Page, wanted: Locator, most: int = _MOST_TABS) -> None:
    """Press Tab until it has the focus, which is to be seen wherever it goes."""
    expect(wanted).to_be_attached()
    for _ in range(most):
        page.keyboard.press("Tab")
        assert page.evaluate(_SHOWS_FOCUS), page.evaluate("document.activeElement.outerHTML")
        if wanted.evaluate(_HAS_FOCUS):
            return
    raise AssertionError(f"{wanted} is more than {most} steps away")
