"""When an open session hears that it ends soon, and when it ends. Pure: times are arguments."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class SessionRules:
    """What every session is held to; None means no such limit. `warn_before` is how long before its
    end a session is told."""

    idle_timeout: timedelta | None = None
    longest: timedelta | None = None
    warn_before: tuple[timedelta, ...] = ()


@dataclass(frozen=True, slots=True)
class Warn:
    """Tell the session at `at` that `left` of it are left."""

    at: datetime
    left: timedelta


@dataclass(frozen=True, slots=True)
class End:
    at: datetime


def next_moment(now: datetime, end: datetime, warn_before: Sequence[timedelta]) -> Warn | End:
    """Return what is next to come after `now` in a session that ends at `end`."""
    ahead = [left for left in warn_before if end - left > now]
    return Warn(end - max(ahead), max(ahead)) if ahead else End(end)


@dataclass(slots=True)
class Idleness:
    """Since when nothing has happened in a session, as far as somebody looked."""

    since: datetime
    activity: int = 0

    def look(self, now: datetime, activity: int, *, idle: bool) -> timedelta:
        """Take note of a number that grows with all that moves, and of whether the server waits for
        a query. Returns for how long it has waited."""
        if not idle or activity != self.activity:
            self.since, self.activity = now, activity
        return now - self.since
