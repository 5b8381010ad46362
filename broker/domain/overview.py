"""What the overview shows: time cut into buckets, what lived in each, and what needs attention.

Sums come from the ledger, by the number of a bucket: 0 is the oldest.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from broker.domain.duration import format_duration
from broker.domain.request import RequestState

_HOUR, _DAY, _WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
# So that a picture of it has some dozens of buckets, whose edges people know.
_HOURLY_UP_TO, _DAILY_UP_TO = 3, 92  # days

SOON = timedelta(hours=1)
ENDING_SOON = timedelta(minutes=15)
_NEARLY_FULL = 0.8  # of a spool
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time in `count` buckets of `step`, of which the last has the present in it."""

    since: datetime
    step: timedelta
    count: int

    @property
    def starts(self) -> tuple[datetime, ...]:
        return tuple(self.since + number * self.step for number in range(self.count))

    def bucket(self, at: datetime) -> int:
        """Return the number of the bucket of a time; that may be one outside."""
        return (at - self.since) // self.step


def window_of(days: int, now: datetime) -> Window:
    """Return the last so many days: hours of few, days, or weeks of many, by UTC."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if days <= _HOURLY_UP_TO:
        step, end = _HOUR, midnight + ((now - midnight) // _HOUR + 1) * _HOUR
    else:
        step, end = (_DAY if days <= _DAILY_UP_TO else _WEEK), midnight + _DAY
    count = -(-timedelta(days=days) // step)
    return Window(end - count * step, step, count)


def by_outcome(counts: Mapping[tuple[int, str], int], window: Window) -> tuple[dict[str, int], ...]:
    """Return for each bucket how many requests are now in which state."""
    return tuple(
        {state.value: counts.get((number, state.value), 0) for state in RequestState}
        for number in range(window.count)
    )


def totals(buckets: Iterable[Mapping[str, int]]) -> dict[str, int]:
    every = list(buckets)
    return {state.value: sum(each[state.value] for each in every) for state in RequestState}


def lived(
    living: int, started: Mapping[int, int], ended: Mapping[int, int], window: Window
) -> tuple[int, ...]:
    """Return for each bucket how many lived at some time of it, of which `living` still do."""
    at_its_beginning = living - sum(started.values()) + sum(ended.values())
    found = []
    for number in range(window.count):
        with_new_ones = at_its_beginning + started.get(number, 0)
        found.append(with_new_ones)
        at_its_beginning = with_new_ones - ended.get(number, 0)
    return tuple(found)


def per_bucket(counts: Mapping[datetime, int], window: Window) -> tuple[int, ...]:
    """Return what was counted from these times on, by bucket."""
    sums = [0] * window.count
    for at, count in counts.items():
        number = window.bucket(at)
        if 0 <= number < window.count:
            sums[number] += count
    return tuple(sums)


class Urgency(StrEnum):
    """`critical`: something does not work, or is overdue. `warning`: it soon will be, or somebody
    waits. `info`: worth knowing."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Something to look at. `code` is stable, `link` is where to go on the pages."""

    code: str
    urgency: Urgency
    sentence: str
    count: int
    link: str


@dataclass(frozen=True, slots=True)
class Pile:
    """Things of one sort: how many, the one that comes first with its time, and how many `press`:
    are overdue, or soon will be."""

    count: int = 0
    first_id: str | None = None
    first_at: datetime | None = None
    press: int = 0


_NOTHING = Pile()


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """How things are, for one person and as far as it is for them.

    `undecided` waits for their decision, `asked` is what they asked for, `reviews` are to be
    written, `held` are COMMITs that wait for them, `ending` is access of theirs.
    """

    now: datetime
    undecided: Pile = _NOTHING
    asked: Pile = _NOTHING
    reviews: Pile = _NOTHING
    quarantined: Pile = _NOTHING
    held: Pile = _NOTHING
    ending: Pile = _NOTHING
    bans: Pile = _NOTHING
    alarms: int = 0
    unreachable: Sequence[str] = ()
    unusable_roles: Sequence[str] = ()
    refusing_workers: int = 0
    fullest_spool: float = 0.0


def attention(situation: Situation) -> tuple[Attention, ...]:
    """Return what needs attention, the most urgent first."""
    rank = list(Urgency)
    found = [*_of_theirs(situation), *_of_others(situation), *_of_the_service(situation)]
    return tuple(sorted(found, key=lambda each: rank.index(each.urgency)))


