"""How much a grant's sessions may be sent, how much they were, and what is left."""

from dataclasses import dataclass, replace

from broker.domain.errors import BrokerError, BudgetTooLarge, NoSuchBudget
from broker.domain.size import format_size, rough_size
from broker.domain.statement.conditions import Conditions


@dataclass(frozen=True, slots=True)
class Used:
    """What all sessions of a grant together were sent so far: rows, and bytes of the messages that
    carried them."""

    rows: int = 0
    bytes: int = 0


NOTHING = Used()


def spent(conditions: Conditions, used: Used) -> str | None:
    """Say which budget is used up, and how large it was; None while something is left.

    Its grant stays active, but is let in no more until it is extended.
    """
    if conditions.max_rows is not None and used.rows >= conditions.max_rows:
        return f"{used.rows:,} of {conditions.max_rows:,} rows were returned"
    if conditions.max_bytes is not None and used.bytes >= conditions.max_bytes:
        return f"{rough_size(used.bytes)} of {format_size(conditions.max_bytes)} were returned"
    return None


def exceeded(conditions: Conditions, wanted: Used) -> str | None:
    """Say which budget this would be more than, by what it has; None if it is not."""
    if conditions.max_rows is not None and wanted.rows > conditions.max_rows:
        return f"{conditions.max_rows:,} rows"
    if conditions.max_bytes is not None and wanted.bytes > conditions.max_bytes:
        return format_size(conditions.max_bytes)
    return None


def share(conditions: Conditions, used: Used) -> float:
    """Return how much of the budget that is nearest to its end is used: 1.0 is all of it, more is
    what was on the way when it ended; 0.0 without a budget."""
    shares = (
        _share(used.rows, conditions.max_rows),
        _share(used.bytes, conditions.max_bytes),
    )
    return max(shares)


def left(most: int | None, used: int) -> int | None:
    """Return how much of one budget is left; None without one."""
    return None if most is None else max(most - used, 0)


def why_not_more(
    policy: str, now: Conditions, was: Conditions, used: Used, more: Used
) -> BrokerError | None:
    """Return why a grant cannot have so much more, under what its policy says now; or None."""
    for what, at_once, had, gone, wanted, say in (
        ("rows", now.max_rows, was.max_rows, used.rows, more.rows, "{:,} more rows".format),
        ("bytes", now.max_bytes, was.max_bytes, used.bytes, more.bytes, _bytes_more),
    ):
        if wanted and had is None:
            return NoSuchBudget(what)
        rest = left(had, gone)
        if wanted and at_once is not None and rest is not None and rest + wanted > at_once:
            return BudgetTooLarge(say(wanted), policy, max(at_once - rest, 0), what)
    return None


def extended(now: Conditions, was: Conditions, used: Used, more: Used) -> Conditions:
    """Return the conditions of a grant that is extended, under what its policy says `now`: they
    hold instead of what it `was` held to. Its budgets only grow by `more`, and never is more left
    of one than the policy gives at once."""
    return replace(
        now,
        max_rows=_most(now.max_rows, was.max_rows, used.rows, more.rows),
        max_bytes=_most(now.max_bytes, was.max_bytes, used.bytes, more.bytes),
    )


def _most(at_once: int | None, was: int | None, used: int, more: int) -> int | None:
    if at_once is None:
        return None
    return used + min(at_once, at_once if was is None else max(was - used, 0) + more)


def _bytes_more(wanted: int) -> str:
    return f"{format_size(wanted)} more"


def _share(used: int, most: int | None) -> float:
    return 0.0 if most is None else used / most
