"""The forms of pages, found there, so that no field that somebody adds is forgotten."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from playwright.sync_api import Page, Response

_ID = re.compile(r"\b[a-z]{3}_[0-9a-z]+")
_TEXTS = "textarea, input:not([type=hidden], [type=checkbox], [type=radio])"
# A form with several buttons may be sent to several places.
_FIND = """([html, texts]) => {
  const page = new DOMParser().parseFromString(html, "text/html");
  return [...page.forms].flatMap((form) => {
    const fields = [...new Set([...form.querySelectorAll(texts)].map((each) => each.name))];
    const actions = [...form.querySelectorAll("button")].map(
      (button) => button.getAttribute("formaction") ?? form.getAttribute("action"));
    return fields.length ? [...new Set(actions)].map((action) => ({action, fields})) : [];
  });
}"""
# Whatever a browser would hold back is sent, too: we are not to rely on it.
_SEND = """([action, texts, typed, usual, picked]) => {
  const sends = (button) =>
    (button.getAttribute("formaction") ?? button.form.getAttribute("action")) === action;
  const button = [...document.querySelectorAll("form button")].find(sends);
  for (const field of button.form.querySelectorAll(texts)) {
    field.removeAttribute("maxlength");
    if (field.matches("input:not([type=password])")) field.type = "text";
    if (field.name in typed) field.value = typed[field.name];
    else if (!field.value) field.value = usual[field.name] ?? "";
  }
  const radios = Object.groupBy(button.form.querySelectorAll("[type=radio]"), (each) => each.name);
  for (const group of Object.values(radios)) group.at(picked).checked = true;
  button.form.noValidate = true;
  button.form.requestSubmit(button);
}"""
_IS_THERE = """(action) => [...document.querySelectorAll("form button")].some((button) =>
    (button.getAttribute("formaction") ?? button.form.getAttribute("action")) === action)"""
# What a screen reader says of a field, or of the group that it is in.
_WRONG = """(names) => names.filter((name) =>
  [...document.querySelectorAll(`[name="${name}"]`)].some((field) =>
    [field, field.closest("fieldset")].some((each) =>
      (each?.getAttribute("aria-describedby") ?? "").split(" ").some(
        (id) => id && document.getElementById(id)?.matches(".fault:not(:empty)")))))"""
_LOST = """([names, text]) => names.filter((name) => {
  const fields = [...document.querySelectorAll(`[name="${name}"]`)].filter(
    (each) => each.matches("textarea, [type=text], [type=search], [type=email], [type=url]"));
  return fields.length && !fields.some((each) => each.value === text);
})"""
_SHOWS = """(text) => document.body.textContent.includes(text)
  || [...document.querySelectorAll("input, textarea")].some((each) => each.value.includes(text))"""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a form has in common with that of another request or grant."""

    action: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """Where it is, where it leads, and which texts one types into it."""

    path: str
    action: str
    fields: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        return Kind(_ID.sub("ID", self.action.partition("#")[0]), self.fields)


def find_forms(page: Page, paths: Iterable[str]) -> list[list[Form]]:
    """Return all forms of these pages into which one types something, those of a kind together."""
    kinds = defaultdict(list)
    for path in paths:
        html = page.request.get(path).text()
        for each in page.evaluate(_FIND, [html, _TEXTS]):
            form = Form(path, each["action"], tuple(each["fields"]))
            kinds[form.kind].append(form)
    return list(kinds.values())


def open_first(page: Page, forms: Iterable[Form]) -> Form | None:
    """Open the page of the first form that is still there, if one is."""
    for form in forms:
        page.goto(form.path, wait_until="domcontentloaded")
        if page.evaluate(_IS_THERE, form.action):
            return form
    return None


def send(page: Page, form: Form, typed: Mapping[str, str], *, picked: int = 0) -> Response:
    """Send the form of the page with what is typed, with something usual in its other fields, and
    of its choices the one at the place that is picked. Return the page that it leads to."""
    with page.expect_navigation(wait_until="domcontentloaded") as landed:
        page.evaluate(_SEND, [form.action, _TEXTS, dict(typed), _USUAL, picked])
    return landed.value


_USUAL = {"for": "30m", "duration": "20m", "other": "20m"}


def wrong_fields(page: Page, form: Form) -> set[str]:
    """Return the fields beside which the page says what is wrong with them."""
    return set(page.evaluate(_WRONG, [*form.fields]))


def lost_fields(page: Page, names: Iterable[str], text: str) -> set[str]:
    """Return the fields in which this was typed and is no longer."""
    return set(page.evaluate(_LOST, [[*names], text]))


def shows(page: Page, text: str) -> bool:
    """Say whether the page shows this as it is, as text or in a field."""
    return bool(page.evaluate(_SHOWS, text))
