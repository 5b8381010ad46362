"""How pages say times, durations, sizes and numbers. All times are UTC, as in the record."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from markupsafe import Markup, escape

from broker.domain.duration import format_duration
from broker.domain.size import format_size, rough_size

_SPACES = re.compile(r"(\s+)")
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def moment(at: datetime) -> str:
    """Return a time to the minute, as one would write it into a report."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def clock(at: datetime) -> str:
    """Return the time of day to the second, where the day is clear."""
    return at.astimezone(UTC).strftime("%H:%M:%S")


def machine_time(at: datetime) -> str:
    """Return a time as `<time datetime>` and scripts take it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def stretch(duration: timedelta) -> str:
    """Return about how long something takes, in its two largest units."""
    if duration < _MINUTE:
        return f"{max(0, int(duration.total_seconds()))} s"
    if duration < _HOUR:
        return f"{duration // _MINUTE} min"
    if duration < _DAY:
        return _two(duration // _HOUR, "h", duration % _HOUR // _MINUTE, "min")
    return _two(duration // _DAY, "d", duration % _DAY // _HOUR, "h")


def since(at: datetime, now: datetime) -> str:
    """Return how long ago something was, or in how long it will be."""
    if at > now:
        return f"in {stretch(at - now)}"
    return f"{stretch(now - at)} ago" if now - at >= _MINUTE else "just now"


def seconds(value: float) -> str:
    """Return how long something has gone on for."""
    return stretch(timedelta(seconds=value))


def took(microseconds: int) -> str:
    """Return how long a statement took, to three digits or so."""
    if microseconds < 1000:
        return f"{microseconds} µs"
    if microseconds < 1_000_000:
        return f"{microseconds / 1000:.3g} ms"
    return f"{microseconds / 1_000_000:,.1f} s"


def offset(duration: timedelta) -> str:
    """Return how far into a session something was: minutes, seconds and tenths."""
    minutes, rest = divmod(max(0.0, duration.total_seconds()), 60)
    return f"{int(minutes)}:{rest:04.1f}"


def cut(text: str, length: int) -> str:
    """Return the beginning of text that would take too much room."""
    return text if len(text) <= length else f"{text[:length]}…"


def as_choice(word: str) -> tuple[str, str]:
    """Return an option that is sent as it is shown."""
    return word, word


def number(value: int) -> str:
    return f"{value:,}"


def sentence(text: str) -> str:
    """Return what the rest of us says in one line, as a sentence for a page."""
    stripped = text.rstrip(".")
    ending = "" if stripped.endswith(("?", "!", ":", "…")) else "."
    return f"{stripped[:1].upper()}{stripped[1:]}{ending}"


def breakable(text: object) -> Markup:
    """Return text as HTML; an address that has to be broken is broken where people would."""
    return Markup(str(escape(text)).replace("@", "@<wbr>"))  # noqa: S704  (escaped, just now)


def unbroken(text: str) -> Markup:
    """Return text to be copied as HTML, a word to a span: no line ends between the dashes of an
    option."""
    words = (
        f"<span>{escape(part)}</span>" if part.strip() else part for part in _SPACES.split(text)
    )
    return Markup("".join(words))  # noqa: S704


def state_kind(state: str) -> str:
    """Return which of the badges' looks a state has."""
    return _KINDS.get(state, "")


def _two(large: int, unit: str, small: int, smaller: str) -> str:
    return f"{large} {unit} {small} {smaller}" if small else f"{large} {unit}"


_KINDS = {
    **dict.fromkeys(("approved", "active", "open", "ok", "confirmed", "given", "proved"), "good"),
    **dict.fromkeys(("pending", "waiting", "provisioning", "revoking", "ask", "unchecked"), "warn"),
    **dict.fromkeys(
        ("denied", "quarantined", "unreachable", "lost", "timed out", "rolled back", "critical"),
        "bad",
    ),
}
FILTERS: Mapping[str, Callable[..., Any]] = {
    "moment": moment,
    "clock": clock,
    "machine_time": machine_time,
    "stretch": stretch,
    "since": since,
    "seconds": seconds,
    "took": took,
    "offset": offset,
    "cut": cut,
    "as_choice": as_choice,
    "number": number,
    "sentence": sentence,
    "breakable": breakable,
    "unbroken": unbroken,
    "state_kind": state_kind,
    "duration": format_duration,
    "size": format_size,
    "rough_size": rough_size,
}
