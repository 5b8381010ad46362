"""One resource per file. A handler parses, makes one service call, and renders."""

import re
from datetime import UTC, datetime
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from api.faults import InvalidInput, faults_of
from api.keys import SOURCE
from broker.domain.errors import Invalid, NotFound
from broker.domain.ids import IdKind

_DEFAULT_LIMIT = 50
_MAX_LIMIT = 500
_ID = r"[a-z]{3}_[0-9a-z]{1,32}"

_NUMBER = re.compile("[0-9]{1,18}")  # PostgreSQL's bigint holds them all

BodyType = TypeVar("BodyType", bound=BaseModel)


async def read_body(request: web.Request, schema: type[BodyType]) -> BodyType:
    """Return the JSON body; an empty one is an empty object. Raises InvalidInput."""
    try:
        return schema.model_validate_json(await request.read() or b"{}")
    except ValidationError as error:
        raise InvalidInput(faults_of(error, sorted(schema.model_fields))) from None


def render(view: BaseModel, status: int = 200) -> web.Response:
    return web.Response(status=status, text=view.model_dump_json(), content_type="application/json")


def path_id(request: web.Request, kind: IdKind, what: str) -> str:
    """Return the id in the path. Raises NotFound for anything that is no id of this kind."""
    text = request.match_info["id"]
    if not text.startswith(f"{kind}_") or not re.fullmatch(_ID, text):
        raise NotFound(what, text)
    return text


def page_of(request: web.Request) -> tuple[str | None, int]:
    """Return `after` and `limit`. Raises Invalid."""
    return id_in_query(request, "after"), limit_of(request)


def limit_of(request: web.Request) -> int:
    """Return how long a page may be. Raises Invalid."""
    text = request.query.get("limit", str(_DEFAULT_LIMIT))
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= _MAX_LIMIT:
        raise Invalid(f"limit must be a number from 1 to {_MAX_LIMIT}, not {text!r}")
    return int(text)


def number_in_path(request: web.Request, what: str) -> int:
    """Return the number in the path. Raises NotFound for anything that is none."""
    text = request.match_info["number"]
    if not _NUMBER.fullmatch(text):
        raise NotFound(what, text)
    return int(text)


def number_in_query(request: web.Request, name: str) -> int | None:
    """Return a query parameter that must be a number. Raises Invalid."""
    text = request.query.get(name)
    if text is not None and not _NUMBER.fullmatch(text):
        raise Invalid(f"{name} must be a number, for example 12")
    return None if text is None else int(text)


def id_in_query(request: web.Request, name: str) -> str | None:
    """Return a query parameter that must look like an id. Raises Invalid."""
    text = request.query.get(name)
    if text is not None and not re.fullmatch(_ID, text):
        raise Invalid(f"{name} must be an id, for example grt_06gzgmx2b2v3s0ps")
    return text


def choice(request: web.Request, name: str, allowed: list[str]) -> str | None:
    """Return a query parameter that must be one of a few words. Raises Invalid."""
    text = request.query.get(name)
    if text is not None and text not in allowed:
        raise Invalid(f"{name} must be one of {', '.join(allowed)}, not {text!r}")
    return text


def moment_in_query(request: web.Request, name: str) -> datetime | None:
    """Return a query parameter that must be a time with its zone. Raises Invalid."""
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


def matching_in_query(request: web.Request, name: str, pattern: str, example: str) -> str | None:
    """Return a query parameter that must look like this. Raises Invalid."""
    text = request.query.get(name)
    if text is not None and not re.fullmatch(pattern, text):
        raise Invalid(f"{name} is not as it should be; for example {example}")
    return text


def source_of(request: web.Request) -> str | None:
    """Return the caller's address, whoever has passed the call on; None if it has none."""
    return request.get(SOURCE)
