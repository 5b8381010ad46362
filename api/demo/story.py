"""The whole story, played and checked: request, approval, psql through the proxy, the end, the
proof. Each step prints what happened and fails loudly if it is not what must happen.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from rich.console import Console

from api.client import ApiError, Client, open_client
from api.demo.failures import StepFailed
from api.demo.site import Site
from api.demo.sqlclient import Background, SqlClient, find_client
from api.schemas import CredentialView, GrantView, RequestView
from broker.domain.duration import format_duration, parse_duration

_POLL_S = 0.02
_PATIENCE_S = 10.0


class Story:
    def __init__(self, site: Site, console: Console) -> None:
        self._site = site
        self._console = console
        self._number = 0

    async def play(self) -> None:
        """Play every step. Raises StepFailed at the first that does not hold."""
        site = self._site
        async with (
            open_client(site.api_url, site.requester_token) as requester,
            open_client(site.api_url, site.reviewer_token) as reviewer,
        ):
            request = await self._ask(requester)
            await self._approve_own(requester, request)
            grant = await self._approve(reviewer, request)
            credential = await self._hand_out(requester, grant)
            client = await asyncio.to_thread(find_client, credential, site.home / "client-root.pem")
            await self._read(client, credential)
            await self._verify_name(client)
            await self._write(client)
            await self._go_around_the_proxy(client)
            await self._relinquish_under_a_session(requester, grant, client)
            await self._come_back(client)
            await self._prove(requester, grant)
            await self._look_at_the_record(requester, grant)

    async def _ask(self, requester: Client) -> RequestView:
        request = await requester.request(
            "orders",
            "orders_reader",
            duration=parse_duration("15m"),
            reason="look into a customer's order",
        )
        self._tell(
            "The developer asks for orders_reader",
            f"{request.id}, {request.state}, for {format_duration(request.duration)}; "
            f"approvers: {', '.join(request.approvers or ())}",
        )
        return request

    async def _approve_own(self, requester: Client, request: RequestView) -> None:
        refusal = await self._must_fail(lambda: requester.approve(request.id), "self-approval")
        self._tell("They try to approve it themselves", refusal)

    async def _approve(self, reviewer: Client, request: RequestView) -> GrantView:
        started = time.monotonic()
        grant = (await reviewer.approve(request.id)).given
        self._require(grant.state == "active", f"the grant is {grant.state}: {grant.last_error}")
        took = round((time.monotonic() - started) * 1000)
        self._tell(
            "The reviewer approves",
            f"{grant.id} is active; login {grant.login} made in {took} ms, "
            f"gone by {grant.expires_at:%H:%M:%S} UTC at the latest",
        )
        return grant

    async def _hand_out(self, requester: Client, grant: GrantView) -> CredentialView:
        credential = await requester.hand_out(grant.id)
        self._tell(
            "The developer gets a secret, shown once and stored nowhere",
            f"{credential.host}:{credential.port} user {credential.user} "
            f"password {credential.password[:4]}… sslmode {credential.sslmode}",
        )
        return credential

    async def _read(self, client: SqlClient, credential: CredentialView) -> None:
        answer = await self._run(
            client,
            "SELECT current_user || ' sees ' || count(*) || ' orders' FROM shop.orders",
        )
        self._require(
            answer == f"{credential.user} sees 200 orders", f"unexpected answer: {answer}"
        )
        self._tell(f"Reads through the proxy ({client.name}, verify-full)", answer)

    async def _verify_name(self, client: SqlClient) -> None:
        """The proxy's certificate must not pass for another host's."""
        refusal = await self._run_to_fail(
            client,
            "SELECT 1",
            "does not match host name",
            host="elsewhere.invalid",
            hostaddr="127.0.0.1",
        )
        self._tell("The same certificate under another name is refused", refusal)

    async def _write(self, client: SqlClient) -> None:
        refusal = await self._run_to_fail(
            client, "DELETE FROM shop.orders", "permission denied for table orders"
        )
        self._tell("A reader tries to write", refusal)

    async def _go_around_the_proxy(self, client: SqlClient) -> None:
        server = self._site.server
        refusal = await self._run_to_fail(
            client,
            "SELECT 1",
            "password authentication failed",
            host=server.host,
            port=str(server.port),
            sslmode="disable",
        )
        self._tell("The secret is tried at PostgreSQL itself, past the proxy", refusal)

    async def _relinquish_under_a_session(
        self, requester: Client, grant: GrantView, client: SqlClient
    ) -> None:
        session = Background(client, "SELECT pg_sleep(25)")
        await self._until_a_session_is_open(requester, grant)
        started = time.monotonic()
        ended = await requester.relinquish(grant.id)
        took = round((time.monotonic() - started) * 1000)
        self._require(ended.state == "ended", f"the grant is {ended.state}: {ended.last_error}")
        answer = await asyncio.to_thread(session.wait)
        self._require("access ended" in answer.error, f"the open session did not end: {answer}")
        self._tell("The developer gives the grant back", f"ended in {took} ms, login removed")
        self._tell("Their open session was told", _first_line(answer.error))

    async def _come_back(self, client: SqlClient) -> None:
        refusal = await self._run_to_fail(client, "SELECT 1", "no live grant")
        self._tell("They try to connect again", refusal)

    async def _prove(self, requester: Client, grant: GrantView) -> None:
        receipt = await requester.get_receipt(grant.id)
        facts = receipt.receipt
        missing = [line.claim for line in facts.lines if not line.proved]
        self._require(facts.proved and not missing, f"not proved: {missing}")
        self._require(not facts.findings, f"something was left: {facts.findings}")
        sessions = (await requester.list_sessions(grant_id=grant.id)).items
        self._require(
            bool(sessions) and all(each.ended_at for each in sessions),
            "a session is still open in the ledger",
        )
        self._tell(
            "The receipt, as PostgreSQL itself says",
            f"number {receipt.number}, {receipt.hash[:16]}…: "
            + "; ".join(line.claim for line in facts.lines),
        )

    async def _look_at_the_record(self, requester: Client, grant: GrantView) -> None:
        """The attempt to write has to be there like everything else."""
        async with asyncio.timeout(_PATIENCE_S):
            while not (refused := await self._refused(requester, grant)):
                await asyncio.sleep(_POLL_S)
        counted = sum(
            each.statements or 0
            for each in (await requester.list_sessions(grant_id=grant.id)).items
        )
        self._tell(
            "Every statement is on record, the refused one too", f"{counted} of them; {refused}"
        )

    async def _refused(self, requester: Client, grant: GrantView) -> str:
        for session in (await requester.list_sessions(grant_id=grant.id)).items:
            for each in (await requester.list_statements(session.id)).items:
                if each.sqlstate == "42501":
                    return f"{each.text} {each.ending} with {each.sqlstate}"
        return ""

    async def _until_a_session_is_open(self, requester: Client, grant: GrantView) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while not (await requester.list_sessions(grant_id=grant.id, status="open")).items:
                await asyncio.sleep(_POLL_S)

    async def _run(self, client: SqlClient, sql: str) -> str:
        answer = await asyncio.to_thread(client.run, sql)
        self._require(not answer.error, f"{sql}: {answer.error}")
        return answer.output

    async def _run_to_fail(
        self, client: SqlClient, sql: str, expected: str, **overrides: str
    ) -> str:
        answer = await asyncio.to_thread(lambda: client.run(sql, **overrides))
        self._require(
            expected in answer.error, f"{sql} should fail with {expected!r}, but: {answer}"
        )
        return _first_line(answer.error)

    async def _must_fail(self, call: Callable[[], Awaitable[object]], code: str) -> str:
        try:
            await call()
        except ApiError as error:
            self._require(error.code == code, f"refused with {error.code}, not {code}")
            return str(error)
        raise StepFailed(f"it should have been refused with {code}")

    def _require(self, holds: bool, otherwise: str) -> None:  # noqa: FBT001
        if not holds:
            raise StepFailed(otherwise)

    def _tell(self, step: str, outcome: str) -> None:
        self._number += 1
        self._console.print(f"[green]✓[/] {self._number:2}. [bold]{step}[/]")
        self._console.print(f"      {outcome}", style="dim", markup=False)


def _first_line(error: str) -> str:
    """Return the line that says what happened, without psql's prefix."""
    lines = [line for line in error.splitlines() if "FATAL" in line or "ERROR" in line]
    return (lines or error.splitlines())[0].rpartition("failed: ")[2].strip()
