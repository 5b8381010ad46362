"""Calls that are made again are answered again, and done once.

A call is committed as begun before anything is done for it, so that two processes never both do it,
and one that dies leaves it as begun. What it was answered is noted after what it did: whoever asks
in between, or after a death in between, learns that nobody knows, and is never told wrong.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from broker.domain.errors import LedgerUnavailable
from broker.domain.idempotency import KEPT_FOR, Answer, Call, answer_again
from broker.ledger import idempotency_keys
from broker.ledger.connection import Commits, Db, autocommit, noting_commits, reading
from broker.service.context import Context

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Begun:
    """A call that is ours to make."""

    call: Call
    at: datetime
    _commits: Commits = field(default_factory=Commits)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Watch what is done for the call in here."""
        with noting_commits(self._commits):
            yield

    @property
    def did_something(self) -> bool:
        """Whether anything was committed for it, or may have been."""
        return self._commits.any


class Idempotency:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def begin(self, call: Call) -> Begun | Answer:
        """Return what the call was answered before, or that it is to be made now.

        Raises KeyReused, KeyInUse, OutcomeUnknown or AnswerNotKept.
        """
        while True:
            now = self._context.now()
            async with autocommit(self._context.ledger) as db:
                if await idempotency_keys.begin(db, call, now, now - KEPT_FOR):
                    return Begun(call, now)
            async with reading(self._context.ledger) as db:
                earlier = await idempotency_keys.fetch(db, call)
            if earlier is not None:  # else it was released in between
                return answer_again(earlier, call, now)

    async def answered(self, begun: Begun, answer: Answer) -> None:
        """Keep what the call was answered."""
        async with self._noting() as db:
            await idempotency_keys.end(db, begun.call, begun.at, self._context.now(), answer)

    async def failed(self, begun: Begun, *, refused: bool) -> None:
        """Let the key be used again if the call was refused, or nothing was done for it yet."""
        async with self._noting() as db:
            if refused or not begun.did_something:
                await idempotency_keys.release(db, begun.call, begun.at)
            else:
                await idempotency_keys.end(db, begun.call, begun.at, self._context.now(), None)

    async def forget_old(self) -> None:
        async with autocommit(self._context.ledger) as db:
            await idempotency_keys.forget(db, self._context.now() - KEPT_FOR)

    @asynccontextmanager
    async def _noting(self) -> AsyncIterator[Db]:
        """What the caller is told does not depend on it: without a note, the outcome is unknown to
        whoever asks again."""
        try:
            async with autocommit(self._context.ledger) as db:
                yield db
        except LedgerUnavailable:
            _log.warning("what became of a call with an idempotency key could not be noted")
