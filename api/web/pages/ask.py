"""/request: where one asks for access, and where the link in a refusal leads.

To who is signed in it is a form that says what would come of it. To all others it spells out the
request that would let them in, and says nothing about what there is: whoever has the link has all
that the page knows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from aiohttp import web

from api.callers.visitor import visitor_of
from api.input.forms import read_form
from api.keys import ACTOR, BROKER
from api.problems import status_of
from api.routes import source_of
from api.schemas import NewRequest
from api.web.drafts import errors_in
from api.web.rendering import lead_to, page, render
from api.web.wish_form import WishForm, in_form, read_wish
from api.web.wish_link import (
    EXAMPLE,
    REASON,
    BrokenLink,
    command,
    http_call,
    in_one_word,
    read_link,
)
from broker.domain.errors import BrokerError, UnknownRole, UnknownTarget
from broker.service.asking import Wish
from broker.service.offers import Offer, TargetOffers
from broker.service.policy_questions import Foreseen, Question

routes = web.RouteTableDef()

# Fields of which the form has one, so that what is wrong can stand beside it.
_BESIDE = ("database", "duration", "reason", "kind", "networks", "person", "conversation")
_MOST_TARGETS = 8  # whose roles are all shown; of more, people pick the target first
_AN_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a form asks for: of which offer, and what the fields say."""

    offer: Offer
    form: WishForm


@dataclass(frozen=True, slots=True)
class Refused:
    """Why there is nothing to foresee."""

    why: str


@routes.get("/request")
async def look(request: web.Request) -> web.Response:
    if visitor_of(request) is None:
        return _to_stranger(request)
    wanted = await _wanted(request, request.query)
    if wanted is None:
        return await _choose(request)
    if "for" not in request.query:
        wanted = await _for_as_long_as_usual(request, wanted)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if wanted.form.errors else HTTPStatus.OK
    return await _form_page(request, wanted, status=status)


