"""How much of everything there is and was, and what needs attention, as far as it is somebody's to
see: of everybody's for operators and auditors, else of what they approve and their own.

Sums over a stretch of time are kept for some seconds, longer if they took long: those of everybody
are the same for all who may see them. What needs attention is looked up anew.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from broker.domain.overview import (
    Attention,
    Situation,
    Window,
    attention,
    by_outcome,
    lived,
    per_bucket,
    totals,
    window_of,
)
from broker.domain.person import Person
from broker.ledger import alarms, overview
from broker.ledger.connection import reading
from broker.ledger.overview import Asked, Lives, Top, Waits
from broker.ledger.sight import Visible
from broker.service.alarms import audience_of
from broker.service.context import Context
from broker.service.health import Health
from broker.service.instruments import Instruments, Proxies
from broker.service.visible import visible_roles, visible_to

_KEPT_FOR = timedelta(seconds=5)
_COSTS = 20  # for so many times as long as it took, what was added up is kept at least
_MOST_KEPT = 200
_NO_WAITS = Waits(0, 0, None, None)


@dataclass(frozen=True, slots=True)
class Bucket:
    """One stretch of time. `statements` is None for who does not see everybody's."""

    start: datetime
    requests: dict[str, int]
    waits: Waits
    grants: int
    statements: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Requests of a stretch of time by their state now, how long approvals took, what was asked for
    most, and grants that live now, by state."""

    at: datetime
    window: Window
    buckets: tuple[Bucket, ...]
    requests: dict[str, int]
    waits: Waits
    grants: dict[str, int]
    top: tuple[Top, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    figures: Figures
    attention: tuple[Attention, ...]
    of_everybody: bool


@dataclass(frozen=True, slots=True)
class _Kept:
    figures: Figures
    until: datetime


@dataclass(slots=True)
class _Record:
    """How many statements came on record in each hour, as far as somebody asked: blocks with
    numbers above `after`, up to `last`."""

    after: int | None = None
    last: int = 0
    hours: dict[datetime, int] = field(default_factory=dict)


class Overviews:
    def __init__(self, context: Context, health: Health, instruments: Instruments) -> None:
        self._context = context
        self._health = health
        self._instruments = instruments
        self._kept: OrderedDict[tuple[str, int], _Kept] = OrderedDict()
        # Each is there for as long as somebody has it.
        self._turns: WeakValueDictionary[tuple[str, int], asyncio.Lock] = WeakValueDictionary()
        self._record = _Record()
        self._record_turn = asyncio.Lock()

    async def of(self, person: Person, days: int) -> Overview:
        """Return the overview of the last so many days."""
        visible = await visible_to(self._context, person)
        figures = await self._figures(visible, days)
        return Overview(figures, await self.attention(person, visible), visible.everything)

    async def attention(
        self, person: Person, visible: Visible | None = None
    ) -> tuple[Attention, ...]:
        """Return what needs the person's attention, the most urgent first."""
        if visible is None:
            visible = await visible_to(self._context, person)
        now = self._context.now()
        async with reading(self._context.ledger) as db:
            piles = await overview.fetch_piles(db, visible, now)
            open_alarms = 0
            if visible.everything or visible.policies:
                open_alarms = await alarms.count_open(db, audience_of(self._context, visible))
        proxies = await self._proxies(visible)
        unreachable, unusable = self._targets(person, visible)
        situation = Situation(
            now=now,
            **piles,
            alarms=open_alarms,
            unreachable=unreachable,
            unusable_roles=unusable,
            refusing_workers=len(proxies.refusing),
            fullest_spool=max(
                (each.size / each.limit for each in proxies.spools if each.limit), default=0.0
            ),
        )
        return attention(situation)

    async def _figures(self, visible: Visible, days: int) -> Figures:
        """Two who ask for the same at once have it added up once."""
        key = ("" if visible.everything else visible.person.id, days)
        async with self._turns.setdefault(key, asyncio.Lock()):
            kept = self._kept.get(key)
            now = self._context.now()
            if kept is None or now >= kept.until:
                figures = await self._add_up(visible, days, now)
                after = self._context.now()
                kept = _Kept(figures, after + max(_KEPT_FOR, _COSTS * (after - now)))
                self._keep(key, kept)
            return kept.figures

    def _keep(self, key: tuple[str, int], kept: _Kept) -> None:
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)

    async def _add_up(self, visible: Visible, days: int, now: datetime) -> Figures:
        window = window_of(days, now)
        async with reading(self._context.ledger) as db:
            asked = await overview.fetch_asked(db, visible, window)
            waits = await overview.fetch_waits(db, visible, window)
            lives = await overview.fetch_lives(db, visible, window)
        statements = await self._statements(window) if visible.everything else None
        return _figures(now, window, asked, waits, lives, statements)

    async def _statements(self, window: Window) -> tuple[int, ...]:
        """Count statements by bucket. What was counted once is kept: blocks never change, and only
        those that came since are read."""
        async with self._record_turn, reading(self._context.ledger) as db:
            after = await overview.fetch_last_block_before(db, window.since)
            record = self._record
            if record.after is None or after < record.after:
                self._record = record = _Record(after=after, last=after)
            new = await overview.fetch_recorded(db, record.last)
            record.last = new.last
            for hour, count in new.hours.items():
                record.hours[hour] = record.hours.get(hour, 0) + count
            return per_bucket(record.hours, window)

    async def _proxies(self, visible: Visible) -> Proxies:
        """Return how the proxies are, for those who look after them."""
        if not visible.everything:
            return Proxies()
        return await self._instruments.proxies()

    def _targets(self, person: Person, visible: Visible) -> tuple[list[str], list[str]]:
        """Return which targets do not answer, of those that the person may ask for, and for those
        who look after them which roles cannot be given."""
        seen = visible_roles(self._context, person)
        states = [each for each in self._health.targets() if each.target in seen]
        unreachable = [
            each.target for each in states if not each.reachable and each.checked_at is not None
        ]
        unusable = [f"{each.target}/{role}" for each in states for role in each.role_faults]
        return unreachable, unusable if visible.everything else []


def _figures(
    now: datetime,
    window: Window,
    asked: Asked,
    waits: dict[int | None, Waits],
    lives: Lives,
    statements: tuple[int, ...] | None,
) -> Figures:
    requests = by_outcome(asked.outcomes, window)
    grants = lived(sum(lives.living.values()), lives.started, lives.ended, window)
    buckets = tuple(
        Bucket(
            start,
            requests[number],
            waits.get(number, _NO_WAITS),
            grants[number],
            statements[number] if statements is not None else None,
        )
        for number, start in enumerate(window.starts)
    )
    return Figures(
        at=now,
        window=window,
        buckets=buckets,
        requests=totals(requests),
        waits=waits.get(None, _NO_WAITS),
        grants=lives.living,
        top=tuple(asked.top),
    )
