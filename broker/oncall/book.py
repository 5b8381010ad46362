"""Who is on call now, by the names that the settings give schedules.

What a vendor said counts for a while, but never past the end of a shift. What it failed to say is
not made up for with anything older: nobody counts as on call then.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from broker.domain.on_call import OnCallNow
from broker.domain.rota import Rota
from broker.oncall.asking import Shift
from broker.oncall.failures import FailureKind, VendorFailed

# Before a vendor that failed is asked again: whoever asks us next would have to wait for it, too.
_PATIENCE = timedelta(seconds=30)

_log = logging.getLogger(__name__)


class Vendor(Protocol):
    async def shifts(self, schedule: str, now: datetime) -> Sequence[Shift]:
        """Raises VendorFailed."""


@dataclass(frozen=True, slots=True)
class VendorSchedule:
    """A schedule that `vendor` knows by `id`."""

    vendor: Vendor
    id: str


class OnCallBook:
    def __init__(
        self,
        schedules: Mapping[str, Rota | VendorSchedule],
        fresh_for: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._now = now
        self._rotas = {name: each for name, each in schedules.items() if isinstance(each, Rota)}
        self._watched = {
            name: _Watched(name, each, fresh_for, now)
            for name, each in schedules.items()
            if isinstance(each, VendorSchedule)
        }

    async def who(self, schedules: Iterable[str]) -> OnCallNow:
        """Return who is on call in each of these schedules."""
        names = sorted(set(schedules))
        async with asyncio.TaskGroup() as tasks:
            answers = {name: tasks.create_task(self._ask(name)) for name in names}
        said = {name: answer.result() for name, answer in answers.items()}
        return OnCallNow(
            {name: each.people for name, each in said.items()},
            {name: each.silent for name, each in said.items() if each.silent},
        )

    async def _ask(self, name: str) -> "_Answer":
        if name in self._rotas:
            person = self._rotas[name].on_call(self._now())
            return _Answer(frozenset({person} if person else ()))
        if name not in self._watched:
            return _Answer(silent=f"the settings have no schedule {name!r}")
        return await self._watched[name].answer()


@dataclass(frozen=True, slots=True)
class _Answer:
    """The e-mail addresses, or why there are none."""

    people: frozenset[str] = frozenset()
    silent: str = ""


@dataclass(frozen=True, slots=True)
class _Known:
    """An answer of `since`, to be believed until `until`."""

    since: datetime
    until: datetime
    answer: _Answer

    def holds(self, now: datetime) -> bool:
        return self.since <= now < self.until  # a clock that was put back must not prolong it


class _Watched:
    """One schedule of a vendor. Questions take turns: the second finds the first one's answer."""

    def __init__(
        self,
        name: str,
        schedule: VendorSchedule,
        fresh_for: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._name = name
        self._schedule = schedule
        self._fresh_for = fresh_for
        self._now = now
        self._turn = asyncio.Lock()
        self._known: _Known | None = None
        self._told: FailureKind | None = None

    async def answer(self) -> _Answer:
        async with self._turn:
            if self._known is None or not self._known.holds(self._now()):
                self._known = await self._ask()
            return self._known.answer

    async def _ask(self) -> _Known:
        now = self._now()
        try:
            shifts = await self._schedule.vendor.shifts(self._schedule.id, now)
        except VendorFailed as failure:
            self._tell(failure)
            return self._silent(now, str(failure), failure.wait)
        except Exception:
            _log.exception("schedule %s could not be read; nobody counts as on call", self._name)
            return self._silent(now, "asking failed in an unforeseen way")
        self._tell(None)
        people = frozenset(each.email for each in shifts if each.email)
        ends = [each.end for each in shifts if each.end is not None]
        return _Known(now, min([now + self._fresh_for, *ends]), _Answer(people))

    def _silent(self, now: datetime, why: str, wait: timedelta | None = None) -> _Known:
        silent = f"{why}, so nobody counts as on call in {self._name!r}"
        until = self._now() + max(wait or _PATIENCE, _PATIENCE)
        return _Known(now, until, _Answer(silent=silent))

    def _tell(self, failure: VendorFailed | None) -> None:
        """Log a failure once, until it is another, and its end."""
        kind = failure.kind if failure else None
        if kind is not self._told:
            if failure:
                _log.warning("%s; nobody counts as on call in schedule %s", failure, self._name)
            else:
                _log.info("schedule %s can be read again", self._name)
        self._told = kind
