"""Sizes as people write them: `512kB`, `16MB`, `1GB`. The units are PostgreSQL's own: 1kB has 1024
bytes."""

import re

from broker.domain.errors import InvalidSize

_UNITS = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_WRITTEN = re.compile(r"([0-9]{1,15}) ?([kMGT]?B)", re.ASCII)


def parse_size(text: str) -> int:
    """Return the bytes that `text` names. Raises InvalidSize."""
    written = _WRITTEN.fullmatch(text)
    if written is None:
        raise InvalidSize
    return int(written[1]) * _UNITS[written[2]]


def rough_size(size: int) -> str:
    """Return about how much a number of bytes is: `1.4GB`."""
    unit = next(each for each in reversed(_UNITS) if size >= _UNITS[each] or each == "B")
    return f"{size}B" if unit == "B" else f"{size / _UNITS[unit]:.1f}{unit}"


def format_size(size: int) -> str:
    """Return a number of bytes in the largest unit of which it is a whole number."""
    unit = next(each for each in reversed(_UNITS) if size % _UNITS[each] == 0 or each == "B")
    return f"{size // _UNITS[unit]:,}{unit}" if size else "0B"
