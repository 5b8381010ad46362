"""PagerDuty and incident.io, as far as we ask them: one HTTPS server that stands in for both.

It answers as their documentation says, and can be told to answer otherwise, or not at all.
"""

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.certificates import make_certificate

PAGERDUTY_TOKEN = "pagerduty-token-7Q"
INCIDENT_IO_TOKEN = "incident-io-token-9Z"
ROUTING_KEY = "routing-key-4X"
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Turn:
    """`who` is on call in `schedule`, or nobody if it is empty; an e-mail address, and the id."""

    schedule: str
    who: str
    start: datetime
    end: datetime

    def overlaps(self, start: datetime, end: datetime) -> bool:
        return self.start <= end and start <= self.end


@dataclass(slots=True)
class StandIn:
    trust: ssl.SSLContext
    url: str = ""
    turns: list[Turn] = field(default_factory=list)
    overrides: list[Turn] = field(default_factory=list)
    without_email: set[str] = field(default_factory=set)
    policies: dict[str, int] = field(default_factory=dict)  # that use a schedule; default 1
    page_size: int = 100
    endless: bool = False  # there is always another page
    ignores_filters: bool = False
    questions: int = 0
    troubles: list[web.Response] = field(default_factory=list)  # given instead, one by one
    events: dict[str, dict[str, Any]] = field(default_factory=dict)  # of PagerDuty, by dedup_key
    escalations: dict[str, dict[str, Any]] = field(default_factory=dict)  # by idempotency_key

    def final(self, schedule: str | None, start: datetime, end: datetime) -> list[Turn]:
        """Return the turns of a schedule, or of all, where overrides take the place of others."""
        turns = [
            each
            for each in [*self.turns, *self.overrides]
            if schedule in (None, each.schedule) and each.overlaps(start, end)
        ]
        replaced = {each.schedule for each in turns if each in self.overrides}
        return [each for each in turns if each in self.overrides or each.schedule not in replaced]

    def trouble(self, status: int, body: str = "{}", **headers: str) -> None:
        self.troubles.append(
            web.Response(
                status=status,
                text=body,
                content_type="application/json",
                headers={name.replace("_", "-"): value for name, value in headers.items()},
            )
        )


@asynccontextmanager
async def standing_in(folder: Path) -> AsyncIterator[StandIn]:
    files = make_certificate(folder)
    certificate = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.load_cert_chain(files.certificate, files.key)
    stand_in = StandIn(trust=ssl.create_default_context(cafile=files.root))
    app = web.Application(middlewares=[_trouble_of(stand_in)])
    app.router.add_get("/oncalls", _PagerDuty(stand_in).on_calls)
    app.router.add_post("/v2/enqueue", _PagerDuty(stand_in).enqueue)
    app.router.add_get("/v2/schedule_entries", _IncidentIo(stand_in).schedule_entries)
    app.router.add_post("/v2/escalations", _IncidentIo(stand_in).escalations)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "localhost", 0, ssl_context=certificate)
        await site.start()
        stand_in.url = f"https://localhost:{runner.addresses[0][1]}"
        yield stand_in
    finally:
        await runner.cleanup()


@contextmanager
def deaf_server() -> Iterator[str]:
    """Yield the address of a server to which one can connect, and which never says anything."""
    with socket.create_server(("localhost", 0)) as listener:
        yield f"https://localhost:{listener.getsockname()[1]}"


def _trouble_of(stand_in: StandIn) -> Any:
    @web.middleware
    async def trouble(request: web.Request, handler: _Handler) -> web.StreamResponse:
        stand_in.questions += 1
        return stand_in.troubles.pop(0) if stand_in.troubles else await handler(request)

    return trouble


