"""/request: where the link in a refusal leads. To who is signed in it is a form that asks; to all
others it spells out the request that would let them in, and says nothing about what there is:
whoever has the link has all that the page knows."""

import json
import shlex
from collections.abc import Mapping
from datetime import timedelta
from html import escape
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from api.forms import read_form
from api.keys import ACTOR, BROKER
from api.problems import status_of
from api.routes import source_of
from api.schemas import Duration, Text
from api.visitor import Visitor, require_visitor, visitor_of
from api.web.page import copyable, facts, form, hidden, lead_to, notice, page
from broker.config.settings import Identifier, Name
from broker.domain.duration import format_duration, iso_duration
from broker.domain.errors import BrokerError
from broker.service.asking import Wish

routes = web.RouteTableDef()

_REASON = "…"
_AND_THEN = """\
<h2>And then</h2>
<p>An approver decides; the answer to your request names them. With the new secret, a saved
connection that uses your stable user name works again as it is.</p>"""
_EXAMPLE = escape("/request?target=orders&role=orders_reader&for=1h")
_RULES = {
    "target": "at most 63 of a-z, 0-9, dot, dash and underscore",
    "role": "at most 63 bytes that can be printed",
    "database": "at most 63 bytes that can be printed, or left out",
    "for": "a duration such as 30m, 8h or PT1H30M, or left out",
    "reason": "at most 2000 characters that can be printed",
}
_TYPED = {"for", "reason"}  # by a person, into the form


def _printable(text: str) -> str:
    # What turns or hides text on a screen would make a command other than it looks.
    if not text.isprintable():
        raise ValueError("not printable")
    return text


_Shown = Annotated[Identifier, AfterValidator(_printable)]


class Asked(BaseModel):
    """What the link says, or the form. Other parameters, which chat programs like to add, are
    ignored."""

    model_config = ConfigDict(frozen=True)

    target: Name
    role: _Shown
    database: _Shown | None = None
    duration: Duration = Field(default=timedelta(hours=1), alias="for")
    reason: Text = ""


@routes.get("/request")
async def look(request: web.Request) -> web.Response:
    return looked_at(request.query, request.path_qs, visitor_of(request))


def looked_at(query: Mapping[str, str], here: str, visitor: Visitor | None) -> web.Response:
    """Return what the link leads to."""
    try:
        asked = _read(query)
    except ValidationError as error:
        return _broken_link(_wrong(error))
    if visitor is None:
        return page("Ask for access", _to_strangers(asked, here))
    return _form_page(asked, _typed(query), visitor)


@routes.post("/request")
async def ask(request: web.Request) -> web.Response:
    """Ask, and lead to what has become of it. What does not fit is said above the same form."""
    sent = await read_form(request)
    visitor = require_visitor(request)
    try:
        asked = _read(sent)
    except ValidationError as error:
        wrong = _wrong(error)
        if wrong - _TYPED:
            return _broken_link(wrong)
        rules = "; ".join(f"{name}: {_RULES[name]}" for name in sorted(wrong))
        asked = _read({name: sent[name] for name in sent.keys() - _TYPED})
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        return _form_page(asked, _typed(sent), visitor, wrong=rules, status=status)
    wish = Wish(
        target=asked.target,
        role=asked.role,
        database=asked.database,
        duration=asked.duration,
        reason=asked.reason,
        source=source_of(request),
    )
    try:
        details = await request.app[BROKER].ask(wish, request[ACTOR])
    except BrokerError as error:
        return _form_page(asked, _typed(sent), visitor, wrong=str(error), status=status_of(error))
    return lead_to(f"/request/{details.request.id}")


def command(verb: str, asked: Asked) -> str:
    """Return `pgcurfew VERB` with all that is asked for, for a shell."""
    database = ["--database", asked.database] if asked.database is not None else []
    options = ["--for", _short(asked.duration), *database, "--reason", _REASON]
    names = [asked.target, asked.role]
    # After "--" nothing is an option, whatever it begins with.
    words = [*options, "--", *names] if asked.role.startswith("-") else [*names, *options]
    return shlex.join(["pgcurfew", verb, *words])


def http_call(asked: Asked) -> str:
    """Return the same as an HTTP call with curl, for a shell."""
    database = {"database": asked.database} if asked.database is not None else {}
    body = {
        "target": asked.target,
        "role": asked.role,
        **database,
        "duration": iso_duration(asked.duration),
        "reason": _REASON,
    }
    return " \\\n  ".join(
        (
            'curl -sS "$PGCURFEW_URL/v1/requests"',
            '-H "Authorization: Bearer $PGCURFEW_TOKEN"',
            "-H 'Content-Type: application/json'",
            f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}",
        )
    )


def _to_strangers(asked: Asked, here: str) -> str:
    where = escape(f"/sign-in?{urlencode({'to': here})}")
    return f"""\
{facts([*_what(asked), ("For", format_duration(asked.duration))])}
<p class="buttons"><a class="button first" href="{where}">Sign in to ask here</a></p>
<p>Or ask in one of these ways, and say why where it says {_REASON}</p>
{_other_ways(asked)}
{_AND_THEN}
<p class="quiet">This page only spells out what its link says. Nothing has been asked for yet.</p>
"""


def _form_page(
    asked: Asked,
    typed: Mapping[str, str],
    visitor: Visitor,
    *,
    wrong: str = "",
    status: HTTPStatus = HTTPStatus.OK,
) -> web.Response:
    fixed = {"target": asked.target, "role": asked.role, "database": asked.database}
    fields = "".join(hidden(name, value) for name, value in fixed.items() if value is not None)
    duration = escape(typed.get("for", _short(asked.duration)))
    reason = escape(typed.get("reason", ""))
    fields += f"""
<label>For how long
<input class="short" name="for" value="{duration}" required autocomplete="off"></label>
<label>Why
<textarea name="reason" rows="3" maxlength="2000">{reason}</textarea></label>
<p><button class="first">Ask</button></p>
"""
    body = f"""\
{notice(wrong) if wrong else ""}
{facts(_what(asked))}
{form("/request", fields, visitor)}
{_AND_THEN}
<h2>Other ways to ask</h2>
{_other_ways(asked)}
"""
    return page("Ask for access", body, status, visitor=visitor)


def _what(asked: Asked) -> list[tuple[str, str]]:
    return [("Target", asked.target), ("Role", asked.role), ("Database", asked.database or "")]


def _other_ways(asked: Asked) -> str:
    return f"""\
{copyable("In a terminal", command("request", asked))}
{copyable("The same, then wait for the approval and open psql", command("connect", asked))}
{copyable("Over HTTP", http_call(asked))}"""


def _read(values: Mapping[str, Any]) -> Asked:
    return Asked.model_validate({name: values[name] for name in values})


def _typed(values: Mapping[str, str]) -> dict[str, str]:
    return {name: values[name] for name in _TYPED if name in values}


def _wrong(error: ValidationError) -> set[str]:
    return {str(fault["loc"][0]) for fault in error.errors()}


def _broken_link(names: set[str]) -> web.Response:
    # What is wrong is not repeated: the page would then say whatever a link wants it to say.
    rules = "".join(
        f"<dt>{name}</dt><dd>{escape(rule)}</dd>" for name, rule in _RULES.items() if name in names
    )
    return page(
        "This link is broken",
        f'<p>It should say:</p><dl>{rules}</dl><p class="quiet">For example: {_EXAMPLE}</p>',
        HTTPStatus.BAD_REQUEST,
    )


def _short(duration: timedelta) -> str:
    """Return the duration in one word: the short way if that has one."""
    text = format_duration(duration)
    return iso_duration(duration) if " " in text else text
