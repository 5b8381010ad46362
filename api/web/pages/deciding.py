"""What the forms on a request's page and on that of approvals send. Each does one thing, then leads
back to where it was sent from; what cannot be done is said there."""

import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from api.input.forms import read_form
from api.input.paths import in_path
from api.keys import ACTOR, BROKER, REACH
from api.problems import status_of
from api.routes import source_of
from api.schemas import Approval, Denial, Extension, NewComment, NewReview, Revocation
from api.web.drafts import Draft, Unfit, errors_in, fit
from api.web.pages.approvals import approvals_page
from api.web.pages.request import request_page
from api.web.rendering import lead_to
from broker.domain.errors import BrokerError, Conflict
from broker.domain.statement.budget import Used
from broker.service.approvals import Consent
from broker.service.extensions import More

routes = web.RouteTableDef()

_OTHER = "other"
_FIELDS = {
    "decision": ("duration", "comment", "networks"),
    "extension": ("duration", "reason"),
}
# What somebody else may have been quicker to do.
_DECISIVE = {"decision", "cancellation", "escalation"}
_BETWEEN = re.compile(r"[\s,;]+")

Do = Callable[[Mapping[str, str]], Awaitable[object]]


@routes.post("/requests/{id}/approval")
async def approve(request: web.Request) -> web.Response:
    request_id = in_path(request)

    async def do(sent: Mapping[str, str]) -> None:
        consent = Consent(**dict(fit(Approval, approval_of(sent))))
        await request.app[BROKER].approve(request_id, request[ACTOR], consent)

    return await _do_about(request, request_id, "decision", do)


@routes.post("/requests/{id}/denial")
async def deny(request: web.Request) -> web.Response:
    request_id = in_path(request)

    async def do(sent: Mapping[str, str]) -> None:
        reason = fit(Denial, {"reason": sent.get("comment", "")}).reason
        await request.app[BROKER].deny(request_id, request[ACTOR], reason=reason)

    return await _do_about(request, request_id, "decision", do, renamed={"reason": "comment"})


@routes.post("/requests/{id}/comments")
async def comment(request: web.Request) -> web.Response:
    request_id = in_path(request)

    async def do(sent: Mapping[str, str]) -> None:
        text = fit(NewComment, {"text": _written(sent)}).text
        await request.app[BROKER].requests.comment(
            request_id, request[ACTOR], text, reach=request[REACH]
        )

    return await _do_about(request, request_id, "comment", do)


@routes.post("/requests/{id}/escalation")
async def escalate(request: web.Request) -> web.Response:
    request_id = in_path(request)

    async def do(_sent: Mapping[str, str]) -> None:
        await request.app[BROKER].requests.escalate(request_id, request[ACTOR])

    return await _do_about(request, request_id, "escalation", do)


@routes.post("/requests/{id}/cancellation")
async def withdraw(request: web.Request) -> web.Response:
    request_id = in_path(request)

    async def do(_sent: Mapping[str, str]) -> None:
        await request.app[BROKER].requests.cancel(request_id, request[ACTOR])

    return await _do_about(request, request_id, "cancellation", do)


@routes.post("/grants/{id}/revocation")
async def revoke(request: web.Request) -> web.Response:
    grant_id = in_path(request)

    async def do(sent: Mapping[str, str]) -> None:
        reason = fit(Revocation, {"reason": sent.get("reason", "")}).reason
        await request.app[BROKER].revoke(
            grant_id, request[ACTOR], reason=reason, reach=request[REACH]
        )

    return await _do_about_grant(request, grant_id, "revocation", do)


@routes.post("/grants/{id}/extension")
async def extend(request: web.Request) -> web.Response:
    grant_id = in_path(request)

    async def do(sent: Mapping[str, str]) -> None:
        body = fit(
            Extension, {"duration": sent.get("duration", ""), "reason": sent.get("reason", "")}
        )
        assert body.duration is not None
        more = More(
            duration=body.duration,
            reason=body.reason,
            source=source_of(request),
            budget=Used(body.rows, body.bytes),
        )
        await request.app[BROKER].extend(grant_id, request[ACTOR], more, reach=request[REACH])

    return await _do_about_grant(request, grant_id, "extension", do)


@routes.post("/grants/{id}/sessions/end")
async def end_sessions(request: web.Request) -> web.Response:
    grant_id = in_path(request)

    async def do(_sent: Mapping[str, str]) -> None:
        await request.app[BROKER].kill_sessions(grant_id, request[ACTOR], reach=request[REACH])

    return await _do_about_grant(request, grant_id, "sessions", do)


