"""Who is on call, as decisions see it, and what they are told when they are paged."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from broker.domain.duration import format_duration

_LONGEST = 500  # characters: a page is read on a telephone; PagerDuty takes 1024


@dataclass(frozen=True, slots=True, eq=False)
class OnCallNow(Mapping[str, frozenset[str]]):
    """Who is on call in each schedule that was asked about, by e-mail address in lower case.

    `silent` says of some why nobody could be asked; nobody counts as on call there.
    """

    people: Mapping[str, frozenset[str]]
    silent: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, schedule: str) -> frozenset[str]:
        return self.people[schedule]

    def __iter__(self) -> Iterator[str]:
        return iter(self.people)

    def __len__(self) -> int:
        return len(self.people)


NOBODY_ON_CALL = OnCallNow({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the people on call are told about a request that waits for them.

    Whoever asked wrote the reason and the database: each stays on one line.
    """

    request_id: str
    person: str
    requester: str
    target: str
    database: str
    role: str
    duration: timedelta | None
    reason: str
    link: str | None

    def key(self, schedule: str) -> str:
        """Return what makes a second page about the same request the same page."""
        return f"pgcurfew {self.request_id} {schedule}"

    @property
    def title(self) -> str:
        return _line(f"{self.person} waits for {self.role} on {self.target}, {self.database}")

    @property
    def details(self) -> dict[str, str]:
        """Return what else there is to say, by its name."""
        found = {
            "request": self.request_id,
            "asked by": self.requester if self.requester != self.person else "",
            "for": format_duration(self.duration) if self.duration is not None else "",
            "reason": _line(self.reason),
            "approve or deny": self.link or f"pgcurfew show {self.request_id}",
        }
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Paged:
    """Somebody was paged, or had been for the same request."""

    how: str


@dataclass(frozen=True, slots=True)
class NotPaged:
    """There is no pager behind the schedule. Trying again would change nothing."""

    why: str


def _line(text: str) -> str:
    line = "".join(each for each in " ".join(text.split()) if each.isprintable())
    return f"{line[:_LONGEST]}…" if len(line) > _LONGEST else line
