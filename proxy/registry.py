"""Live sessions of this worker: by grant, so that a curfew can end them, and by cancel key."""

import asyncio
from hashlib import sha256
from typing import Protocol

from proxy.dial import Upstream
from proxy.relay import Goodbye
from proxy.wire.messages import BackendKeyData


class LiveSession(Protocol):
    """What the registry knows of a session."""

    @property
    def grant_id(self) -> str: ...

    def end(self, goodbye: Goodbye) -> None:
        """End the session, whatever it is doing. Safe to call again."""


class Cancellable(Protocol):
    @property
    def upstream(self) -> Upstream: ...

    @property
    def upstream_key(self) -> BackendKeyData: ...


class Registry:
    def __init__(self) -> None:
        self._by_grant: dict[str, set[LiveSession]] = {}
        self._by_cancel_key: dict[str, Cancellable] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    def add(self, session: LiveSession) -> None:
        self._by_grant.setdefault(session.grant_id, set()).add(session)
        self._empty.clear()

    def remove(self, session: LiveSession) -> None:
        sessions = self._by_grant.get(session.grant_id, set())
        sessions.discard(session)
        if not sessions:
            self._by_grant.pop(session.grant_id, None)
        if not self._by_grant:
            self._empty.set()

    def grant_ids(self) -> list[str]:
        return list(self._by_grant)

    def end_grant(self, grant_id: str, goodbye: Goodbye) -> None:
        for session in tuple(self._by_grant.get(grant_id, ())):
            session.end(goodbye)

    def end_all(self, goodbye: Goodbye) -> None:
        for grant_id in self.grant_ids():
            self.end_grant(grant_id, goodbye)

    async def wait_until_empty(self) -> None:
        await self._empty.wait()

    def add_cancel_key(self, digest: str, session: Cancellable) -> None:
        self._by_cancel_key[digest] = session

    def remove_cancel_key(self, digest: str) -> None:
        self._by_cancel_key.pop(digest, None)

    def find_cancellable(self, digest: str) -> Cancellable | None:
        return self._by_cancel_key.get(digest)


def cancel_digest(pid: int, key: bytes) -> str:
    """Return what may travel between workers in place of a cancel key."""
    return sha256(pid.to_bytes(4) + key).hexdigest()
