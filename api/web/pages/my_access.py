"""/access: what one holds, how to connect with it, and what one waits for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from aiohttp import web

from api.connecting import (
    ROOT_FILE,
    SYSTEM,
    WINDOWS_ROOT_FILE,
    Connection,
    Way,
    connection_of,
    keep_root,
    ways,
)
from api.input.forms import read_form
from api.input.paths import in_path
from api.keys import ACTOR, BROKER, REACH
from api.problems import status_of
from api.routes import source_of
from api.schemas import CredentialView, Extension, GrantView
from api.web.drafts import Draft, Unfit, errors_in, fit
from api.web.filters import turned
from api.web.rendering import SHOWN_ONCE, lead_to, page
from broker.domain.errors import BrokerError, InvalidSize, NotFound, NotReady
from broker.domain.grant import GrantState
from broker.domain.ids import IdKind
from broker.domain.request import RequestState
from broker.domain.size import parse_size
from broker.domain.statement.budget import Used
from broker.service.context import Entrance
from broker.service.extensions import More
from broker.service.own_access import OwnGrant

routes = web.RouteTableDef()

_ENDED_SHOWN = 10
_FIELDS = ("duration", "rows", "bytes", "reason")
_AFTER = re.compile(rf"{IdKind.GRANT}_[0-9a-z]{{1,32}}")


@dataclass(frozen=True, slots=True)
class Card:
    """A living grant, the ways to connect with it, of which none has its secret, and what could not
    be done with it."""

    own: OwnGrant
    view: GrantView
    ways: tuple[Way, ...]
    draft: Draft | None


@dataclass(frozen=True, slots=True)
class Root:
    """What vouches for the proxy: PEM text, "system", or nothing yet. `line` puts it to where
    clients look, into `file` or on Windows `windows_file`."""

    certificate: str
    file: str = ROOT_FILE
    windows_file: str = WINDOWS_ROOT_FILE

    @property
    def is_file(self) -> bool:
        return self.certificate not in ("", SYSTEM)

    @property
    def line(self) -> str:
        return keep_root(self.certificate)


@routes.get("/access")
async def show(request: web.Request) -> web.Response:
    return await _page(request)


@routes.get("/access/root.crt")
async def hand_out_root(request: web.Request) -> web.Response:
    certificate = request.app[BROKER].context.entrance.read_root_certificate()
    if not Root(certificate).is_file:
        raise NotReady("there is no certificate to hand out: clients trust the proxy without one")
    disposition = {"Content-Disposition": 'attachment; filename="root.crt"'}
    return web.Response(
        text=certificate, content_type="application/x-pem-file", headers=disposition
    )


@routes.post("/access/{id}/secret")
async def take_secret(request: web.Request) -> web.Response:
    """Show a new secret, once: on the answer to this, which nothing keeps."""
    grant_id = in_path(request)
    try:
        credential = await request.app[BROKER].hand_out(
            grant_id, request[ACTOR], source=source_of(request)
        )
    except BrokerError as error:
        return await _not_done(request, error, Draft(form="secret", about=grant_id, typed={}))
    view = CredentialView.of(credential)
    return await page(
        request,
        "secret.html",
        headers=SHOWN_ONCE,
        credential=view,
        grant_id=grant_id,
        ways=ways(connection_of(view)),
        root=Root(view.root_certificate),
    )


@routes.post("/access/{id}/relinquishment")
async def relinquish(request: web.Request) -> web.Response:
    grant_id = in_path(request)
    try:
        await request.app[BROKER].relinquish(grant_id, request[ACTOR])
    except BrokerError as error:
        draft = Draft(form="relinquishment", about=grant_id, typed={})
        return await _not_done(request, error, draft)
    return lead_to("/access")


@routes.post("/access/{id}/extension")
async def extend(request: web.Request) -> web.Response:
    """Ask for more: it is there at once, or the request for it is where one is led."""
    grant_id = in_path(request)
    sent = await read_form(request)
    typed = {name: sent[name].strip() for name in _FIELDS if sent.get(name, "").strip()}
    draft = Draft(form="extension", about=grant_id, typed=typed)
    try:
        more = _more(request, fit(Extension, _extension_of(typed)))
        extended = await request.app[BROKER].extend(
            grant_id, request[ACTOR], more, reach=request[REACH]
        )
    except Unfit as unfit:
        return await _not_fit(request, draft, unfit.errors)
    except BrokerError as error:
        return await _not_done(request, error, draft)
    asked = extended.request.request
    is_pending = asked.state is RequestState.PENDING
    return lead_to(f"/requests/{asked.id}" if is_pending else f"/access#{grant_id}")


async def _page(
    request: web.Request, *, status: HTTPStatus = HTTPStatus.OK, draft: Draft | None = None
) -> web.Response:
    own_access, person = request.app[BROKER].own_access, request[ACTOR]
    entrance = request.app[BROKER].context.entrance
    root = Root(entrance.read_root_certificate())
    after = request.query.get("after", "")
    ended = await own_access.ended(
        person, before=after if _AFTER.fullmatch(after) else None, limit=_ENDED_SHOWN
    )
    more = len(ended) == _ENDED_SHOWN
    return await page(
        request,
        "access.html",
        status=status,
        cards=[_card(each, entrance, root, draft) for each in await own_access.living(person)],
        awaited=await own_access.awaited(person),
        ended=[(each, GrantView.of(each.details)) for each in ended],
        older=turned(request, after=ended[-1].details.grant.id) if more else None,
        root=root,
    )


def _card(own: OwnGrant, entrance: Entrance, root: Root, draft: Draft | None) -> Card:
    view = GrantView.of(own.details)
    about = draft if draft is not None and draft.about == view.id else None
    if view.state is not GrantState.ACTIVE or view.sealed or view.login is None:
        return Card(own, view, (), about)
    to = Connection(
        host=entrance.host,
        port=entrance.port,
        dbname=view.database,
        user=view.login,
        stable_user=own.stable_user or view.login,
        sslmode=entrance.sslmode,
        root=SYSTEM if root.certificate == SYSTEM else "",
    )
    return Card(own, view, ways(to), about)


async def _not_fit(request: web.Request, draft: Draft, errors: Mapping[str, str]) -> web.Response:
    told = Draft(form=draft.form, about=draft.about, typed=draft.typed, errors=errors)
    return await _page(request, status=HTTPStatus.UNPROCESSABLE_ENTITY, draft=told)


async def _not_done(request: web.Request, error: BrokerError, draft: Draft) -> web.Response:
    """Say on the grant's card why it was not done. Raises NotFound if that is not theirs."""
    if isinstance(error, NotFound):
        raise error
    errors = errors_in(error, _FIELDS)
    notice = "" if errors else str(error)
    told = Draft(
        form=draft.form, about=draft.about, typed=draft.typed, errors=errors, notice=notice
    )
    return await _page(request, status=status_of(error), draft=told)


def _more(request: web.Request, body: Extension) -> More:
    return More(
        duration=body.duration or timedelta(),
        reason=body.reason,
        source=source_of(request),
        budget=Used(body.rows, body.bytes),
    )


def _extension_of(typed: Mapping[str, str]) -> dict[str, Any]:
    """Return what people typed as the API's body, with numbers and sizes as they write them. Raises
    Unfit."""
    sent: dict[str, Any] = dict(typed)
    if "reason" in sent:
        sent["reason"] = sent["reason"].replace("\r\n", "\n")
    if "rows" in sent:
        digits = sent["rows"].replace(",", "").replace(" ", "")
        sent["rows"] = int(digits) if re.fullmatch("[0-9]{1,18}", digits) else digits
    if "bytes" in sent:
        try:
            sent["bytes"] = parse_size(sent["bytes"])
        except InvalidSize as error:
            raise Unfit({"bytes": str(error)}) from None
    return sent
