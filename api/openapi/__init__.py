"""The OpenAPI 3.1 description of the API: made of the table of operations, of who may use them, and
of what pydantic knows of queries, bodies and views. https://spec.openapis.org/oas/v3.1.1.html"""

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from api.callers.same_site import CSRF_HEADER
from api.openapi.operation import describe_operation
from api.openapi.problems import all_problems
from api.openapi.schemas import Json, Schemas
from api.operations import Operation
from api.server_sent import LAST_EVENT_ID

_ABOUT = """\
Every PostgreSQL credential gets a curfew: requests, approvals, short-lived logins, and a record of
what was done with them.

Times are RFC 3339, durations ISO 8601; going in, also `90s`, `30m`, `8h` and `2d`. A page is
`{"items": […], "next": …}`: give `next` as `after` to go on, until it is null. Parameters and
fields that are not described here are refused. Every failure is a problem (RFC 9457) with a stable
`code`.
"""
_TAGS = {
    "requests": "Asking for access, and deciding.",
    "grants": "What was given, its secret, and its end.",
    "timelines": "The whole life of a request and its grant.",
    "allowances": "What approvers agree to beforehand.",
    "sessions": "Who is, and was, connected, and putting an end to it.",
    "held-commits": "Transactions that wait for somebody to confirm them.",
    "record": "Statements and events, as they were and as they come.",
    "events": "What happens, as it happens: server-sent events.",
    "audit": "The audit trail, and whether the record is as it was written.",
    "targets": "What there is to ask for, whether it answers, and what is wrong with it.",
    "policies": "What is in force, what was, and what it would say.",
    "alarms": "What somebody has to look at.",
    "bans": "Whom wrong secrets have shut out.",
    "overview": "What needs attention, and how much there is of everything.",
    "oneself": "Who one is to us.",
    "tokens": "Bearer tokens.",
    "sign-in": "Signing in, for programs that people run.",
    "service": "Whether it serves, how it does, and this description.",
}
_HEADERS: Mapping[str, Json] = {
    "ETag": {
        "description": "Send it as If-None-Match: what has not changed is not sent again.",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "In so many seconds it is worth trying again.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {"schema": {"type": "string"}},
}
_PARAMETERS: Mapping[str, Json] = {
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of what is there already: 304 if it is as it was.",
        "schema": {"type": "string"},
    },
    "Last-Event-ID": {
        "name": LAST_EVENT_ID,
        "in": "header",
        "description": "Go on after the event with this id. Browsers send it by themselves.",
        "schema": {"type": "string"},
    },
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Any text made for this one call. Sent again with it, the call is not done "
        "again: its first answer comes.",
        "schema": {"type": "string", "pattern": "^[ -~]{1,255}$", "examples": ["8e03978e-40d5"]},
    },
}


def describe(operations: Sequence[Operation], server: str | None) -> Json:
    """Return the document. `server` is our address as people know it."""
    schemas = Schemas(operations)
    paths: dict[str, Json] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = describe_operation(each, schemas)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "pgcurfew",
            "version": version("pgcurfew"),
            "description": _ABOUT,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": (server or "").rstrip("/") or "/"}],
        "tags": [{"name": name, "description": said} for name, said in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": all_problems(),
            "parameters": _PARAMETERS,
            "headers": _HEADERS,
            "securitySchemes": _security(server or ""),
        },
    }


def _security(server: str) -> Json:
    cookie = "__Host-pgcurfew" if server.startswith("https://") else "pgcurfew"
    return {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of ours, or the ID token of a workload.",
        },
        "browser": {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie,
            "description": "A browser that has signed in. What changes something takes the header "
            f"{CSRF_HEADER} besides.",
        },
    }
