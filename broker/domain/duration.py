"""Durations as people write them: `90s`, `30m`, `8h`, `2d`, or ISO 8601 (`PT1H30M`, `P1D`).

Months and years have no fixed length and are refused.
"""

import re
from datetime import timedelta

from broker.domain.errors import InvalidDuration

_SHORT = re.compile(r"(?P<count>\d{1,9})(?P<unit>[smhd])", re.ASCII)
_ISO = re.compile(
    r"P(?:(?P<weeks>\d{1,6})W)?(?:(?P<days>\d{1,6})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,6})H)?(?:(?P<minutes>\d{1,7})M)?(?:(?P<seconds>\d{1,9})S)?)?",
    re.ASCII,
)
_LONGEST = timedelta(days=3650)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_duration(text: str) -> timedelta:
    """Return the positive duration that `text` names. Raises InvalidDuration."""
    if short := _SHORT.fullmatch(text):
        duration = timedelta(**{_UNITS[short["unit"]]: int(short["count"])})
    elif (iso := _ISO.fullmatch(text)) and any(iso.groups()):
        duration = timedelta(**{unit: int(count) for unit, count in iso.groupdict("0").items()})
    else:
        raise InvalidDuration(text, "it is not a duration")
    if duration <= timedelta():
        raise InvalidDuration(text, "it must be longer than nothing")
    if duration > _LONGEST:
        raise InvalidDuration(text, "nothing here lasts longer than ten years")
    return duration


def format_duration(duration: timedelta) -> str:
    """Return `duration` the short way, for people: `1h 30m`."""
    seconds = int(duration.total_seconds())
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"


def iso_duration(duration: timedelta) -> str:
    """Return `duration` as ISO 8601, for programs: `PT1H30M`."""
    seconds = int(duration.total_seconds())
    days, seconds = divmod(seconds, 86400)
    hours, seconds = divmod(seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    date = f"{days}D" if days else ""
    parts = ((hours, "H"), (minutes, "M"), (seconds, "S"))
    time = "".join(f"{count}{unit}" for count, unit in parts if count)
    return f"P{date}T{time}" if time else f"P{date or 'T0S'}"
