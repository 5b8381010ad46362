"""/policies: what one may ask for, what would be decided, what is in force, and what was."""

from http import HTTPStatus

from aiohttp import web
from pydantic import ValidationError

from api.input.faults import faults_of
from api.input.paths import in_path
from api.keys import ACTOR, BROKER
from api.problems import status_of
from api.routes.policies import question_of
from api.schemas.policies import (
    AccessView,
    AnswerView,
    InForceView,
    PolicyQuestion,
    VersionDetailsView,
    VersionView,
)
from api.web.filters import shown, typed_into
from api.web.rendering import page
from broker.domain.errors import BrokerError
from broker.service.insight import sees_policies

routes = web.RouteTableDef()

_SHOWN = 20
_MOST_POLICIES = 200
_ASKED = ("person", "target", "role", "database", "duration", "reason", "at")


@routes.get("/policies")
async def look(request: web.Request) -> web.Response:
    broker, actor = request.app[BROKER], request[ACTOR]
    sighted = sees_policies(broker.context, actor)
    typed = typed_into(request, _ASKED)
    answer, errors, wrong, status = await _answer(request, dict(typed))
    found = await broker.policy_questions.show(actor.email, actor)
    in_force = broker.policy_history.in_force(actor, most=_MOST_POLICIES) if sighted else None
    versions = await broker.policy_history.list(actor, kind=None, before=None, limit=_SHOWN)
    return await page(
        request,
        "policies.html",
        status=status,
        typed=shown(typed),
        answer=answer,
        errors=errors,
        wrong=wrong,
        sighted=sighted,
        mine=tuple(AccessView.of(each) for each in found),
        in_force=InForceView.of(in_force) if in_force is not None else None,
        left_out=in_force.left_out if in_force is not None else 0,
        versions=tuple(VersionView.of(each) for each in versions),
        most=_SHOWN,
    )


@routes.get("/policies/versions/{number}")
async def version(request: web.Request) -> web.Response:
    details = await request.app[BROKER].policy_history.get(int(in_path(request)), request[ACTOR])
    return await page(request, "version.html", details=VersionDetailsView.of(details))


@routes.get("/policies/versions")
async def versions(request: web.Request) -> web.Response:
    """All that was ever in force, page by page."""
    (before,) = typed_into(request, ("after",)).values() or ("",)
    found = await request.app[BROKER].policy_history.list(
        request[ACTOR],
        kind=None,
        before=int(before) if before.isdecimal() and len(before) < 19 else None,
        limit=_SHOWN,
    )
    views = tuple(VersionView.of(each) for each in found)
    return await page(
        request,
        "versions.html",
        versions=views,
        older=f"?after={views[-1].number}" if len(views) == _SHOWN else None,
    )


async def _answer(
    request: web.Request, typed: dict[str, str]
) -> tuple[AnswerView | None, dict[str, str], str, HTTPStatus]:
    """Return what would be decided; or what is wrong with the question, by field or in one line."""
    if not typed:
        return None, {}, "", HTTPStatus.OK
    try:
        question = PolicyQuestion.model_validate(typed)
        actor = request[ACTOR]
        answered = await request.app[BROKER].policy_questions.test(
            question_of(question, actor), actor
        )
    except ValidationError as error:
        errors = {each.field: each.message for each in faults_of(error)}
        return None, errors, "", HTTPStatus.UNPROCESSABLE_ENTITY
    except BrokerError as error:
        return None, {}, str(error), status_of(error)
    return AnswerView.of(answered), {}, "", HTTPStatus.OK