@routes.post("/request")
async def ask(request: web.Request) -> web.Response:
    """Ask, and lead to what has become of it. What does not fit is said beside its field."""
    sent = await read_form(request)
    wanted = await _wanted(request, sent)
    if wanted is None:
        return await _choose(request, sent)
    body = wanted.form.body
    if body is None:
        return await _form_page(request, wanted, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    if "check" in sent:
        return await _form_page(request, wanted)
    try:
        wish = Wish(source=source_of(request), **dict(body))
        details = await request.app[BROKER].ask(wish, request[ACTOR])
    except BrokerError as error:
        return await _refused(request, wanted, error)
    return lead_to(f"/requests/{details.request.id}")


async def _wanted(request: web.Request, values: Mapping[str, str]) -> Wanted | None:
    """Return what is asked for; None unless it is a role that the person may ask for."""
    target, role = values.get("target", ""), values.get("role", "")
    for offer in await request.app[BROKER].offers.on(target, request[ACTOR]):
        if offer.role.name == role:
            return Wanted(offer, read_wish(values, offer.role))
    return None


async def _choose(request: web.Request, sent: Mapping[str, str] | None = None) -> web.Response:
    """Show what there is to ask for: the roles of one target, or of all if they are few."""
    values = request.query if sent is None else sent
    offers, person = request.app[BROKER].offers, request[ACTOR]
    names = offers.names(person)
    target, role = values.get("target", ""), values.get("role", "")
    wrong = _unknown(names, target, role)
    if target in names:
        shown = await offers.on_each([target], person)
    elif len(names) <= _MOST_TARGETS:
        shown = await offers.on_each(sorted(names), person)
    else:
        shown = tuple(TargetOffers(each, len(names[each])) for each in sorted(names))
    return await page(
        request,
        "ask_choose.html",
        status=HTTPStatus.UNPROCESSABLE_ENTITY if wrong else HTTPStatus.OK,
        wrong=wrong,
        targets=shown,
        narrowed=target in names and len(names) > 1,
        kept=_kept(values),
        operators=request.app[BROKER].context.authority.operators.describe(),
    )


def _unknown(names: Mapping[str, Any], target: str, role: str) -> str:
    """Say which name of a link is none of those that the person may ask for."""
    if not names:
        return ""
    if target and target not in names:
        return str(UnknownTarget(target, sorted(names)))
    if target and role and role not in names[target]:
        return str(UnknownRole(role, target, names[target]))
    return ""


def _kept(values: Mapping[str, str]) -> dict[str, str]:
    """Return what else a link says, to go along with the role that is picked."""
    return {name: values[name] for name in ("for", "reason", "conversation") if name in values}


async def _refused(request: web.Request, wanted: Wanted, error: BrokerError) -> web.Response:
    errors = in_form(errors_in(error, _BESIDE))
    told = replace(wanted, form=replace(wanted.form, errors=errors))
    wrong = "" if errors else str(error)
    return await _form_page(request, told, wrong=wrong, status=status_of(error))


async def _form_page(
    request: web.Request,
    wanted: Wanted,
    *,
    wrong: str = "",
    status: HTTPStatus = HTTPStatus.OK,
) -> web.Response:
    broker, person = request.app[BROKER], request[ACTOR]
    offer, foreseen = wanted.offer, await _foresee(request, wanted.form.body)
    policy = foreseen.answered.policy if isinstance(foreseen, Foreseen) else None
    return await page(
        request,
        "ask_form.html",
        status=status,
        offer=offer,
        form=wanted.form,
        wrong=wrong,
        foreseen=foreseen,
        policy=policy,
        lapses_after=(policy and policy.approvable_for) or broker.context.request_lapses_after,
        smaller=await broker.offers.smaller(offer, person),
        for_others=broker.context.policies.lets_ask_for_others(person),
        ways=_other_ways(wanted.form.typed),
    )


async def _for_as_long_as_usual(request: web.Request, wanted: Wanted) -> Wanted:
    """Fill in what somebody gets who does not say for how long."""
    foreseen = await _foresee(request, wanted.form.body)
    policy = foreseen.answered.policy if isinstance(foreseen, Foreseen) else None
    usual = min(_AN_HOUR, wanted.offer.longest)
    if policy is not None and not policy.denies:
        usual = min(policy.default_duration or policy.max_duration, policy.max_duration)
    values = {**request.query, "for": in_one_word(usual)}
    return replace(wanted, form=read_wish(values, wanted.offer.role))


async def _foresee(request: web.Request, body: NewRequest | None) -> Foreseen | Refused | None:
    """Return what would come of it; None as long as the form does not fit."""
    if body is None:
        return None
    person = request[ACTOR]
    question = Question(
        email=body.person or person.email,
        requester=person.email,
        target=body.target,
        role=body.role,
        database=body.database,
        duration=body.duration,
        reason=body.reason,
        kind=body.kind,
        networks=body.networks,
    )
    try:
        return await request.app[BROKER].policy_questions.foresee(question, person)
    except BrokerError as error:
        return Refused(str(error))


def _to_stranger(request: web.Request) -> web.Response:
    try:
        asked = read_link(request.query)
    except BrokenLink as broken:
        return render(
            request,
            "ask_broken.html",
            status=HTTPStatus.BAD_REQUEST,
            rules=broken.rules,
            example=EXAMPLE,
        )
    ways = _other_ways(request.query)
    return render(request, "ask_stranger.html", asked=asked, ways=ways, reason=REASON)


def _other_ways(values: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return what to run instead, by what it is; nothing while that would not be right."""
    try:
        asked = read_link(values)
    except BrokenLink:
        return ()
    return (
        ("In a terminal", command("request", asked)),
        ("The same, then wait for the approval and open psql", command("connect", asked)),
        ("Over HTTP", http_call(asked)),
    )
