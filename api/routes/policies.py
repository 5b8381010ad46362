"""/v1/policies: what is in force, what was, and what it would say."""

from contextlib import aclosing

from aiohttp import web

from api.input.paths import in_path
from api.input.queries import VersionsQuery
from api.keys import ACTOR, BROKER
from api.operations import Media, Operations
from api.routes import render
from api.schemas import Page, View
from api.schemas.policies import (
    LONGEST_FILE,
    REPLAY_LINE,
    AccessView,
    AnswerView,
    ErrorLine,
    InForceView,
    PolicyQuestion,
    ProgressLine,
    Replay,
    ReplayEndLine,
    ShiftLine,
    VersionDetailsView,
    VersionList,
    VersionView,
)
from broker.domain.errors import BrokerError
from broker.domain.person import Person
from broker.domain.policy.book import PolicyBook
from broker.service.policy_questions import Question

_MAX_BODY = 6 * LONGEST_FILE  # bytes; JSON may take six for a character

routes = Operations("policies")


@routes.get("/v1/policies", "get_policies", answers={200: InForceView})
async def in_force(request: web.Request) -> web.Response:
    return render(InForceView.of(request.app[BROKER].policy_history.in_force(request[ACTOR])))


@routes.get(
    "/v1/policies/versions", "list_versions", query=VersionsQuery, answers={200: VersionList}
)
async def list_versions(request: web.Request, query: VersionsQuery) -> web.Response:
    found = await request.app[BROKER].policy_history.list(
        request[ACTOR],
        kind=query.kind,
        before=query.after,
        limit=query.limit,
    )
    views = tuple(VersionView.of(each) for each in found)
    following = views[-1].number if len(views) == query.limit else None
    return render(VersionList(items=views, next=following))


@routes.get("/v1/policies/versions/{number}", "get_version", answers={200: VersionDetailsView})
async def get_version(request: web.Request) -> web.Response:
    number = int(in_path(request))
    details = await request.app[BROKER].policy_history.get(number, request[ACTOR])
    return render(VersionDetailsView.of(details))


@routes.post(
    "/v1/policies/test",
    "test_policies",
    body=PolicyQuestion,
    answers={200: AnswerView},
    also=(404,),
)
async def test(request: web.Request, body: PolicyQuestion) -> web.Response:
    answered = await request.app[BROKER].policy_questions.test(
        question_of(body, request[ACTOR]), request[ACTOR]
    )
    return render(AnswerView.of(answered))


def question_of(body: PolicyQuestion, asker: Person) -> Question:
    facts = {name: getattr(body, name) for name in PolicyQuestion.model_fields if name != "person"}
    return Question(email=body.person or asker.email, **facts)


@routes.get("/v1/people/{email}/access", "list_access", answers={200: Page[AccessView]})
async def access(request: web.Request) -> web.Response:
    """Of oneself as `me` too: who has a token need not know under which address."""
    email = in_path(request).lower()
    actor = request[ACTOR]
    whom = actor.email if email == "me" else email
    found = await request.app[BROKER].policy_questions.show(whom, actor)
    return render(Page(items=tuple(AccessView.of(each) for each in found), next=None))


@routes.post(
    "/v1/policies/replay",
    "replay_policies",
    body=Replay,
    answers={200: Media("application/x-ndjson", REPLAY_LINE)},
    most_bytes=_MAX_BODY,
)
async def replay(request: web.Request, body: Replay) -> web.StreamResponse:
    """Answer line by line, as there may be 100,000 requests to try. What is wrong with the question
    is a problem as everywhere; what goes wrong later is the last line."""
    broker = request.app[BROKER]
    proposed = await broker.policy_replay.prepare(body.policies, request[ACTOR])
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    try:
        await _replay(request, response, body, proposed)
    except BrokerError as error:
        await _write(response, ErrorLine.of(error))
    await response.write_eof()
    return response


async def _replay(
    request: web.Request, response: web.StreamResponse, body: Replay, proposed: PolicyBook
) -> None:
    considered = shifted = 0
    stretches = request.app[BROKER].policy_replay.replay(proposed, body.since, request[ACTOR])
    async with aclosing(stretches):
        async for stretch in stretches:
            considered += stretch.considered
            shifted += len(stretch.shifted)
            lines = [ShiftLine.of(each) for each in stretch.shifted]
            await _write(response, *lines, ProgressLine(considered=considered))
    await _write(response, ReplayEndLine(considered=considered, shifted=shifted))


async def _write(response: web.StreamResponse, *lines: View) -> None:
    await response.write("".join(f"{each.model_dump_json()}\n" for each in lines).encode())
