"""/v1/audit: the audit trail, for those who look over everybody's shoulder."""

import re
from datetime import UTC, datetime

from aiohttp import web

from api.keys import BROKER
from api.operating_schemas import AuditEventView
from api.routes import id_in_query, limit_of, render
from api.schemas import Page
from broker.domain.errors import Invalid
from broker.ledger.audit import AuditFilter

routes = web.RouteTableDef()

_NUMBER = r"[0-9]{1,18}"
_KIND = r"[a-z_]{1,40}\.[a-z_]{1,40}"
_ACTOR = r"[^\x00-\x20\x7f]{1,320}"


@routes.get("/v1/audit")
async def list_events(request: web.Request) -> web.Response:
    after = _matching(request, "after", _NUMBER, "184")
    limit = limit_of(request)
    wanted = AuditFilter(
        grant_id=id_in_query(request, "grant"),
        request_id=id_in_query(request, "request"),
        person=_matching(request, "person", _ACTOR, "alice@example.com"),
        kind=_matching(request, "kind", _KIND, "grant.ended"),
        since=_moment(request, "since"),
    )
    found = await request.app[BROKER].trail.list(
        wanted, before=None if after is None else int(after), limit=limit
    )
    views = tuple(AuditEventView.of(each) for each in found)
    return render(Page(items=views, next=str(views[-1].seq) if len(views) == limit else None))


def _matching(request: web.Request, name: str, pattern: str, example: str) -> str | None:
    text = request.query.get(name)
    if text is not None and not re.fullmatch(pattern, text):
        raise Invalid(f"{name} is not as it should be; for example {example}")
    return text


def _moment(request: web.Request, name: str) -> datetime | None:
    text = request.query.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("no time zone")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        example = "2026-08-01T00:00:00Z"
        raise Invalid(f"{name} must be a time with its zone, for example {example}") from None
