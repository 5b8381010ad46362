"""Parameters that a login starts its sessions with (ALTER ROLE … SET).

They are defaults: a session may SET them to something else. What must hold is held by privileges,
the connection limit and the proxy.
"""

import re
from dataclasses import dataclass
from datetime import timedelta

from broker.domain.duration import format_duration
from broker.domain.sqltext import ident, literal


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter and its value; a tuple for those that are lists of names, as search_path is."""

    name: str
    value: str | tuple[str, ...]

    @property
    def text(self) -> str:
        """The value as it stands after `SET name =`.

        A list must be written as one: a single literal would be one name with commas in it.
        """
        if isinstance(self.value, str):
            return literal(self.value).strip()
        return ", ".join(ident(each) for each in self.value)

    @property
    def words(self) -> str:
        """The value for people, times as policies write them."""
        if not isinstance(self.value, str):
            return ", ".join(self.value)
        if whole_seconds := re.fullmatch(r"(\d{1,12})000ms", self.value, re.ASCII):
            return format_duration(timedelta(seconds=int(whole_seconds[1])))
        return self.value


def milliseconds(name: str, duration: timedelta) -> Parameter:
    """Return a time-out as PostgreSQL reads it."""
    return Parameter(name, f"{duration // timedelta(milliseconds=1)}ms")
