"""What the ledger tells a worker while it serves: grants that change, sessions that somebody wants
to end, cancel keys presented elsewhere, bans. And what the worker tells the ledger: that it lives.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from broker.domain.errors import LedgerUnavailable
from broker.ledger import bans, logins, sessions
from broker.ledger.channel import BANS, CANCELLED, CANCELS, COMMITS, GRANTS, SESSIONS
from broker.ledger.connection import (
    UNREACHABLE,
    LedgerLogin,
    Pool,
    autocommit,
    connect,
    reading,
)
from proxy.throttle import Bans
from proxy.workplace import Workplace

_SIGN_OF_LIFE_EVERY_S = 5.0
_RETRY_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Notice:
    channel: str
    payload: str


_CONNECTION_LOST = _Notice("", "")


class News:
    def __init__(
        self,
        pool: Pool,
        login: LedgerLogin,
        place: Workplace,
        banned: Bans,
        cancel: Callable[[str], None],
        cancelled: Callable[[str], None],
    ) -> None:
        """`cancel` is called with the digest of a cancel key that some worker was asked to use,
        `cancelled` with one that some worker has used."""
        self._pool = pool
        self._login = login
        self._worker_id = place.worker_id
        self._registry = place.registry
        self._spool = place.spool
        self._banned = banned
        self._cancel = cancel
        self._cancelled = cancelled

    async def follow(self) -> None:
        """Act on what the ledger says. Runs until cancelled."""
        while True:
            try:
                await self._listen()
            except (LedgerUnavailable, *UNREACHABLE) as error:
                _log.warning("the ledger is out of reach: %s", error.__cause__ or error)
            except Exception:
                # Whatever it is, it must not end the sessions of this worker.
                _log.exception("listening to the ledger failed; trying again")
            await asyncio.sleep(_RETRY_S)

    async def show_life(self) -> None:
        """Tell the ledger every few seconds that this worker lives. Runs until cancelled."""
        while True:
            await asyncio.sleep(_SIGN_OF_LIFE_EVERY_S)
            await self.show_life_once()

    async def show_life_once(self) -> None:
        """Without a ledger, do nothing: nobody comes in then anyway."""
        try:
            async with autocommit(self._pool) as db:
                condition = {
                    "kind": "worker",
                    "refusing": self._spool.refuses,
                    "holding": self._spool.waiting,
                }
                await sessions.save_worker_seen(db, self._worker_id, "proxy", _now(), condition)
        except LedgerUnavailable:
            _log.warning("the ledger is out of reach")
        except Exception:
            _log.exception("showing life failed; trying again")

    async def _listen(self) -> None:
        heard: asyncio.Queue[_Notice] = asyncio.Queue()
        db = await connect(self._login, f"pgcurfew proxy {self._worker_id}")
        try:
            db.add_termination_listener(lambda _db: heard.put_nowait(_CONNECTION_LOST))
            for channel in (GRANTS, SESSIONS, BANS):
                await db.add_listener(
                    channel, lambda *args: heard.put_nowait(_Notice(str(args[2]), str(args[3])))
                )
            await db.add_listener(
                COMMITS, lambda *args: self._registry.look_at_commit(str(args[3]))
            )
            await db.add_listener(CANCELS, lambda *args: self._cancel(str(args[3])))
            await db.add_listener(CANCELLED, lambda *args: self._cancelled(str(args[3])))
            # Whatever was said while nobody listened.
            await self._look_at_grants(set(self._registry.grant_ids()))
            await self._look_at_sessions(set(self._registry.ids()))
            await self._learn_bans()
            while True:
                notices = {await heard.get()}
                while not heard.empty():
                    notices.add(heard.get_nowait())
                if _CONNECTION_LOST in notices:
                    return
                await self._act_on(notices)
        finally:
            db.terminate()

    async def _act_on(self, notices: set[_Notice]) -> None:
        def payloads(channel: str) -> set[str]:
            return {notice.payload for notice in notices if notice.channel == channel}

        await self._look_at_grants(payloads(GRANTS))
        await self._look_at_sessions(payloads(SESSIONS))
        if payloads(BANS):
            await self._learn_bans()

    async def _look_at_grants(self, grant_ids: set[str]) -> None:
        """Let sessions know of grants that ended, and of curfews that moved."""
        here = grant_ids.intersection(self._registry.grant_ids())
        if here:
            async with reading(self._pool) as db:
                changed = await logins.fetch_grants_for_proxy(db, sorted(here))
            for grant in changed:
                self._registry.follow(grant)

    async def _look_at_sessions(self, session_ids: set[str]) -> None:
        here = session_ids.intersection(self._registry.ids())
        if here:
            async with reading(self._pool) as db:
                killed = await sessions.fetch_killed(db, sorted(here))
            for session_id, by in killed.items():
                self._registry.kill(session_id, by)

    async def _learn_bans(self) -> None:
        async with reading(self._pool) as db:
            live = await bans.fetch_live(db, _now())
        self._banned.replace((ban.key, ban.until) for ban in live)


def _now() -> datetime:
    return datetime.now(UTC)
