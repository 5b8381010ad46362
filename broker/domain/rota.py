"""A rota of our own: people take turns, and hand over at the same local time all year."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo


@dataclass(frozen=True, slots=True)
class Rota:
    """`people`, by e-mail address, take turns of length `turn`, over and over.

    The first begins at `first`, a local time in `zone` (without tzinfo). A turn is counted on the
    clock on the wall: 7 days from Monday 09:00 is the next Monday 09:00, whether or not the clocks
    change in between. It is at least an hour, which is what they change by.
    """

    people: tuple[str, ...]
    first: datetime
    zone: tzinfo
    turn: timedelta

    def on_call(self, now: datetime) -> str | None:
        """Return who has the turn, or None before the first one."""
        number = self._number(now)
        return self.people[number % len(self.people)] if number >= 0 else None

    def _number(self, now: datetime) -> int:
        """Return the number of the turn that `now` is in; negative before the first."""
        local = now.astimezone(self.zone).replace(tzinfo=None)
        number = (local - self.first) // self.turn
        # The clock on the wall shows an hour twice or skips one; a turn neither comes back nor
        # begins at a time that is still to come.
        if self._begins(number + 1) <= now:
            return number + 1
        if self._begins(number) > now:
            return number - 1
        return number

    def _begins(self, number: int) -> datetime:
        """Return when the turn begins: at the first of two equal local times; as much after the
        clocks went forward as a skipped one would have been after."""
        local = self.first + number * self.turn
        return local.replace(tzinfo=self.zone).astimezone(UTC)
