"""The proxy's side of the ledger: who may come in, who is in, and what has just ended.

Every connection is looked up afresh, so a grant that has ended is never let in from memory, and a
known name costs the same as an unknown one. Without a ledger nobody comes in; open sessions go on
under their own timers, and their ends are written down when it is back.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from broker.domain.errors import LedgerUnavailable
from broker.domain.events import SessionClosed, SessionOpened, SessionRefused
from broker.domain.grant import Grant, GrantState
from broker.ledger import audit, logins, sessions
from broker.ledger.channel import CANCELS, GRANTS, notify_cancel
from broker.ledger.connection import LedgerLogin, Pool, connect, reading, transaction
from broker.ledger.logins import ProxyLogin
from broker.ledger.sessions import NewSession
from proxy.refusals import goodbye_of
from proxy.registry import Registry

_SIGN_OF_LIFE_EVERY_S = 5.0
_RETRY_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSession:
    """What there is to say of a session once it is over."""

    id: str
    grant_id: str
    reason: str
    bytes_from_client: int
    bytes_to_client: int
    ended_at: datetime


class Gate:
    def __init__(self, pool: Pool, login: LedgerLogin, worker_id: str, registry: Registry) -> None:
        self._pool = pool
        self._login = login
        self._worker_id = worker_id
        self._registry = registry
        self._ended: asyncio.Queue[EndedSession] = asyncio.Queue()

    async def find(self, user: str) -> ProxyLogin | None:
        """Return the login of this name, whether its grant lives or not. Raises
        LedgerUnavailable."""
        async with reading(self._pool) as db:
            return await logins.fetch_for_proxy(db, user)

    async def open_session(self, session: NewSession) -> Grant:
        """Write the session down before it begins: no audit, no access.

        Returns the grant as it is now; if that has ended since `find`, nothing is written. Raises
        LedgerUnavailable.
        """
        event = SessionOpened(
            session_id=session.id,
            grant_id=session.grant_id,
            client_address=session.client_address,
            client_application=session.client_application,
            worker=self._worker_id,
        )
        async with transaction(self._pool) as db:
            (grant,) = await logins.fetch_grants_for_proxy(db, [session.grant_id])
            if grant.state is GrantState.ACTIVE:
                await sessions.insert(db, session)
                await audit.append(db, event, actor=grant.person.email, now=session.started_at)
        return grant

    def close_session(self, ended: EndedSession) -> None:
        """Write the end of a session down, now or when the ledger is back."""
        self._ended.put_nowait(ended)

    async def record_refusal(self, login: ProxyLogin, address: str, reason: str) -> None:
        """Write down that somebody with the right secret was not let in. Raises
        LedgerUnavailable."""
        event = SessionRefused(grant_id=login.grant.id, client_address=address, reason=reason)
        async with transaction(self._pool) as db:
            await audit.append(db, event, actor=login.grant.person.email, now=_now())

    async def report_rejected(self, login: ProxyLogin) -> None:
        """Tell the broker that the target refused the keys of this very secret."""
        async with transaction(self._pool) as db:
            await logins.mark_rejected(db, login.grant.id, login.verifier.stored_key, _now())

    async def pass_on_cancel(self, digest: str) -> None:
        """Ask the other workers to cancel for a key that is not ours."""
        async with transaction(self._pool) as db:
            await notify_cancel(db, digest)

    async def write_ends(self) -> None:
        """Write down the ends of sessions, each until it is done. Runs until cancelled."""
        while True:
            ended = await self._ended.get()
            try:
                await _until_ledger_answers(partial(self._write_end, ended))
            finally:
                self._ended.task_done()

    async def wait_until_written(self) -> None:
        await self._ended.join()

    async def listen(self, cancel: Callable[[str], None]) -> None:
        """Follow the ledger's notifications, and show that this worker lives. Runs until
        cancelled.

        `cancel` is called with the digest of a cancel key that some worker was asked to use.
        """
        while True:
            try:
                await self._listen_once(cancel)
            except (LedgerUnavailable, OSError, TimeoutError) as error:
                _log.warning("the ledger is out of reach: %s", error.__cause__ or error)
            except Exception:
                # Whatever it is, it must not end the sessions of this worker.
                _log.exception("listening to the ledger failed; trying again")
            await asyncio.sleep(_RETRY_S)

    async def _listen_once(self, cancel: Callable[[str], None]) -> None:
        changed: asyncio.Queue[str] = asyncio.Queue()
        db = await connect(self._login, f"pgcurfew proxy {self._worker_id}")
        try:
            await db.add_listener(GRANTS, lambda *args: changed.put_nowait(str(args[3])))
            await db.add_listener(CANCELS, lambda *args: cancel(str(args[3])))
            # Whatever was said while nobody listened: look at every grant that has a session.
            await self._end_what_ended(self._registry.grant_ids())
            while True:
                try:
                    async with asyncio.timeout(_SIGN_OF_LIFE_EVERY_S):
                        grant_ids = [await changed.get()]
                except TimeoutError:
                    await self._show_life()
                    if db.is_closed():
                        return
                else:
                    while not changed.empty():
                        grant_ids.append(changed.get_nowait())
                    await self._end_what_ended(grant_ids)
        finally:
            db.terminate()

    async def _show_life(self) -> None:
        async with transaction(self._pool) as db:
            await sessions.save_worker_seen(db, self._worker_id, "proxy", _now())

    async def _end_what_ended(self, grant_ids: list[str]) -> None:
        here = set(self._registry.grant_ids()).intersection(grant_ids)
        if not here:
            return
        async with reading(self._pool) as db:
            grants = await logins.fetch_grants_for_proxy(db, sorted(here))
        for grant in grants:
            if grant.state is not GrantState.ACTIVE:
                self._registry.end_grant(grant.id, goodbye_of(grant))

    async def _write_end(self, ended: EndedSession) -> None:
        event = SessionClosed(session_id=ended.id, grant_id=ended.grant_id, reason=ended.reason)
        async with transaction(self._pool) as db:
            if await sessions.close(
                db,
                ended.id,
                reason=ended.reason,
                now=ended.ended_at,
                from_client=ended.bytes_from_client,
                to_client=ended.bytes_to_client,
            ):
                await audit.append(db, event, actor="system", now=ended.ended_at)


async def _until_ledger_answers(step: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await step()
        except LedgerUnavailable:
            await asyncio.sleep(_RETRY_S)
        except Exception:
            _log.exception("writing to the ledger failed; trying again")
            await asyncio.sleep(_RETRY_S)
        else:
            return


def _now() -> datetime:
    return datetime.now(UTC)
