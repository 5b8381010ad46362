"""How pages say times, durations, sizes and numbers. All times are UTC, as in the record."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from broker.domain import events
from broker.domain.duration import format_duration, iso_duration
from broker.domain.size import format_size, rough_size
from broker.domain.statement.conditions import describe
from broker.domain.timeline import FOUND

_SPACES = re.compile(r"(\s+)")
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def moment(at: datetime) -> str:
    """Return a time to the minute, as one would write it into a report."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def moment_to_second(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def by_when(at: datetime, now: datetime) -> str:
    """Return a time that is mostly today: then the day goes without saying."""
    utc = at.astimezone(UTC)
    is_today = utc.date() == now.astimezone(UTC).date()
    return utc.strftime("%H:%M UTC") if is_today else moment(at)


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


def in_words(data: Mapping[str, Any]) -> str:
    """Return names and values in a line, without those that say nothing."""
    return "; ".join(
        f"{name.replace('_', ' ')}: {_plain(value)}"
        for name, value in data.items()
        if value not in (None, "", [], False)
    )


def quoted(text: str) -> str:
    """Return text as one part of a path."""
    return quote(text, safe="")


def as_choice(word: str) -> tuple[str, str]:
    """Return an option that is sent as it is shown."""
    return word, word


def number(value: int) -> str:
    return f"{value:,}"


def sentence(text: str) -> str:
    """Return what the rest of us says in one line, as a sentence; names stay as they are."""
    stripped = text.rstrip(".")
    ending = "" if stripped.endswith(("?", "!", ":", "…")) else "."
    first = stripped.split(maxsplit=1)[0] if stripped else ""
    begins = stripped[:1].upper() if first.rstrip(",:;?").isalpha() else stripped[:1]
    return f"{begins}{stripped[1:]}{ending}"


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


def entry_kind(kind: str) -> str:
    """Return how what happened is marked in a timeline."""
    return _ENTRY_KINDS.get(kind, "")


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_plain(each) for each in value)
    return "yes" if value is True else str(value)


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
_ENTRY_KINDS = {
    **dict.fromkeys((events.RequestApproved.kind, events.GrantEnded.kind), "good"),
    **dict.fromkeys(
        (
            events.RequestEscalated.kind,
            events.RequestLapsed.kind,
            events.BrokenGlass.kind,
            events.CommitHeld.kind,
            FOUND,
        ),
        "warn",
    ),
    **dict.fromkeys(
        (
            events.RequestDenied.kind,
            events.AlarmRaised.kind,
            events.GrantQuarantined.kind,
            events.SessionRefused.kind,
        ),
        "bad",
    ),
}
FILTERS: Mapping[str, Callable[..., Any]] = {
    "moment": moment,
    "moment_to_second": moment_to_second,
    "by_when": by_when,
    "iso_duration": iso_duration,
    "described": describe,
    "entry_kind": entry_kind,
    "machine_time": machine_time,
    "stretch": stretch,
    "since": since,
    "seconds": seconds,
    "took": took,
    "offset": offset,
    "cut": cut,
    "quoted": quoted,
    "as_choice": as_choice,
    "in_words": in_words,
    "number": number,
    "sentence": sentence,
    "breakable": breakable,
    "unbroken": unbroken,
    "state_kind": state_kind,
    "duration": format_duration,
    "size": format_size,
    "rough_size": rough_size,
}
