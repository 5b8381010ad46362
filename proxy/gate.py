"""The proxy's side of the ledger: who may come in, and what is written down about them.

Every connection is looked up afresh, so a grant that has ended is never let in from memory, and a
known name costs the same as an unknown one. Without a ledger nobody comes in; open sessions go on
under their own timers, and their ends are written down when it is back.
"""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from broker.domain.events import Banned, SessionOpened, SessionRefused
from broker.domain.grant import Grant, GrantState
from broker.domain.network import Address
from broker.domain.person import SYSTEM
from broker.ledger import audit, bans, logins, sessions
from broker.ledger.bans import ThrottleRules
from broker.ledger.channel import notify_bans, notify_cancel, notify_cancelled
from broker.ledger.connection import Pool, autocommit, reading, transaction
from broker.ledger.logins import ProxyLogin
from broker.ledger.sessions import EndedSession, NewSession
from proxy.ledger_writes import until_ledger_answers
from proxy.throttle import Bans, address_key, login_key

# How many logins one user name may stand for: the living grant, and older ones whose secret may
# still be in a saved connection.
_CANDIDATES = 4
_MOST_ENDS = 500  # in one statement

_log = logging.getLogger(__name__)


class Gate:
    """The way in through the ledger: a Door, and what is written about those who go through it."""

    counts_from_first_use = False

    def __init__(self, pool: Pool, worker_id: str, banned: Bans) -> None:
        self._pool = pool
        self._worker_id = worker_id
        self._banned = banned
        self._ended: asyncio.Queue[EndedSession] = asyncio.Queue()

    async def find(self, user: str, database: str) -> list[ProxyLogin]:
        async with reading(self._pool) as db:
            return await logins.fetch_for_proxy(db, user, database, _CANDIDATES)

    async def is_banned(self, user: str, candidates: list[ProxyLogin], address: Address) -> bool:
        """Say whether too many secrets were tried for this name, and nobody who had the right one
        ever came from this address: or else anybody could lock a person out. Raises
        LedgerUnavailable."""
        if self._banned.is_banned(login_key(user), _now()) is None:
            return False
        async with reading(self._pool) as db:
            return not await sessions.came_from(db, [each.grant.id for each in candidates], address)

    async def count_failure(self, user: str, address: Address, rules: ThrottleRules) -> None:
        await self.count_failures([address_key(address), login_key(user)], rules)

    async def count_failures(self, counted: list[str], rules: ThrottleRules) -> None:
        """Count a wrong secret under these keys. Raises LedgerUnavailable."""
        now = _now()
        keys = [key for key in counted if self._banned.is_banned(key, now) is None]
        async with transaction(self._pool) as db:
            begun = await bans.count_failure(db, keys, rules, now)
            for ban in begun:
                event = Banned(whom=ban.key, failures=ban.failures, until=ban.until)
                await audit.append(db, event, actor=SYSTEM, now=now)
            if begun:
                await notify_bans(db)
        for ban in begun:
            _log.warning("%r is banned until %s: %d failures", ban.key, ban.until, ban.failures)

    async def open_session(self, session: NewSession, grant: Grant, user: str) -> Grant:
        """Whoever gets in has not been guessing: what was counted against them is forgotten."""
        event = SessionOpened(
            session_id=session.id,
            grant_id=session.grant_id,
            client_address=str(session.client_address),
            client_application=session.client_application,
            worker=self._worker_id,
        )
        counted = [address_key(session.client_address), login_key(user)]
        async with autocommit(self._pool) as db:
            while True:
                until = await sessions.open_(
                    db, session, event, actor=grant.person.email, forgive=counted
                )
                if until is not None:
                    return replace(grant, expires_at=until)
                (now,) = await logins.fetch_grants_for_proxy(db, [grant.id])
                if now.state is not GrantState.ACTIVE or now.pinned_to != session.client_address:
                    return now
                # Another first session from the same address pinned it at the same moment.

    def close_session(self, ended: EndedSession) -> None:
        self._ended.put_nowait(ended)

    async def record_refusal(self, login: ProxyLogin, address: Address, reason: str) -> None:
        event = SessionRefused(grant_id=login.grant.id, client_address=str(address), reason=reason)
        async with transaction(self._pool) as db:
            await audit.append(db, event, actor=login.grant.person.email, now=_now())

    async def report_rejected(self, login: ProxyLogin) -> None:
        async with transaction(self._pool) as db:
            await logins.mark_rejected(db, login.grant.id, login.verifier.stored_key, _now())

    async def look_again(self, login: ProxyLogin) -> ProxyLogin:
        """It was looked up a moment ago, and is again when the session is written down."""
        return login

    def bounded(self, grant: Grant) -> Grant:
        return grant

    async def find_grant(self, grant_id: str) -> Grant | None:
        """Return the grant as the ledger has it, if it does. Raises LedgerUnavailable."""
        async with reading(self._pool) as db:
            found = await logins.fetch_grants_for_proxy(db, [grant_id])
        return found[0] if found else None

    async def report_sealed_rejected(self, grant_id: str) -> None:
        """Tell the broker that the target refused the keys of a ticket. Raises
        LedgerUnavailable."""
        async with autocommit(self._pool) as db:
            await logins.mark_sealed_rejected(db, grant_id, _now())

    async def pass_on_cancel(self, digest: str) -> None:
        """Ask the other workers to cancel for a key that is not ours."""
        async with transaction(self._pool) as db:
            await notify_cancel(db, digest)

    async def confirm_cancel(self, digest: str) -> None:
        """Tell the worker that passed it on. Raises LedgerUnavailable."""
        async with transaction(self._pool) as db:
            await notify_cancelled(db, digest)

    async def write_ends(self) -> None:
        """Write down the ends of sessions, those that came together at once, each until it is done.
        Runs until cancelled."""
        while True:
            ended = [await self._ended.get()]
            while not self._ended.empty() and len(ended) < _MOST_ENDS:
                ended.append(self._ended.get_nowait())
            try:
                await until_ledger_answers(partial(self._write_ends, ended))
            finally:
                for _ in ended:
                    self._ended.task_done()

    async def wait_until_written(self) -> None:
        await self._ended.join()

    async def _write_ends(self, ended: list[EndedSession]) -> None:
        async with autocommit(self._pool) as db:
            await sessions.close(db, ended, actor=SYSTEM)


def _now() -> datetime:
    return datetime.now(UTC)
