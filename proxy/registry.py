"""Live sessions of this worker: by grant, so that a curfew can end them; by id, so that one can be
killed; and by cancel key."""

import asyncio
from hashlib import sha256
from typing import Protocol

from broker.domain.grant import Grant
from proxy.goodbye import Goodbye


class LiveSession(Protocol):
    """What the registry knows of a session."""

    @property
    def id(self) -> str: ...

    @property
    def grant_id(self) -> str: ...

    def end(self, goodbye: Goodbye) -> None:
        """End the session, whatever it is doing. Safe to call again."""

    def follow(self, grant: Grant) -> None:
        """Live as the grant now says: until its curfew, or not at all."""

    def killed(self, by: str) -> None:
        """End the session, because somebody wants that."""


class Cancellable(Protocol):
    async def cancel_query(self) -> None:
        """Ask the target to cancel what the session is doing. Raises TargetDown, TimeoutError."""


class Registry:
    def __init__(self) -> None:
        self._by_grant: dict[str, dict[str, LiveSession]] = {}
        self._by_id: dict[str, LiveSession] = {}
        self._by_cancel_key: dict[str, Cancellable] = {}
        self._held_commits: dict[str, asyncio.Event] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    def add(self, session: LiveSession) -> None:
        self._by_grant.setdefault(session.grant_id, {})[session.id] = session
        self._by_id[session.id] = session
        self._empty.clear()

    def remove(self, session: LiveSession) -> None:
        sessions = self._by_grant.get(session.grant_id, {})
        sessions.pop(session.id, None)
        if not sessions:
            self._by_grant.pop(session.grant_id, None)
        self._by_id.pop(session.id, None)
        if not self._by_id:
            self._empty.set()

    def ids(self) -> list[str]:
        return list(self._by_id)

    def grant_ids(self) -> list[str]:
        return list(self._by_grant)

    def follow(self, grant: Grant) -> None:
        """Let the sessions of the grant know what it is now."""
        for session in tuple(self._by_grant.get(grant.id, {}).values()):
            session.follow(grant)

    def kill(self, session_id: str, by: str) -> None:
        session = self._by_id.get(session_id)
        if session is not None:
            session.killed(by)

    def end_all(self, goodbye: Goodbye) -> None:
        for session in tuple(self._by_id.values()):
            session.end(goodbye)

    async def wait_until_empty(self) -> None:
        await self._empty.wait()

    def hold_commit(self, held_id: str) -> asyncio.Event:
        """Return what is set when somebody may have decided about this commit."""
        return self._held_commits.setdefault(held_id, asyncio.Event())

    def forget_commit(self, held_id: str) -> None:
        self._held_commits.pop(held_id, None)

    def look_at_commit(self, held_id: str) -> None:
        if held_id in self._held_commits:
            self._held_commits[held_id].set()

    def add_cancel_key(self, digest: str, session: Cancellable) -> None:
        self._by_cancel_key[digest] = session

    def remove_cancel_key(self, digest: str) -> None:
        self._by_cancel_key.pop(digest, None)

    def find_cancellable(self, digest: str) -> Cancellable | None:
        return self._by_cancel_key.get(digest)


def cancel_digest(pid: int, key: bytes) -> str:
    """Return what may travel between workers in place of a cancel key."""
    return sha256(pid.to_bytes(4) + key).hexdigest()