@routes.post("/grants/{id}/review")
async def review(request: web.Request) -> web.Response:
    grant_id = in_path(request)

    async def do(sent: Mapping[str, str]) -> None:
        text = fit(NewReview, {"text": _written(sent)}).text
        await request.app[BROKER].reviews.write(grant_id, request[ACTOR], text)

    return await _do_about_grant(request, grant_id, "review", do)


@routes.post("/held-commits/{id}/confirmation")
async def confirm(request: web.Request) -> web.Response:
    row = await request.app[BROKER].held_commits.confirm(
        in_path(request), request[ACTOR], reach=request[REACH]
    )
    return lead_to(f"/grants/{row.held.grant_id}")


@routes.post("/held-commits/{id}/rollback")
async def roll_back(request: web.Request) -> web.Response:
    row = await request.app[BROKER].held_commits.roll_back(
        in_path(request), request[ACTOR], reach=request[REACH]
    )
    return lead_to(f"/grants/{row.held.grant_id}")


@routes.post("/alarms/{id}/acknowledgement")
async def acknowledge(request: web.Request) -> web.Response:
    alarm = await request.app[BROKER].alarms.acknowledge(
        in_path(request), request[ACTOR], reach=request[REACH]
    )
    return lead_to(f"/grants/{alarm.grant_id}" if alarm.grant_id is not None else "/")


def approval_of(sent: Mapping[str, str]) -> dict[str, Any]:
    """Return what a form sent about an approval as the API's body. Networks that were left as they
    stood are those that were asked for, whichever these are. Raises Unfit."""
    body: dict[str, Any] = {"comment": sent.get("comment", "")}
    duration = sent.get("duration", "")
    if duration in ("", _OTHER):
        duration = sent.get("other", "").strip()
    if not duration and "whole" not in sent:
        raise Unfit({"duration": "choose first how long you give it for"})
    if duration:
        body["duration"] = duration
    networks = sent.get("networks", "").strip()
    if networks != sent.get("networks_asked", "").strip():
        body["networks"] = [each for each in _BETWEEN.split(networks) if each]
    for name in ("pin_address", "break_glass"):
        if name in sent:
            body[name] = True
    return body


def _written(sent: Mapping[str, str]) -> str:
    """Raises Unfit if nothing is."""
    text = sent.get("text", "").strip()
    if not text:
        raise Unfit({"text": "write something first"})
    return text


async def _do_about_grant(request: web.Request, grant_id: str, form: str, do: Do) -> web.Response:
    request_id = await request.app[BROKER].dossiers.request_of(grant_id, request[ACTOR])
    return await _do_about(request, request_id, form, do)


async def _do_about(
    request: web.Request,
    request_id: str,
    form: str,
    do: Do,
    renamed: Mapping[str, str] | None = None,
) -> web.Response:
    """Do what a form is for, and lead back to its page. What does not fit is shown there again."""
    sent = await read_form(request)
    try:
        await do(sent)
    except Unfit as unfit:
        names = renamed or {}
        errors = {names.get(name, name): text for name, text in unfit.errors.items()}
        draft = Draft(form=form, about=request_id, typed=sent, errors=errors)
        return await _again(request, draft, HTTPStatus.UNPROCESSABLE_ENTITY)
    except BrokerError as error:
        wrong = errors_in(error, _FIELDS.get(form, ()))
        notice = "" if wrong else await _said(request, request_id, form, error)
        draft = Draft(form=form, about=request_id, typed=sent, errors=wrong, notice=notice)
        return await _again(request, draft, status_of(error))
    if sent.get("back") != "approvals":
        return lead_to(f"/requests/{request_id}")
    return lead_to(f"/approvals?done={request_id}" if form == "decision" else "/approvals")


async def _again(request: web.Request, draft: Draft, status: HTTPStatus) -> web.Response:
    if draft.typed.get("back") == "approvals":
        return await approvals_page(request, draft, status)
    return await request_page(request, draft.about, draft, status)


async def _said(request: web.Request, request_id: str, form: str, error: BrokerError) -> str:
    """Return why it could not be done: of a request that is decided, who decided what and when."""
    if form not in _DECISIVE or not isinstance(error, Conflict):
        return str(error)
    card = await request.app[BROKER].request_cards.of(request_id, request[ACTOR])
    became = card.outcome or card.yours
    return f"{became}. What you sent has changed nothing" if became else str(error)
