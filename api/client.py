"""A typed client of the HTTP API. The command line is one of its users."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel

from api.event_schemas import EVENT, EventView
from api.failures import ApiError as ApiError  # noqa: PLC0414  (whoever has the client has it)
from api.failures import ApiUnreachable as ApiUnreachable  # noqa: PLC0414
from api.fit_schemas import PrivilegeFitView
from api.insight_schemas import (
    BlastRadiusView,
    LeftoversView,
    MembersView,
    RoleInsightView,
    TargetDetailsView,
)
from api.operating_schemas import AuditEventView, CheckupView, VerificationView
from api.policy_schemas import (
    REPLAY_LINE,
    AccessView,
    AnswerView,
    ErrorLine,
    PolicyQuestion,
    ProgressLine,
    ReplayEndLine,
    ShiftLine,
    TextView,
    VersionDetailsView,
    VersionList,
)
from api.schemas import (
    AlarmView,
    AllowanceView,
    ApprovalView,
    BanView,
    CredentialView,
    FindingView,
    GrantView,
    HeldCommitView,
    MeView,
    ObtainedView,
    Page,
    ReceiptView,
    RequestView,
    ReviewView,
    SessionView,
    SignedInView,
    SignInWays,
    TargetView,
    TokenView,
)
from api.server_sent import EventParser
from api.statement_schemas import (
    STREAM_LINE,
    FoundStatementPage,
    StatementPage,
    StatementView,
    StreamLine,
)
from api.statement_schemas import EndLine as StreamEnd
from api.timeline_schemas import TimelineView
from broker.domain.duration import iso_duration
from broker.domain.grant import GrantKind
from broker.domain.hints.hint import Topic
from broker.domain.network import Network

_TIMEOUT = aiohttp.ClientTimeout(total=30.0)
# There may be 100,000 requests to replay, and a sign of life after every few hundred.
_TIMEOUT_OF_STREAM = aiohttp.ClientTimeout(total=None, sock_read=60.0)
# A sign of life comes every 15 s.
_TIMEOUT_OF_EVENTS = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=45.0)
# For how long a server may be away in the middle, as when it is restarted, and how often it is
# tried meanwhile.
_LONGEST_ABSENCE_S = 60.0
_COME_BACK_S, _LONGEST_WAIT_S = 1.0, 8.0
# Evidence is packed as a whole before the first byte of it comes.
_TIMEOUT_OF_PACKING = aiohttp.ClientTimeout(total=None, sock_read=3600.0)
_LONGEST_LINE = 1_000_000  # bytes, of a stream
_PIECE = 65_536  # bytes
_TOPICS = frozenset(Topic)
_AWAY = {429, 502, 503, 504}

ViewType = TypeVar("ViewType", bound=BaseModel)


class Client:
    """One person's view of one pgcurfew. Made by `open_client`.

    Every method raises ApiError or ApiUnreachable.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url.rstrip("/")

    async def request(  # noqa: PLR0913  (all that one may ask for)
        self,
        target: str,
        role: str,
        *,
        duration: timedelta | None = None,
        reason: str = "",
        database: str | None = None,
        kind: GrantKind = GrantKind.LOGIN,
        networks: Sequence[Network] = (),
        pin_address: bool = False,
        person: str | None = None,
    ) -> RequestView:
        """Ask for a role, for oneself or for another person. What nobody has to agree to is given
        at once: then the request is approved, and has a grant."""
        body = {
            "kind": kind,
            "target": target,
            "role": role,
            "duration": iso_duration(duration) if duration is not None else None,
            "reason": reason,
            "database": database,
            "networks": [str(each) for each in networks],
            "pin_address": pin_address,
            "person": person,
        }
        return await self._post(RequestView, "/v1/requests", body)

    async def obtain(
        self,
        target: str,
        role: str,
        *,
        duration: timedelta | None = None,
        reason: str = "",
        database: str | None = None,
        networks: Sequence[Network] = (),
        pin_address: bool = False,
    ) -> ObtainedView:
        """Ask for what nobody has to agree to, and get its secret with it. ApiError
        `approval-needed` if somebody has to agree; nothing is asked for then."""
        body = {
            "target": target,
            "role": role,
            "duration": iso_duration(duration) if duration is not None else None,
            "reason": reason,
            "database": database,
            "networks": [str(each) for each in networks],
            "pin_address": pin_address,
        }
        return await self._post(ObtainedView, "/v1/credentials", body)

    async def get_request(self, request_id: str) -> RequestView:
        return await self._get(RequestView, f"/v1/requests/{request_id}")

    async def get_timeline(self, some_id: str) -> TimelineView:
        """Return all that happened with a request or a grant, the oldest first."""
        what = "grants" if some_id.startswith("grt_") else "requests"
        return await self._get(TimelineView, f"/v1/{what}/{some_id}/timeline")

    async def list_requests(
        self, *, status: str | None = None, limit: int = 50
    ) -> Page[RequestView]:
        query = _query(status=status, limit=limit)
        return await self._get(Page[RequestView], "/v1/requests", query)

    async def approve(
        self,
        request_id: str,
        *,
        duration: timedelta | None = None,
        comment: str = "",
        networks: Sequence[Network] | None = None,
        pin_address: bool = False,
        break_glass: bool = False,
    ) -> ApprovalView:
        """Consent to a request; networks, if given, take the place of those that it asks for. There
        is a grant once enough approvers have consented, or one with `break_glass`."""
        body = {
            "duration": iso_duration(duration) if duration else None,
            "comment": comment,
            "networks": None if networks is None else [str(each) for each in networks],
            "pin_address": pin_address,
            "break_glass": break_glass,
        }
        return await self._post(ApprovalView, f"/v1/requests/{request_id}/approval", body)

    async def deny(self, request_id: str, *, reason: str = "") -> RequestView:
        return await self._post(
            RequestView, f"/v1/requests/{request_id}/denial", {"reason": reason}
        )

    async def cancel(self, request_id: str) -> RequestView:
        return await self._post(RequestView, f"/v1/requests/{request_id}/cancellation", {})

    async def comment(self, request_id: str, text: str) -> RequestView:
        return await self._post(RequestView, f"/v1/requests/{request_id}/comments", {"text": text})

    async def escalate(self, request_id: str) -> RequestView:
        """Let the people on call approve it, too, and have them paged."""
        return await self._post(RequestView, f"/v1/requests/{request_id}/escalation", {})

    async def get_grant(self, grant_id: str) -> GrantView:
        return await self._get(GrantView, f"/v1/grants/{grant_id}")

    async def list_grants(
        self, *, status: str | None = None, mine: bool = False, limit: int = 50
    ) -> Page[GrantView]:
        query = _query(status=status, mine="true" if mine else None, limit=limit)
        return await self._get(Page[GrantView], "/v1/grants", query)

    async def hand_out(self, grant_id: str) -> CredentialView:
        """Return a new secret for the grant; the one before no longer works."""
        return await self._post(CredentialView, f"/v1/grants/{grant_id}/credential", {})

    async def relinquish(self, grant_id: str) -> GrantView:
        return await self._post(GrantView, f"/v1/grants/{grant_id}/relinquishment", {})

    async def revoke(self, grant_id: str, *, reason: str = "") -> GrantView:
        return await self._post(GrantView, f"/v1/grants/{grant_id}/revocation", {"reason": reason})

    async def extend(
        self,
        grant_id: str,
        *,
        duration: timedelta | None = None,
        rows: int = 0,
        size: int = 0,
        reason: str = "",
    ) -> ApprovalView:
        """Ask for a later end, or for more rows and bytes. While its request is pending, the grant
        is as before."""
        body = {
            "duration": iso_duration(duration) if duration else None,
            "rows": rows,
            "bytes": size,
            "reason": reason,
        }
        return await self._post(ApprovalView, f"/v1/grants/{grant_id}/extension", body)

    async def get_review(self, grant_id: str) -> ReviewView:
        return await self._get(ReviewView, f"/v1/grants/{grant_id}/review")

    async def review(self, grant_id: str, text: str) -> ReviewView:
        """Write the review of a break-glass grant, once and for all."""
        return await self._post(ReviewView, f"/v1/grants/{grant_id}/review", {"text": text})

    async def allow(  # noqa: PLR0913  (all that one may say)
        self,
        person: str,
        target: str,
        role: str,
        *,
        duration: timedelta,
        ends_at: datetime,
        starts_at: datetime | None = None,
        database: str | None = None,
        reason: str = "",
    ) -> AllowanceView:
        """Consent beforehand to what the person asks for until `ends_at`."""
        body = {
            "person": person,
            "target": target,
            "role": role,
            "database": database,
            "duration": iso_duration(duration),
            "starts_at": starts_at.isoformat() if starts_at is not None else None,
            "ends_at": ends_at.isoformat(),
            "reason": reason,
        }
        return await self._post(AllowanceView, "/v1/allowances", body)

    async def list_allowances(
        self, *, status: str = "living", limit: int = 50
    ) -> Page[AllowanceView]:
        query = _query(status=status, limit=limit)
        return await self._get(Page[AllowanceView], "/v1/allowances", query)

    async def revoke_allowance(self, allowance_id: str) -> AllowanceView:
        return await self._post(AllowanceView, f"/v1/allowances/{allowance_id}/revocation", {})

    async def get_receipt(self, grant_id: str) -> ReceiptView:
        return await self._get(ReceiptView, f"/v1/grants/{grant_id}/receipt")

    async def list_findings(self, grant_id: str) -> Page[FindingView]:
        """Return what the grant's life changed on its target."""
        return await self._get(Page[FindingView], f"/v1/grants/{grant_id}/findings")

    async def get_privilege_fit(self, grant_id: str) -> PrivilegeFitView:
        """Return what a grant's statements used of what its role may do."""
        return await self._get(PrivilegeFitView, f"/v1/grants/{grant_id}/privilege-fit")

    async def list_alarms(self, *, status: str = "open", limit: int = 50) -> Page[AlarmView]:
        query = _query(status=status, limit=limit)
        return await self._get(Page[AlarmView], "/v1/alarms", query)

    async def acknowledge(self, alarm_id: str) -> AlarmView:
        """Close an alarm; if the trouble lasts, it is raised anew."""
        return await self._post(AlarmView, f"/v1/alarms/{alarm_id}/acknowledgement", {})

    async def list_sessions(
        self, *, grant_id: str | None = None, status: str | None = None, limit: int = 50
    ) -> Page[SessionView]:
        query = _query(grant=grant_id, status=status, limit=limit)
        return await self._get(Page[SessionView], "/v1/sessions", query)

    async def get_session(self, session_id: str) -> SessionView:
        return await self._get(SessionView, f"/v1/sessions/{session_id}")

    async def list_statements(
        self, session_id: str, *, after: int = 0, limit: int = 50
    ) -> StatementPage:
        """Return statements of a session, the oldest first, after number `after`."""
        query = _query(after=after, limit=limit)
        return await self._get(StatementPage, f"/v1/sessions/{session_id}/statements", query)

    async def read_statements(
        self, session_id: str, *, at_once: int = 200
    ) -> AsyncIterator[StatementView]:
        """Yield all statements of a session, page by page."""
        after: int | None = 0
        while after is not None:
            page = await self.list_statements(session_id, after=after, limit=at_once)
            for each in page.items:
                yield each
            after = page.next

    async def kill_session(self, session_id: str) -> SessionView:
        """End a session. Without `ended_at` its proxy is still at it."""
        return await self._delete(SessionView, f"/v1/sessions/{session_id}")

    async def kill_sessions(self, grant_id: str) -> Page[SessionView]:
        """End the open sessions of a grant, and return them."""
        return await self._delete(Page[SessionView], f"/v1/grants/{grant_id}/sessions")

    async def list_held_commits(
        self, *, status: str = "open", limit: int = 50
    ) -> Page[HeldCommitView]:
        """Return transactions that wait for somebody to confirm them."""
        query = _query(status=status, limit=limit)
        return await self._get(Page[HeldCommitView], "/v1/held-commits", query)

    async def confirm_commit(self, held_id: str) -> HeldCommitView:
        """Let a held transaction commit."""
        return await self._post(HeldCommitView, f"/v1/held-commits/{held_id}/confirmation", {})

    async def roll_back_commit(self, held_id: str) -> HeldCommitView:
        return await self._post(HeldCommitView, f"/v1/held-commits/{held_id}/rollback", {})

    async def get_me(self) -> MeView:
        """Return who we are to the server."""
        return await self._get(MeView, "/v1/me")

    async def list_tokens(self, *, limit: int = 50) -> Page[TokenView]:
        return await self._get(Page[TokenView], "/v1/tokens", _query(limit=limit))

    async def create_token(
        self,
        *,
        label: str = "",
        duration: timedelta | None = None,
        scopes: Sequence[str] | None = None,
        holder: str | None = None,
    ) -> TokenView:
        """Make a token of one's own or, as an operator, of the machine that is the holder.

        Without scopes it is good for as much as this client's.
        """
        body = {
            "label": label,
            "duration": iso_duration(duration) if duration else None,
            "scopes": None if scopes is None else list(scopes),
            "holder": holder,
        }
        return await self._post(TokenView, "/v1/tokens", body)

    async def revoke_token(self, token_id: str) -> TokenView:
        return await self._delete(TokenView, f"/v1/tokens/{token_id}")

    async def ways_to_sign_in(self) -> SignInWays:
        """Return the providers with which people sign in from a command line. Needs no token."""
        return await self._get(SignInWays, "/v1/sign-in")

    async def sign_in(
        self, provider: str, id_token: str, access_token: str | None = None
    ) -> SignedInView:
        """Exchange an ID token, made for this very purpose, for a token of ours."""
        body = {"provider": provider, "id_token": id_token, "access_token": access_token}
        return await self._post(SignedInView, "/v1/sign-in", body)

    async def sign_out(self) -> None:
        """Make the token of a sign-in useless, which this client then no longer has."""
        await self._call("DELETE", "/v1/sign-in")

    async def list_targets(self) -> Page[TargetView]:
        return await self._get(Page[TargetView], "/v1/targets")

    async def get_target(self, target: str) -> TargetDetailsView:
        return await self._get(TargetDetailsView, f"/v1/targets/{_quoted(target)}")

    async def list_roles(self, target: str) -> Page[RoleInsightView]:
        """Return what the roles of a target may do, in plain words."""
        return await self._get(Page[RoleInsightView], f"/v1/targets/{_quoted(target)}/roles")

    async def list_members(self, target: str) -> MembersView:
        """Return who is in which role of a target's server."""
        return await self._get(MembersView, f"/v1/targets/{_quoted(target)}/members")

    async def list_leftovers(self, target: str) -> LeftoversView:
        """Return what should not be on a target, or no longer."""
        return await self._get(LeftoversView, f"/v1/targets/{_quoted(target)}/leftovers")

    async def get_blast_radius(self, request_id: str) -> BlastRadiusView:
        """Return what an approver risks by saying yes to a request."""
        return await self._get(BlastRadiusView, f"/v1/requests/{request_id}/blast-radius")

    async def get_checkup(self, target: str) -> CheckupView:
        """Have a target looked over, now."""
        return await self._get(CheckupView, f"/v1/targets/{_quoted(target)}/findings")

    async def list_bans(self) -> Page[BanView]:
        return await self._get(Page[BanView], "/v1/bans")

    async def lift_ban(self, key: str) -> None:
        await self._call("DELETE", f"/v1/bans/{_quoted(key)}")

    async def list_audit(
        self,
        *,
        grant_id: str | None = None,
        request_id: str | None = None,
        person: str | None = None,
        kind: str | None = None,
        since: datetime | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[AuditEventView]:
        """Return events of the audit trail, the newest first."""
        query = _query(
            grant=grant_id,
            request=request_id,
            person=person,
            kind=kind,
            since=since.isoformat() if since else None,
            after=after,
            limit=limit,
        )
        return await self._get(Page[AuditEventView], "/v1/audit", query)

    async def find_statements(  # noqa: PLR0913  (all that one may ask for)
        self,
        *,
        text: str | None = None,
        grant_id: str | None = None,
        session_id: str | None = None,
        person: str | None = None,
        target: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> FoundStatementPage:
        """Return statements, the newest first; of the last day, unless a time, a session or a grant
        is given."""
        query = _query(
            text=text,
            grant=grant_id,
            session=session_id,
            person=person,
            target=target,
            since=since.isoformat() if since else None,
            until=until.isoformat() if until else None,
            after=after,
            limit=limit,
        )
        return await self._get(FoundStatementPage, "/v1/statements", query)

    async def follow_record(
        self,
        *,
        what: str | None = None,
        grant_id: str | None = None,
        session_id: str | None = None,
        person: str | None = None,
        target: str | None = None,
        after: str | None = None,
        follow: bool = True,
    ) -> AsyncIterator[StreamLine]:
        """Yield what comes, line by line. The last is an EndLine, which says whether to come back
        with the newest position; ApiUnreachable if it breaks off."""
        query = _query(
            what=what,
            grant=grant_id,
            session=session_id,
            person=person,
            target=target,
            after=after,
            follow="true" if follow else "false",
        )
        path = "/v1/audit/stream"
        line: StreamLine | None = None
        async with self._open("GET", path, query=query, timeout=_TIMEOUT_OF_STREAM) as response:
            async for each in response.content:
                line = STREAM_LINE.validate_json(each)
                yield line
        if not isinstance(line, StreamEnd):
            raise ApiUnreachable("the stream broke off")

    async def follow_events(self, *, after: str | None = None) -> AsyncIterator[EventView]:
        """Yield hints of what happens, for ever, from now on or after an event with an `id`.

        The first is a `hello`. What was cut is gone on with, and a `reset` says where that was not
        possible. ApiUnreachable if nobody answers in the beginning, or for a minute in the middle.
        """
        clock = asyncio.get_running_loop().time
        heard_at: float | None = None
        wait_s = _COME_BACK_S
        while True:
            parser = EventParser()
            try:
                async with self._open(
                    "GET", "/v1/events", query=_query(after=after), timeout=_TIMEOUT_OF_EVENTS
                ) as response:
                    async for piece in response.content.iter_any():
                        for each in parser.feed(piece):
                            if each.event in _TOPICS:  # newer servers may know others
                                yield EVENT.validate_json(each.data)
                        after = parser.last_id or after
                        heard_at, wait_s = clock(), _COME_BACK_S
            except (ApiError, ApiUnreachable) as error:
                is_away = isinstance(error, ApiUnreachable) or error.status in _AWAY
                if heard_at is None or not is_away or clock() - heard_at >= _LONGEST_ABSENCE_S:
                    raise
            await asyncio.sleep((parser.retry_ms or 0) / 1000 or wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    async def export_record(  # noqa: PLR0913  (all that one may ask for)
        self,
        *,
        what: str | None = None,
        layout: str | None = None,
        grant_id: str | None = None,
        session_id: str | None = None,
        person: str | None = None,
        target: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[bytes]:
        """Yield an export, piece by piece. ApiUnreachable if it breaks off."""
        query = _query(
            what=what,
            format=layout,
            grant=grant_id,
            session=session_id,
            person=person,
            target=target,
            since=since.isoformat() if since else None,
            until=until.isoformat() if until else None,
        )
        path = "/v1/audit/export"
        async with self._open("GET", path, query=query, timeout=_TIMEOUT_OF_STREAM) as response:
            async for each in response.content.iter_chunked(_PIECE):
                yield each

    async def get_evidence(self, grant_id: str) -> AsyncIterator[bytes]:
        """Yield the zip of all that there is about a grant, piece by piece."""
        path = f"/v1/grants/{grant_id}/evidence"
        async with self._open("GET", path, timeout=_TIMEOUT_OF_PACKING) as response:
            async for each in response.content.iter_chunked(_PIECE):
                yield each

    async def verify_record(self, *, since: int | None = None) -> VerificationView:
        """Check the record, from a checkpoint on if one is given, for as long as is bearable."""
        query = _query(since=since)
        return await self._get(VerificationView, "/v1/audit/verification", query)

    async def policies(self) -> TextView:
        """Return the policies in force."""
        return await self._get(TextView, "/v1/policies")

    async def list_versions(
        self, *, kind: str | None = None, after: int | None = None, limit: int = 50
    ) -> VersionList:
        """Return what was in force, newest first."""
        query = _query(kind=kind, after=after, limit=limit)
        return await self._get(VersionList, "/v1/policies/versions", query)

    async def get_version(self, number: int) -> VersionDetailsView:
        return await self._get(VersionDetailsView, f"/v1/policies/versions/{number}")

    async def test_policies(self, question: PolicyQuestion) -> AnswerView:
        """Return what would be decided, and why."""
        body = question.model_dump(mode="json")
        return await self._post(AnswerView, "/v1/policies/test", body)

    async def show_access(self, email: str | None = None) -> Page[AccessView]:
        """Return all that a person may ask for; without an address, oneself."""
        path = f"/v1/people/{quote(email or 'me', safe='')}/access"
        return await self._get(Page[AccessView], path)

    async def replay_policies(
        self, text: str, since: datetime
    ) -> AsyncIterator[ShiftLine | ProgressLine | ReplayEndLine]:
        """Yield past requests that the policy file `text` would have answered otherwise, with how
        far it has come, and at last the end."""
        body = {"policies": text, "since": since.isoformat()}
        line = None
        async with self._open(
            "POST", "/v1/policies/replay", body=body, timeout=_TIMEOUT_OF_STREAM
        ) as response:
            async for each in response.content:
                line = REPLAY_LINE.validate_json(each)
                if isinstance(line, ErrorLine):
                    raise ApiError(500, line.code, line.detail)
                yield line
        if not isinstance(line, ReplayEndLine):
            raise ApiUnreachable("the answer broke off; nothing more is known, try again")

    async def _get(
        self, view: type[ViewType], path: str, query: dict[str, str] | None = None
    ) -> ViewType:
        return view.model_validate(await self._call("GET", path, query=query))

    async def _post(self, view: type[ViewType], path: str, body: dict[str, Any]) -> ViewType:
        return view.model_validate(await self._call("POST", path, body=body))

    async def _delete(self, view: type[ViewType], path: str) -> ViewType:
        return view.model_validate(await self._call("DELETE", path))

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> Any:
        async with self._open(method, path, query=query, body=body) as response:
            return await response.json(content_type=None)

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        timeout: aiohttp.ClientTimeout = _TIMEOUT,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._session.request(
                method, self._url + path, params=query, json=body, timeout=timeout
            ) as response:
                if response.status >= 400:
                    raise _error(response.status, await response.json(content_type=None))
                yield response
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            why = str(error) or type(error).__name__
            raise ApiUnreachable(f"no pgcurfew answers at {self._url}: {why}") from error


@asynccontextmanager
async def open_client(url: str, token: str | None = None) -> AsyncIterator[Client]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers, read_bufsize=_LONGEST_LINE) as session:
        yield Client(session, url)


def _query(**values: str | int | None) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None}


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _error(status: int, content: Any) -> ApiError:
    if not isinstance(content, dict):
        return ApiError(status, "unknown", f"the server answered {status}")
    detail = str(content.get("detail", ""))
    for fault in content.get("errors", ()):
        detail += f"\n  {fault['field']}: {fault['message']}"
    return ApiError(status, str(content.get("code", "unknown")), detail)
