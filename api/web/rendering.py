"""Pages: a template, who looks at it, and what the browser may do with it.

Templates are Jinja2, in `templates/`. Whatever comes from anybody is escaped there; no page has a
line of script or style in it, so the browser is told to run none.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from api.callers.same_site import CSRF_FIELD
from api.callers.visitor import visitor_of
from api.keys import ACTOR, BROKER
from api.web.assets import asset_url
from api.web.navigation import PLACES, Place, places_of
from api.web.words import FILTERS
from broker.domain.hints.hint import Topic

# https://www.w3.org/TR/CSP3/: nothing is loaded but our own files, and nothing may frame us.
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # With no-referrer, browsers would call the origin of a form "null", and we could not tell it
    # from another site's. https://fetch.spec.whatwg.org/#append-a-request-origin-header
    "Referrer-Policy": "same-origin",
}
# What is shown once is to stay out of every cache, and out of what a compressor could give away.
SHOWN_ONCE = {"Cache-Control": "no-store, no-transform"}

_TEMPLATES = Environment(
    loader=PackageLoader("api.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(FILTERS)
_TEMPLATES.globals.update(asset=asset_url, csrf_field=CSRF_FIELD, topics=" ".join(Topic))


async def page(
    request: web.Request,
    template: str,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> web.Response:
    """Return a page for whoever looks at it, with what waits for them."""
    waiting = 0
    if ACTOR in request:
        waiting = await request.app[BROKER].requests.count_waiting_for(request[ACTOR])
    return render(request, template, status=status, headers=headers, waiting=waiting, **values)


def render(
    request: web.Request,
    template: str,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
    waiting: int = 0,
    **values: Any,
) -> web.Response:
    """Return a page without asking anybody anything: it works while all else is down."""
    visitor = visitor_of(request)
    text = _TEMPLATES.get_template(template).render(
        visitor=visitor,
        places=places_of(request, waiting) if visitor is not None else (),
        waiting=waiting,
        here=request.path_qs,
        place=_place_of(request),
        now=request.app[BROKER].context.now(),
        **values,
    )
    cached = {"Cache-Control": "no-store" if visitor is not None else "no-cache"}
    return web.Response(
        status=status,
        text=text,
        content_type="text/html",
        headers={**_HEADERS, **cached, **(headers or {})},
    )


def lead_to(where: str) -> web.Response:
    """Send the browser on, to read and not to send again."""
    return web.Response(
        status=HTTPStatus.SEE_OTHER, headers={"Location": where, "Cache-Control": "no-store"}
    )


def _place_of(request: web.Request) -> Place | None:
    """Return the place in which the page is."""
    begins = [each for each in PLACES if each.has(request.path)]
    return max(begins, key=lambda each: len(each.path), default=None)
