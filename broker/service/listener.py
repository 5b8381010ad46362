"""Who follows what happens, and what of it is for them: as they are now, not as they came.

To look again at what somebody came with asks the ledger. So that is done only when there is reason
to: when it is said to have ended or may have run out, when a provider says something new of them,
and when policies or settings are other ones.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from broker.domain.events import PersonVouchedFor
from broker.domain.hints.hint import Hint
from broker.domain.person import Person
from broker.ledger.alarms import Audience
from broker.ledger.hints import Noted
from broker.service.alarms import audience_of
from broker.service.context import Context
from broker.service.hearing import hears
from broker.service.in_force import InForce
from broker.service.presence import Presence
from broker.service.visible import visible_roles, visible_to

# Shifts of who is on call begin and end without a word.
_FRESH_FOR = timedelta(seconds=15)

Look = Callable[[], Awaitable[Presence]]
"""Looks again at what somebody came with. Raises Unauthenticated once that is good no longer."""


class Listener:
    def __init__(
        self, context: Context, look: Look, presence: Presence, audience: Audience, as_of: InForce
    ) -> None:
        self._context = context
        self._look = look
        self._presence = presence
        self._audience = audience
        self._as_of = as_of
        self._fresh_until = context.now() + _FRESH_FOR

    @classmethod
    async def begin(cls, context: Context, look: Look) -> "Listener":
        """Raises Unauthenticated."""
        as_of = context.live.in_force
        presence = await look()
        audience = audience_of(context, await visible_to(context, presence.person))
        return cls(context, look, presence, audience, as_of)

    @property
    def person(self) -> Person:
        return self._presence.person

    def good_for_s(self, now: datetime) -> float:
        """Return after how many seconds what they came with has to be looked at again."""
        until = self._presence.good_until
        return float("inf") if until is None else max((until - now).total_seconds(), 0.0)

    async def keep_fresh(self) -> None:
        """Be who they are now. Raises Unauthenticated once they are nobody here any more."""
        now, as_of = self._context.now(), self._context.live.in_force
        if as_of is not self._as_of or self.good_for_s(now) <= 0:
            await self.look_again()
        elif self._fresh_until <= now:
            await self._see(as_of)

    async def look_again(self) -> None:
        """Look at what they came with, whatever is known of it. Raises Unauthenticated."""
        as_of = self._context.live.in_force
        self._presence = await self._look()
        await self._see(as_of)

    def is_cast_in_doubt(self, noted: Noted) -> bool:
        """Say whether they may be somebody else after this, or nobody."""
        is_said = noted.hint.kind == PersonVouchedFor.kind and noted.person == self.person.email
        return is_said or not noted.ended.isdisjoint(self._presence.ids)

    def hears(self, noted: Noted) -> bool:
        return hears(self._audience, noted)

    def hears_of_target(self, hint: Hint) -> bool:
        """Say whether the state of a target is for them; that it may be any, is for everybody."""
        return hint.target is None or hint.target in visible_roles(self._context, self.person)

    async def _see(self, as_of: InForce) -> None:
        visible = await visible_to(self._context, self._presence.person)
        self._audience = audience_of(self._context, visible)
        self._as_of = as_of
        self._fresh_until = self._context.now() + _FRESH_FOR
