"""What the forms above lists ask for: query strings, of which empty fields say nothing."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Generic

from aiohttp import web
from multidict import MultiDict
from yarl import URL

from api.input.faults import InvalidInput
from api.input.queries import QueryType, read_query

# What <input type="date"> and "datetime-local" send: all times on our pages are UTC.
_TIMES = {"since", "until", "at"}
_LOCAL = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d)(:\d\d)?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Filters(Generic[QueryType]):
    """What a form asks for. There is no `query` if something does not fit: then `errors` say what,
    field by field."""

    typed: Mapping[str, str]
    query: QueryType | None
    errors: Mapping[str, str]

    @property
    def status(self) -> HTTPStatus:
        return HTTPStatus.UNPROCESSABLE_ENTITY if self.errors else HTTPStatus.OK


def read_filters(request: web.Request, schema: type[QueryType]) -> Filters[QueryType]:
    """Return what the query string asks for; names that the schema does not know are passed over,
    as chat programs like to add some to links."""
    given = typed_into(request, schema.model_fields)
    try:
        return Filters(shown(given), read_query(given, schema), {})
    except InvalidInput as error:
        return Filters(shown(given), None, {each.field: each.message for each in error.faults})


def typed_into(request: web.Request, names: Collection[str]) -> MultiDict[str]:
    """Return what the query string says of these names, without what says nothing."""
    return MultiDict(
        (name, _in_utc(text.strip()) if name in _TIMES else text.strip())
        for name, text in request.query.items()
        if text.strip() and name in names
    )


def shown(given: Mapping[str, str]) -> Mapping[str, str]:
    """Return what fields show: what was typed, or nothing."""
    return defaultdict(str, given)


def turned(request: web.Request, **changes: str | None) -> str:
    """Return where this page is with other parameters; None leaves one out."""
    url = URL(request.path_qs, encoded=True)
    query = {name: text for name, text in url.query.items() if text and name not in changes}
    query |= {name: text for name, text in changes.items() if text is not None}
    return str(url.with_query(query))


def _in_utc(text: str) -> str:
    """Return a time as a browser's field has it with its zone, and any other text as it is."""
    local = _LOCAL.fullmatch(text)
    if local is None:
        return text
    day, minute, second = local.groups()
    return f"{day}T{minute or '00:00'}{second or ':00'}Z"