class _PagerDuty:
    """https://developer.pagerduty.com/api-reference/3a6b910f11050-list-all-of-the-on-calls"""

    def __init__(self, stand_in: StandIn) -> None:
        self._is = stand_in

    async def on_calls(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Token token={PAGERDUTY_TOKEN}":
            return web.json_response(
                {"error": {"message": "Unauthorized", "code": 2006}}, status=401
            )
        asked = request.query
        start, end = (datetime.fromisoformat(asked[name]) for name in ("since", "until"))
        wanted = [None] if self._is.ignores_filters else asked.getall("schedule_ids[]")
        entries = [
            self._entry(turn, policy, full="users" in asked.getall("include[]", []))
            for schedule in wanted
            for turn in self._is.final(schedule, start, end)
            for policy in range(self._is.policies.get(turn.schedule, 1))
        ]
        first = 0 if self._is.endless else int(asked.get("offset", 0))
        limit = min(int(asked.get("limit", 25)), self._is.page_size)
        return web.json_response(
            {
                "oncalls": entries[first : first + limit],
                "limit": limit,
                "offset": first,
                "more": self._is.endless or first + limit < len(entries),
                "total": None,
            }
        )

    def _entry(self, turn: Turn, policy: int, *, full: bool) -> dict[str, Any]:
        user: dict[str, Any] = {"id": turn.who, "type": "user_reference", "summary": turn.who}
        if full and turn.who not in self._is.without_email:
            user |= {"type": "user", "email": turn.who, "role": "user"}
        return {
            "escalation_policy": {"id": f"P{policy}", "type": "escalation_policy_reference"},
            "escalation_level": policy + 1,
            "schedule": {"id": turn.schedule, "type": "schedule_reference"},
            "user": user,
            "start": turn.start.isoformat(),
            "end": turn.end.isoformat(),
        }

    async def enqueue(self, request: web.Request) -> web.Response:
        """https://developer.pagerduty.com/docs/events-api-v2/trigger-events/"""
        event = await request.json()
        if event.pop("routing_key") != ROUTING_KEY:
            said = {"status": "invalid event", "errors": ["Invalid routing key"]}
            return web.json_response(said, status=400)
        self._is.events[event["dedup_key"]] = event
        said = {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]}
        return web.json_response(said, status=202)


class _IncidentIo:
    """https://api-docs.incident.io/tag/Schedules-V2"""

    def __init__(self, stand_in: StandIn) -> None:
        self._is = stand_in

    async def schedule_entries(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {INCIDENT_IO_TOKEN}":
            return _incident_io_error(401, "authentication_error")
        schedule, end = request.query["schedule_id"], request.query["entry_window_end"]
        if schedule not in {each.schedule for each in self._is.turns}:
            return _incident_io_error(404, "not_found")
        start, _, page = request.query["entry_window_start"].partition(" page ")
        window = datetime.fromisoformat(start), datetime.fromisoformat(end)
        final = self._is.final(schedule, *window)
        first = 0 if self._is.endless else int(page or 0)
        cut = final[first : first + self._is.page_size]
        said: dict[str, Any] = {
            "schedule_entries": {
                "scheduled": [self._entry(each) for each in self._is.turns],
                "overrides": [self._entry(each) for each in self._is.overrides],
                "final": [self._entry(each) for each in cut],
            }
        }
        if self._is.endless or first + self._is.page_size < len(final):
            cursor = f"{start} page {first + self._is.page_size}"
            said["pagination_meta"] = {"after": cursor, "after_url": "https://…"}
        return web.json_response(said)

    def _entry(self, turn: Turn) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "start_at": turn.start.isoformat(),
            "end_at": turn.end.isoformat(),
            "rotation_id": "01G0J1EXE7AXZ2C93K61WBPYEH",
            "fingerprint": f"{turn.who} {turn.start}",
        }
        if turn.who:
            user = {"id": turn.who, "name": turn.who, "role": "responder"}
            email = {} if turn.who in self._is.without_email else {"email": turn.who}
            entry["user"] = {**user, **email}
        return entry

    async def escalations(self, request: web.Request) -> web.Response:
        """https://api-docs.incident.io/tag/Escalations-V2"""
        if request.headers.get("Authorization") != f"Bearer {INCIDENT_IO_TOKEN}":
            return _incident_io_error(401, "authentication_error")
        wanted = await request.json()
        if ("escalation_path_id" in wanted) == bool(wanted.get("user_ids")):
            return _incident_io_error(422, "validation_error")
        made = self._is.escalations.setdefault(wanted["idempotency_key"], wanted)
        return web.json_response({"escalation": {"id": "01H0", **made}}, status=201)


def _incident_io_error(status: int, kind: str) -> web.Response:
    said = {"type": kind, "status": status, "request_id": "2T1p0e3j", "errors": []}
    return web.json_response(said, status=status)
