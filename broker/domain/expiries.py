"""How long approvers are offered to give something: a few usual times, and all that is wanted."""

from datetime import timedelta

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_USUAL = (
    timedelta(minutes=15),
    timedelta(minutes=30),
    *(hours * _HOUR for hours in (1, 2, 4, 8, 12)),
    *(days * _DAY for days in (1, 2, 3, 7, 14, 30)),
)
_MOST_BELOW = 3


def longest_of(asked: timedelta, limit: timedelta) -> timedelta:
    """Return the most that can be given of what was asked for; a policy without a `limit` of its
    own has none at all."""
    return min(asked, limit) if limit else asked


def expiries(longest: timedelta) -> tuple[timedelta, ...]:
    """Return the times to choose from, the shortest first and `longest` last; none if that is
    nothing."""
    if not longest:
        return ()
    below = [each for each in _USUAL if each < longest]
    return (*below[-_MOST_BELOW:], longest)
