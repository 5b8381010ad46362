"""What every page has in common: its frame, its looks, and what the browser may do with it."""

import re
from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from http import HTTPStatus
from importlib.resources import files

from aiohttp import web

from api.same_site import CSRF_FIELD
from api.visitor import Visitor

_STYLE = (files("api.web") / "style.css").read_text(encoding="utf-8")
_SCRIPT = (files("api.web") / "copy.js").read_text(encoding="utf-8")


def _source(text: str) -> str:
    """Return how a Content-Security-Policy names exactly this inline text."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


# https://www.w3.org/TR/CSP3/: nothing may be loaded or framed, and only our own lines run.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_source(_STYLE)}",
        f"script-src {_source(_SCRIPT)}",
        "img-src data:",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "form-action ",
    )
)
_SPACES = re.compile(r"(\s+)")
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_STILL = {"Content-Security-Policy": f"{_POLICY}'none'", "Referrer-Policy": "no-referrer"}
# With no-referrer, browsers would call the origin of a form "null", and we could not tell it from
# another site's. https://fetch.spec.whatwg.org/#append-a-request-origin-header
_SENDING = {"Content-Security-Policy": f"{_POLICY}'self'", "Referrer-Policy": "same-origin"}
_FRAME = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<link rel="icon" href="data:,">
<title>{title} · pgcurfew</title>
<style>{style}</style>
</head>
<body>
<header><strong>pgcurfew</strong>{visitor}</header>
<main>
<h1>{title}</h1>
{body}
</main>
<script>{script}</script>
</body>
</html>
"""


def page(
    title: str,
    body: str,
    status: HTTPStatus = HTTPStatus.OK,
    *,
    visitor: Visitor | None = None,
) -> web.Response:
    """Return a page around `body`, which is HTML. Only one with a form may send anything."""
    who = f'<a href="/me">{escape(visitor.email)}</a>' if visitor is not None else ""
    text = _FRAME.format(title=escape(title), visitor=who, body=body, style=_STYLE, script=_SCRIPT)
    headers = _HEADERS | (_SENDING if "<form " in body else _STILL)
    if visitor is not None:
        headers["Cache-Control"] = "no-store"
    return web.Response(status=status, text=text, content_type="text/html", headers=headers)


def form(action: str, body: str, visitor: Visitor | None) -> str:
    """Return a form around `body`, both as HTML, that only its visitor's own page can send."""
    token = hidden(CSRF_FIELD, visitor.csrf) if visitor is not None and visitor.csrf else ""
    return f'<form method="post" action="{action}">{token}{body}</form>'


def hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{name}" value="{escape(value)}">'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return names and values, which are text, as HTML; empty values are left out."""
    # An address that has to be broken is broken where people would.
    rows = (
        f"<dt>{name}</dt><dd>{escape(value).replace('@', '@<wbr>')}</dd>"
        for name, value in pairs
        if value
    )
    return f"<dl>{''.join(rows)}</dl>"


def moment(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if at is not None else ""


def notice(text: str) -> str:
    """Return what went wrong, as the rest of us says it in one line, for the top of a page."""
    sentence = f"{text[:1].upper()}{text[1:].rstrip('.')}."
    return f'<p class="notice" role="alert">{escape(sentence)}</p>'


def copyable(label: str, text: str) -> str:
    """Return text to be copied, as HTML. Browsers that let us get a button for it."""
    # A word to a span, so that no line ends between the dashes of an option.
    words = (
        f"<span>{escape(part)}</span>" if part.strip() else part for part in _SPACES.split(text)
    )
    return (
        f"<figure><figcaption>{escape(label)}</figcaption><pre><code>{''.join(words)}</code></pre>"
        '<button type="button" hidden>Copy</button></figure>'
    )


def lead_to(where: str) -> web.Response:
    """Send the browser on, to read and not to send again."""
    return web.Response(
        status=HTTPStatus.SEE_OTHER, headers={"Location": where, "Cache-Control": "no-store"}
    )
