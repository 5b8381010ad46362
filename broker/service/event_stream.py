"""Telling whoever follows that something has happened that they may look at.

A hint is told and never the thing itself, so nobody learns more than by looking. One reader in each
process reads on in the record for however many follow; each of them takes from what it has read
what is for them. Nothing waits for anybody who follows: who cannot keep up, or comes back from
further behind than is kept, is told to load everything again.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field

from broker.domain.errors import Unavailable
from broker.domain.hints.hint import Hint, Topic
from broker.domain.hints.place import Chain, Mark, Place, place_of
from broker.domain.hints.window import Window
from broker.ledger import hints
from broker.ledger.connection import Db, reading
from broker.ledger.hints import Marked, Noted
from broker.service.context import Context
from broker.service.following import Stopping
from broker.service.listener import Listener, Look
from broker.service.trail_sealing import TrailSealing

LOOK_EVERY_S = 0.5

_SIGN_OF_LIFE_S = 15.0
# Who follows comes back from time to time, so that what they came with is looked at again.
_LONGEST_S = 600.0
_AT_ONCE = 500
_MOST_KEPT = 10_000  # hints of each chain, some 10 MB
_MOST_BLOCKS = 10_000  # that somebody may be behind
_MOST_STREAMS = 1_000
_MOST_OF_ONE = 20

_HELLO = "stream.hello"
_RESET = "stream.reset"
_TARGET = "target.changed"


class TooManyStreams(Unavailable):
    code = "too-many-streams"


@dataclass(frozen=True, slots=True)
class Told:
    """Hints in their order, each with the place from which to go on after it; one without a place
    is told once and never again. Without any, this is a sign of life."""

    hints: tuple[tuple[Place | None, Hint], ...]
    place: Place


@dataclass(slots=True, eq=False)
class _Stream:
    """One who follows. `targets` have changed since they were told."""

    listener: Listener
    is_gone: Callable[[], bool]
    targets: dict[str | None, Hint] = field(default_factory=dict)


class Events:
    def __init__(self, context: Context, sealing: TrailSealing) -> None:
        self._context = context
        self._sealing = sealing
        self._events: Window[Noted] = Window(_MOST_KEPT)
        self._statements: Window[Noted] = Window(_MOST_KEPT)
        self._reading = asyncio.Lock()
        self._has_begun = False
        self._read_at = float("-inf")
        self._news = asyncio.Event()
        self._streams: set[_Stream] = set()
        self._is_stopping = False

    @property
    def followers(self) -> int:
        return len(self._streams)

    async def look(self) -> None:
        """Read on in the record, if anybody follows. What is not sealed yet is sealed for it."""
        if self._streams:
            await self._sealing.seal()
            async with self._reading:
                await self._read_on()

    def tell_of_target(self, name: str) -> None:
        """Tell who follows here that a target is not as it was. No other process knows of it."""
        for each in self._streams:
            each.targets[name] = self._hint(Topic.TARGET, _TARGET, target=name)
        self._wake()

    def stop(self) -> None:
        """Let nobody follow any longer: whoever stops the service would wait for them."""
        self._is_stopping = True
        self._wake()

    @asynccontextmanager
    async def follow(
        self, look: Look, after: str | None, is_gone: Callable[[], bool]
    ) -> AsyncIterator[AsyncGenerator[Told, None]]:
        """Yield what happens after a place, or from now on, until it is time to come back.

        The first hint says whether that is where they wanted to go on. Who `is_gone` counts no
        longer, though it takes a sign of life to notice. Raises TooManyStreams, Stopping and, once
        what they came with is good no longer, Unauthenticated.
        """
        if self._is_stopping:
            raise Stopping
        stream = _Stream(await Listener.begin(self._context, look), is_gone)
        self._require_room(stream.listener.person.id)
        self._streams.add(stream)
        try:
            place, topic = await self._begin_at(after)
            if after is not None and topic is Topic.HELLO:
                # Where they were before, other things may have been known of targets.
                stream.targets[None] = self._hint(Topic.TARGET, _TARGET)
            async with aclosing(self._tell(stream, place, topic)) as told:
                yield told
        finally:
            self._streams.discard(stream)

    def _require_room(self, person_id: str) -> None:
        streams = [each for each in self._streams if not each.is_gone()]
        if len(streams) >= _MOST_STREAMS:
            raise TooManyStreams(f"{_MOST_STREAMS:,} already follow what happens; try again later")
        own = sum(each.listener.person.id == person_id for each in streams)
        if own >= _MOST_OF_ONE:
            raise TooManyStreams(
                f"you already follow what happens {own} times; close one, or try again later"
            )

    async def _tell(
        self, stream: _Stream, place: Place, topic: Topic
    ) -> AsyncGenerator[Told, None]:
        clock, listener = asyncio.get_running_loop().time, stream.listener
        began = told_at = clock()
        kind = _HELLO if topic is Topic.HELLO else _RESET
        yield Told(((place, self._hint(topic, kind)),), place)
        while True:
            news = self._news  # before looking: what comes later sets this one
            if self._is_stopping or clock() - began >= _LONGEST_S:
                return
            await listener.keep_fresh()
            told = await self._take(stream, place)
            place = told.place
            if told.hints or clock() - told_at >= _SIGN_OF_LIFE_S:
                yield told
                told_at = clock()
            else:
                wait_s = min(_SIGN_OF_LIFE_S, listener.good_for_s(self._context.now()))
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), wait_s)

    async def _take(self, stream: _Stream, place: Place) -> Told:
        """Return what comes after a place that is for them. Raises Unauthenticated."""
        listener = stream.listener
        found = {
            Chain.EVENTS: self._events.after(place.events, _AT_ONCE),
            Chain.STATEMENTS: self._statements.after(place.statements, _AT_ONCE),
        }
        ends = {Chain.EVENTS: self._events.end, Chain.STATEMENTS: self._statements.end}
        if any(each is None for each in found.values()):
            here = self._end()
            return Told(((here, self._hint(Topic.RESET, _RESET)),), here)
        if any(listener.is_cast_in_doubt(noted) for _, noted in found[Chain.EVENTS] or ()):
            await listener.look_again()
        told: list[tuple[Place | None, Hint]] = []
        for chain, marked in found.items():
            for mark, noted in marked or ():
                place = place.moved(chain, mark)
                if listener.hears(noted):
                    told.append((place, noted.hint))
            if len(marked or ()) < _AT_ONCE:
                place = place.moved(chain, ends[chain])
        changed, stream.targets = stream.targets, {}
        told += [(None, each) for each in changed.values() if listener.hears_of_target(each)]
        return Told(tuple(told), place)

    async def _begin_at(self, after: str | None) -> tuple[Place, Topic]:
        """Return where to begin, and whether that is where they wanted to go on."""
        wanted = None if after is None else place_of(after)
        async with self._reading:
            if asyncio.get_running_loop().time() - self._read_at >= LOOK_EVERY_S or (
                wanted is not None and self._is_beyond(wanted)
            ):
                await self._read_on()
            if after is None:
                return self._end(), Topic.HELLO
            if wanted is None or self._is_beyond(wanted) or not await self._reach_back(wanted):
                return self._end(), Topic.RESET
            return wanted, Topic.HELLO

    def _end(self) -> Place:
        return Place(self._events.end, self._statements.end)

    def _is_beyond(self, place: Place) -> bool:
        return place.events > self._events.end or place.statements > self._statements.end

    async def _reach_back(self, place: Place) -> bool:
        """Have what comes after a place, for whoever else comes back from there, too. Returns
        whether it is not too much."""
        events, statements = self._events, self._statements
        async with reading(self._context.ledger) as db:
            if place.events < events.start:
                if not _is_near(place.events, events.start):
                    return False
                older = await hints.fetch_events(db, place.events, events.start, _MOST_KEPT + 1)
                if not events.has_room_before(len(older)):
                    return False
                events.extend_back(older, place.events)
            if place.statements < statements.start:
                if not _is_near(place.statements, statements.start):
                    return False
                older = await hints.fetch_statements(db, place.statements, statements.start)
                if not statements.has_room_before(len(older)):
                    return False
                statements.extend_back(older, place.statements)
        return True

    async def _read_on(self) -> None:
        """Call it with the lock held. One question, unless there is something new."""
        async with reading(self._context.ledger) as db:
            newest = await hints.fetch_newest(db)
            if not self._has_begun or newest != self._end():
                await self._read_until(db, newest)
                self._wake()
        self._read_at = asyncio.get_running_loop().time()

    async def _read_until(self, db: Db, newest: Place) -> None:
        """Where too much has come meanwhile, or less is there than there was, nobody can go on."""
        events, statements = self._events, self._statements
        found: Sequence[Marked] | None = None
        if self._has_begun and _is_near(events.end, newest.events):
            found = await hints.fetch_events(db, events.end, newest.events, _MOST_KEPT + 1)
        if found is not None and len(found) <= _MOST_KEPT:
            events.extend(found, newest.events)
        else:
            events.begin_anew(newest.events)
        if self._has_begun and _is_near(statements.end, newest.statements):
            found = await hints.fetch_statements(db, statements.end, newest.statements)
            statements.extend(found, newest.statements)
        else:
            statements.begin_anew(newest.statements)
        self._has_begun = True

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _hint(self, topic: Topic, kind: str, target: str | None = None) -> Hint:
        return Hint(topic=topic, kind=kind, at=self._context.now(), target=target)


def _is_near(end: Mark, newest: Mark) -> bool:
    return end <= newest and newest.block - end.block <= _MOST_BLOCKS
