"""The page behind the link in a refusal: it shows what to run, and cannot be made to do harm."""

import json
import re
import shlex
from base64 import b64encode
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest
from aiohttp import web

from api.visitor import Visitor
from api.web.ask import looked_at

ORDERS = {"target": "orders", "role": "orders_reader", "for": "1h"}
DEV = Visitor("dev@example.com", "a-csrf-token")


def _get(parameters: dict[str, str], visitor: Visitor | None = None) -> web.Response:
    response = looked_at(parameters, f"/request?{urlencode(parameters)}", visitor)
    assert response.content_type == "text/html"
    return response


def _codes(parameters: dict[str, str], visitor: Visitor | None = None) -> list[str]:
    """Return what there is to copy."""
    response = _get(parameters, visitor)
    assert response.status == 200
    found = re.findall(r"<code>(.*?)</code>", response.text or "", re.DOTALL)
    return [unescape(re.sub(r"</?span>", "", each)) for each in found]


class _Tags(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def _tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(text)
    return parser.found


def _skeleton(
    parameters: dict[str, str], visitor: Visitor | None
) -> list[tuple[str, dict[str, str | None]]]:
    """Return the page's elements, but not the words of commands, nor what is asked for."""
    text = _get(parameters, visitor).text or ""
    said = {"value", "href"}
    return [
        (tag, {name: each for name, each in attributes.items() if name not in said})
        for tag, attributes in _tags(text)
        if tag != "span"
    ]


def test_it_shows_the_commands_and_the_http_call() -> None:
    request, connect, call = _codes(ORDERS)
    assert request == "pgcurfew request orders orders_reader --for 1h --reason '…'"
    assert connect == "pgcurfew connect orders orders_reader --for 1h --reason '…'"
    words = shlex.split(call)
    assert words[:3] == ["curl", "-sS", "$PGCURFEW_URL/v1/requests"]
    assert json.loads(words[-1]) == {
        "target": "orders",
        "role": "orders_reader",
        "duration": "PT1H",
        "reason": "…",
    }


def test_the_database_comes_along_and_an_hour_is_what_one_gets_otherwise() -> None:
    request, _, call = _codes({"target": "orders", "role": "r", "database": "old orders"})
    assert request == "pgcurfew request orders r --for 1h --database 'old orders' --reason '…'"
    assert json.loads(shlex.split(call)[-1])["database"] == "old orders"


@pytest.mark.parametrize(("text", "said"), [("90s", "1m 30s"), ("PT1H30M", "1h 30m"), ("2d", "2d")])
def test_a_duration_stays_one_that_the_command_reads(text: str, said: str) -> None:
    request, _, _ = _codes({**ORDERS, "for": text})
    words = shlex.split(request)
    assert words[words.index("--for") + 1] in {"PT1M30S", "PT1H30M", "2d"}
    assert f"<dt>For</dt><dd>{said}</dd>" in (_get({**ORDERS, "for": text}).text or "")


@pytest.mark.parametrize(
    "role",
    [
        "<script>alert(1)</script>",
        "</code><img src=x onerror=alert(1)>",
        "'; rm -rf / #",
        "$(id)`id`\\",
        '"&amp;&lt;',
        "{title}{body}",
        "--json",
        "rôle",
    ],
)
def test_whatever_a_role_is_called_stays_one_word_of_text(role: str) -> None:
    parameters = {**ORDERS, "role": role}
    request, connect, call = _codes(parameters)
    for command in (request, connect):
        words = shlex.split(command)
        assert role in words
        assert role[0] != "-" or words.index("--") < words.index(role)
    assert json.loads(shlex.split(call)[-1])["role"] == role
    for visitor in (None, DEV):
        assert _skeleton(parameters, visitor) == _skeleton(ORDERS, visitor)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"target": ""}, "target"),
        ({"target": "Orders!"}, "target"),
        ({"target": "x" * 64}, "target"),
        ({"role": ""}, "role"),
        ({"role": "é" * 32}, "role"),
        ({"role": "a\nb"}, "role"),
        ({"role": "a\x1b[2Jb"}, "role"),
        ({"role": "a\u202eb"}, "role"),
        ({"role": "a\u200bb"}, "role"),
        ({"database": "a\0b"}, "database"),
        ({"for": "soon"}, "for"),
        ({"for": "0s"}, "for"),
    ],
)
def test_a_link_that_makes_no_sense_is_not_repeated(change: dict[str, str], named: str) -> None:
    response = _get({**ORDERS, **change})
    text = response.text or ""
    assert response.status == 400
    assert re.findall(r"<dt>(\w+)</dt>", text) == [named]
    assert "<code>" not in text
    assert "Orders!" not in text


def test_without_parameters_it_names_those_that_it_needs() -> None:
    response = _get({})
    assert response.status == 400
    assert re.findall(r"<dt>(\w+)</dt>", response.text or "") == ["target", "role"]


def test_what_else_a_link_carries_is_ignored() -> None:
    assert _codes({**ORDERS, "utm_source": "chat"}) == _codes(ORDERS)


def test_who_is_signed_in_gets_a_form_that_asks_for_just_this() -> None:
    page = _get({**ORDERS, "database": "old orders"}, DEV).text or ""
    fields = {
        attributes["name"]: attributes.get("value")
        for tag, attributes in _tags(page)
        if tag in ("input", "textarea") and attributes.get("name")
    }
    assert fields == {
        "csrf": "a-csrf-token",
        "target": "orders",
        "role": "orders_reader",
        "database": "old orders",
        "for": "1h",
        "reason": None,
    }
    assert 'href="/me">dev@example.com</a>' in page


def test_a_reason_in_the_link_is_one_that_can_still_be_changed() -> None:
    page = _get({**ORDERS, "reason": "</textarea><b>"}, DEV).text or ""
    assert "&lt;/textarea&gt;&lt;b&gt;</textarea>" in page


def test_a_stranger_is_led_to_sign_in_and_back_here() -> None:
    page = _get(ORDERS).text or ""
    (link,) = [attributes["href"] for tag, attributes in _tags(page) if tag == "a"]
    assert link == f"/sign-in?{urlencode({'to': f'/request?{urlencode(ORDERS)}'})}"
    assert "<form" not in page


@pytest.mark.parametrize("visitor", [None, DEV])
@pytest.mark.parametrize("parameters", [ORDERS, {}])
def test_the_browser_may_load_nothing_and_run_only_what_is_ours(
    parameters: dict[str, str], visitor: Visitor | None
) -> None:
    response = _get(parameters, visitor)
    text = response.text or ""
    policy = dict(
        each.split(" ", 1) for each in response.headers["Content-Security-Policy"].split("; ")
    )
    sends = "<form" in text
    assert sends == (visitor is not None and parameters == ORDERS)
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["form-action"] == ("'self'" if sends else "'none'")
    assert response.headers["Referrer-Policy"] == ("same-origin" if sends else "no-referrer")
    assert response.headers.get("Cache-Control") == ("no-store" if sends else None)
    for element in ("style", "script"):
        (inline,) = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digest = b64encode(sha256(inline.encode()).digest()).decode()
        assert policy[f"{element}-src"] == f"'sha256-{digest}'"
    for _, attributes in _tags(text):
        assert not {"style", "src"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "action"):
            assert re.match(r"/(?!/)|data:,$", attributes.get(name) or "data:,")
