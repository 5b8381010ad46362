"""Ends a session on time, and tells it before: at its grant's curfew, when it has lasted too long,
when it has been idle for too long."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from broker.domain.grant import Grant
from proxy.deadlines import End, Idleness, SessionRules, Warn, next_moment
from proxy.goodbye import Goodbye
from proxy.refusals import (
    Guide,
    ends_soon,
    goodbye_of,
    session_ends_soon,
    too_idle,
    too_long,
)
from proxy.relay import Relay

_EARLY = timedelta(milliseconds=5)  # a timer may be that much early
_LOOKS_PER_IDLE_TIMEOUT = 10
_LEAST_LOOK_S = 0.1


class Timekeeper:
    """The timers of one session."""

    __slots__ = ("_end", "_guide", "_look", "_moment", "_relay", "_rules", "_started_at")

    def __init__(self, rules: SessionRules, guide: Guide, end: Callable[[Goodbye], None]) -> None:
        """`end` is called when the time has come."""
        self._rules = rules
        self._guide = guide
        self._end = end
        self._started_at = _now()
        self._relay: Relay | None = None
        self._moment: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None

    def follow(self, grant: Grant) -> None:
        """Keep to the curfew of the grant as it is now."""
        self._arm(grant, _now())

    def watch(self, relay: Relay) -> None:
        """Warn this session from now on, and see whether it is idle."""
        self._relay = relay
        if self._rules.idle_timeout is not None:
            self._look_again(relay, self._rules.idle_timeout, Idleness(_now()))

    def stop(self) -> None:
        for timer in (self._moment, self._look):
            if timer is not None:
                timer.cancel()

    def _arm(self, grant: Grant, after: datetime) -> None:
        """Set the timer for what comes next after that moment: a warning, or the end."""
        if self._moment is not None:
            self._moment.cancel()
        moment = next_moment(after, self._end_at(grant), self._rules.warn_before)
        self._moment = asyncio.get_running_loop().call_later(
            max((moment.at - _now()).total_seconds(), 0), self._reach, grant, moment
        )

    def _reach(self, grant: Grant, moment: Warn | End) -> None:
        if moment.at - _now() > _EARLY:
            self._arm(grant, _now())  # the clock was set back
            return
        curfew_is_first = self._end_at(grant) == grant.expires_at
        match moment:
            case Warn(left=left):
                if self._relay is not None:
                    self._relay.notify(
                        ends_soon(grant, left) if curfew_is_first else session_ends_soon(left)
                    )
                self._arm(grant, moment.at)
            case End() if curfew_is_first:
                self._end(goodbye_of(grant, self._guide))
            case End():
                self._end(too_long(self._end_at(grant) - self._started_at))

    def _end_at(self, grant: Grant) -> datetime:
        longest = self._rules.longest
        if longest is None:
            return grant.expires_at
        return min(grant.expires_at, self._started_at + longest)

    def _look_again(self, relay: Relay, timeout: timedelta, idleness: Idleness) -> None:
        idle_for = idleness.look(_now(), relay.activity, idle=relay.is_idle)
        if idle_for >= timeout:
            self._end(too_idle(timeout))
            return
        seconds = max(timeout.total_seconds() / _LOOKS_PER_IDLE_TIMEOUT, _LEAST_LOOK_S)
        self._look = asyncio.get_running_loop().call_later(
            seconds, self._look_again, relay, timeout, idleness
        )


def _now() -> datetime:
    return datetime.now(UTC)