def _of_theirs(now: Situation) -> Iterator[Attention]:
    if pile := _some(now.undecided):
        yield Attention(
            code="requests-to-decide",
            urgency=Urgency.WARNING,
            sentence=f"{_are(pile.count, 'request')} waiting for you{_lapsing(pile, now.now)}",
            count=pile.count,
            link="/approvals",
        )
    if pile := _some(now.held):
        yield Attention(
            code="commits-held",
            urgency=Urgency.CRITICAL,
            sentence=f"{_are(pile.count, 'transaction')} waiting at COMMIT for you:"
            f" rolled back {_left(pile, now.now)} unless you confirm",
            count=pile.count,
            link="/alarms",
        )
    if pile := _some(now.ending):
        subject = "your access ends" if pile.count == 1 else f"{pile.count} of your accesses end:"
        yield Attention(
            code="access-ending",
            urgency=Urgency.WARNING,
            sentence=f"{subject} {_left(pile, now.now)}",
            count=pile.count,
            link="/access",
        )
    if pile := _some(now.asked):
        yield Attention(
            code="requests-pending",
            urgency=Urgency.WARNING if pile.press else Urgency.INFO,
            sentence=f"{_are(pile.count, 'request', ' of yours')} undecided"
            f"{_lapsing(pile, now.now)}",
            count=pile.count,
            link=f"/requests/{pile.first_id}" if pile.count == 1 else "/requests?status=pending",
        )


def _of_others(now: Situation) -> Iterator[Attention]:
    if pile := _some(now.reviews):
        overdue = f", {pile.press} overdue" if pile.press else f", due {_left(pile, now.now)}"
        yield Attention(
            code="reviews-due",
            urgency=Urgency.CRITICAL if pile.press else Urgency.WARNING,
            sentence=f"{_are(pile.count, 'review')} to be written after break-glass{overdue}",
            count=pile.count,
            link=f"/requests/{pile.first_id}",
        )
    if now.alarms:
        yield Attention(
            code="alarms-open",
            urgency=Urgency.CRITICAL,
            sentence=f"{_are(now.alarms, 'alarm')} open",
            count=now.alarms,
            link="/alarms",
        )
    if pile := _some(now.quarantined):
        yield Attention(
            code="grants-quarantined",
            urgency=Urgency.CRITICAL,
            sentence=f"{_are(pile.count, 'login')} in quarantine: something on the target holds"
            f" {'it' if pile.count == 1 else 'them'}",
            count=pile.count,
            link=f"/requests/{pile.first_id}",
        )


def _of_the_service(now: Situation) -> Iterator[Attention]:
    if now.unreachable:
        verb = "does" if len(now.unreachable) == 1 else "do"
        yield Attention(
            code="targets-unreachable",
            urgency=Urgency.CRITICAL,
            sentence=f"{_named(now.unreachable)} {verb} not answer",
            count=len(now.unreachable),
            link="/targets",
        )
    if now.refusing_workers:
        workers = "worker lets" if now.refusing_workers == 1 else "workers let"
        yield Attention(
            code="spools-refusing",
            urgency=Urgency.CRITICAL,
            sentence=f"{now.refusing_workers} {workers} nobody in: nothing can be recorded",
            count=now.refusing_workers,
            link="/targets",
        )
    elif now.fullest_spool >= _NEARLY_FULL:
        yield Attention(
            code="spool-nearly-full",
            urgency=Urgency.WARNING,
            sentence=f"a spool is {now.fullest_spool:.0%} full: once it is, nobody gets in",
            count=1,
            link="/targets",
        )
    if now.unusable_roles:
        yield Attention(
            code="roles-unusable",
            urgency=Urgency.WARNING,
            sentence=f"{_named(now.unusable_roles)} cannot be given as the target is now",
            count=len(now.unusable_roles),
            link="/targets",
        )
    if pile := _some(now.bans):
        who = "address or user name is" if pile.count == 1 else "addresses and user names are"
        yield Attention(
            code="bans",
            urgency=Urgency.INFO,
            sentence=f"{pile.count} {who} shut out by wrong secrets",
            count=pile.count,
            link="/alarms#bans",
        )


def _some(pile: Pile) -> Pile | None:
    return pile if pile.count else None


def _are(count: int, what: str, whose: str = "") -> str:
    return f"{count:,} {what}{whose} is" if count == 1 else f"{count:,} {what}s{whose} are"


def _lapsing(pile: Pile, now: datetime) -> str:
    if not pile.press:
        return ""
    if pile.count == 1:
        return f", and lapses {_left(pile, now)}"
    return f": {pile.press} {'lapses' if pile.press == 1 else 'lapse'} within the hour"


def _left(pile: Pile, now: datetime) -> str:
    left = (pile.first_at or now) - now
    if left <= timedelta(minutes=1):
        return "in less than a minute"
    minutes = timedelta(minutes=left // timedelta(minutes=1))
    return f"{'' if pile.count == 1 else 'the first '}in {format_duration(minutes)}"


def _named(names: Sequence[str]) -> str:
    shown, more = names[:_NAMED], len(names) - _NAMED
    if more > 0:
        return f"{', '.join(shown)} and {more} more"
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]
