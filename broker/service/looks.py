"""What targets say of roles, kept for a minute.

However many ask, one at a time looks at one thing, and the others wait for what they find. A target
that is down, or has too much to look at, is an answer like others, and kept for a while, too: who
wants a list does not wait for it again and again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Generic, TypeVar

from broker.domain.errors import TargetRefused, TargetUnreachable
from broker.domain.role.facts import Look, Unseen
from broker.domain.role.membership import Roster
from broker.service.context import Context
from broker.target.role_look import look_at_roles
from broker.target.roster import fetch_roster

_FRESH = timedelta(seconds=60)
_FRESH_IF_UNSEEN = timedelta(seconds=10)
_PATIENCE_S = 10.0
_MOST_KEPT = 100  # databases; a request may name any that a policy allows

Found = TypeVar("Found")


@dataclass(slots=True)
class _Kept(Generic[Found]):
    """What was found, or was not, and when."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    found: Found | Unseen | None = None
    until: datetime | None = None


class Looks:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._roles: dict[tuple[str, str], _Kept[Look]] = {}
        self._rosters: dict[tuple[str, str], _Kept[Roster]] = {}

    async def roles(self, target: str, database: str) -> Look | Unseen:
        """Return what the catalog roles of the target may do in a database of it."""
        place, catalog = self._context.targets[target], self._context.catalog.targets[target]
        look = partial(
            look_at_roles,
            place,
            database,
            sorted(catalog.roles),
            catalog.sensitive_columns,
            self._context.now,
        )
        return await self._kept(self._roles, (target, database), look)

    async def roster(self, target: str) -> Roster | Unseen:
        """Return who is in which role of the target's server."""
        place, catalog = self._context.targets[target], self._context.catalog.targets[target]
        look = partial(fetch_roster, place, sorted(catalog.roles), self._context.now)
        return await self._kept(self._rosters, (target, place.address.database), look)

    async def _kept(
        self,
        keep: dict[tuple[str, str], _Kept[Found]],
        key: tuple[str, str],
        look: Callable[[], Awaitable[Found]],
    ) -> Found | Unseen:
        kept = keep.setdefault(key, _Kept())
        async with kept.turn:
            if kept.found is None or kept.until is None or kept.until <= self._context.now():
                kept.found = await look_or_say_why(look)
                fresh = _FRESH_IF_UNSEEN if isinstance(kept.found, Unseen) else _FRESH
                kept.until = self._context.now() + fresh
            found = kept.found
        _forget(keep)
        return found


async def look_or_say_why(look: Callable[[], Awaitable[Found]]) -> Found | Unseen:
    """Return what is seen or, within seconds, why nothing is."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await look()
    except TargetUnreachable as error:
        return Unseen(str(error))
    except TargetRefused as error:
        # What it said is for operators: it may name what others may not know of.
        return Unseen(f"the server refused (SQLSTATE {error.sqlstate}); pgcurfew doctor says more")
    except TimeoutError:
        return Unseen(f"the server did not say it within {_PATIENCE_S:.0f} seconds")


def _forget(keep: dict[tuple[str, str], _Kept[Found]]) -> None:
    """Drop what is too much, the oldest first; never what somebody waits for."""
    for key in list(keep)[: max(0, len(keep) - _MOST_KEPT)]:
        if not keep[key].turn.locked():
            del keep[key]
