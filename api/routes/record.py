"""/v1/statements, /v1/audit/stream, /v1/audit/export and /v1/grants/{id}/evidence: the record, as
it was, as it grows, and to take along."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from tempfile import TemporaryFile

from aiohttp import web

from api.input.faults import Fault, InvalidInput
from api.input.paths import in_path
from api.input.queries import ExportQuery, RecordQuery, StatementsQuery, StreamQuery, StretchQuery
from api.keys import ACTOR, BROKER
from api.operations import Media, Operations
from api.routes import render
from api.routes.streaming import PATIENCE_S, cut_off, send_file
from api.schemas import View
from api.schemas.statements import (
    STREAM_LINE,
    EndLine,
    FoundStatementPage,
    FoundStatementView,
    PositionLine,
    line_of,
)
from broker.domain.errors import BrokerError
from broker.ledger.record import Heads
from broker.ledger.statements import Place, StatementFilter
from broker.service.exports import ExportFormat, What, Wish
from broker.service.following import News

routes = Operations("record")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_CHUNK = 65_536  # characters: about what the socket takes at once
_SIGN_OF_LIFE_S = 15.0
# Who follows comes back from time to time, so that what they came with is looked at again.
_LONGEST_S = 600.0
_CONTENT_TYPES = {
    ExportFormat.JSONL: "application/x-ndjson",
    ExportFormat.CSV: "text/csv",
    ExportFormat.TSV: "text/tab-separated-values",
}

_EXPORTS = tuple(Media(each) for each in _CONTENT_TYPES.values())

_log = logging.getLogger(__name__)


@routes.get(
    "/v1/statements", "find_statements", query=StatementsQuery, answers={200: FoundStatementPage}
)
async def search(request: web.Request, query: StatementsQuery) -> web.Response:
    return render(await find_statements(request, query))


async def find_statements(request: web.Request, query: StatementsQuery) -> FoundStatementPage:
    found = await request.app[BROKER].statements.search(
        request[ACTOR],
        replace(_wanted(query), text=query.text),
        before=_place(query.after),
        limit=query.limit,
    )
    views = tuple(FoundStatementView.of_told(each) for each in found)
    following = _place_text(views[-1]) if len(views) == query.limit else None
    return FoundStatementPage(items=views, next=following)


@routes.get(
    "/v1/audit/export",
    "export_record",
    query=ExportQuery,
    answers={200: _EXPORTS},
    allow_head=False,
)
async def export(request: web.Request, query: ExportQuery) -> web.StreamResponse:
    """What is wrong with the question is a problem as everywhere. What goes wrong later ends the
    connection in the middle of the answer, which no reader can take for its end."""
    wish = Wish(what=query.what, layout=query.format, wanted=_wanted(query))
    lines = await request.app[BROKER].exports.begin(wish, request[ACTOR])
    name = f"pgcurfew-{query.what}.{query.format}"
    return await send_file(request, lines, _CONTENT_TYPES[query.format], name)


@routes.get(
    "/v1/grants/{id}/evidence",
    "get_evidence",
    answers={200: Media("application/zip")},
    allow_head=False,
)
async def evidence(request: web.Request) -> web.StreamResponse:
    """All of it is packed on disk before the first byte goes out: what goes wrong is a problem."""
    grant_id = in_path(request)
    with TemporaryFile() as pack:
        await request.app[BROKER].evidence.pack(grant_id, request[ACTOR], pack)
        response = web.StreamResponse(
            headers={
                "Content-Type": "application/zip",
                "Content-Length": str(pack.tell()),
                "Content-Disposition": f'attachment; filename="{grant_id}.zip"',
                "Cache-Control": "no-store",
            }
        )
        await response.prepare(request)
        pack.seek(0)
        try:
            while piece := pack.read(_CHUNK):
                async with asyncio.timeout(PATIENCE_S):
                    await response.write(piece)
            await response.write_eof()
        except ConnectionError:
            pass  # whoever wanted it has gone
        except TimeoutError:
            _log.warning("the evidence of %s broke off: its reader takes nothing", grant_id)
            cut_off(request)
        return response


@routes.get(
    "/v1/audit/stream",
    "follow_record",
    query=StreamQuery,
    answers={200: Media("application/x-ndjson", STREAM_LINE, live=True)},
    allow_head=False,
)
async def stream(request: web.Request, query: StreamQuery) -> web.StreamResponse:
    """Line by line, as it comes, with a position now and then from which to go on. Without
    `follow`, only what there is."""
    following = request.app[BROKER].following
    news = await following.begin(
        request[ACTOR], What(query.what), _wanted(query), _heads(query.after)
    )
    response = web.StreamResponse(
        headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"}
    )
    await response.prepare(request)
    try:
        async with aclosing(news):
            await _write(response, await _tell(response, news, follow=query.follow))
        await response.write_eof()
    except ConnectionError:
        pass  # whoever followed has gone
    except TimeoutError:
        _log.warning("a follower of the record takes nothing: cut off")
        cut_off(request)
    return response


async def _tell(
    response: web.StreamResponse, news: AsyncGenerator[News, None], *, follow: bool
) -> EndLine:
    """Write what comes until there is a reason to stop, and return that."""
    clock = asyncio.get_running_loop().time
    began, told_at = clock(), float("-inf")
    try:
        async for each in news:
            await _write(response, *(line_of(item) for item in each.items))
            if each.items or clock() - told_at >= _SIGN_OF_LIFE_S:
                await _write(response, PositionLine(after=_heads_text(each.place)))
                told_at = clock()
            if not each.items and not follow:
                return EndLine(reason="that is all there is", again=False)
            if clock() - began >= _LONGEST_S:
                return EndLine(reason="come back to go on", again=True)
    except BrokerError as error:
        return EndLine(reason=str(error), again=False)
    raise AssertionError("who follows goes on for ever")


async def _write(response: web.StreamResponse, *lines: View) -> None:
    async with asyncio.timeout(PATIENCE_S):
        for each in lines:
            await response.write(f"{each.model_dump_json()}\n".encode())


def _wanted(query: RecordQuery) -> StatementFilter:
    wanted = StatementFilter(
        session_id=query.session, grant_id=query.grant, person=query.person, target=query.target
    )
    if isinstance(query, StretchQuery):
        return replace(wanted, since=query.since, until=query.until)
    return wanted


def _heads(text: str | None) -> Heads | None:
    return None if text is None else Heads(*(int(each) for each in text.split(".")))


def _heads_text(heads: Heads) -> str:
    return f"{heads.statements}.{heads.events}"


def _place(text: str | None) -> Place | None:
    if text is None:
        return None
    microseconds, session_id, seq = text.split(".")
    try:
        at = _EPOCH + timedelta(microseconds=int(microseconds))
    except OverflowError:
        raise InvalidInput([Fault("after", "is no time that there is")]) from None
    return Place(at, session_id, int(seq))


def _place_text(view: FoundStatementView) -> str:
    microseconds = (view.started_at - _EPOCH) // timedelta(microseconds=1)
    return f"{microseconds}.{view.session_id}.{view.seq}"
