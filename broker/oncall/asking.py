"""How vendors are asked, and what both of them tell."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Asking:
    """Whose certificates are trusted, how long one question may take, and the clock."""

    trust: ssl.SSLContext
    deadline: timedelta
    now: Callable[[], datetime]

    @property
    def deadline_s(self) -> float:
        return self.deadline.total_seconds()


@dataclass(frozen=True, slots=True)
class Shift:
    """Somebody is on call. `person` is the vendor's id; `email`, in lower case, is empty where the
    vendor tells none; without `end` there is no end in sight."""

    person: str
    email: str
    end: datetime | None


def normal_email(email: str | None) -> str:
    """Return the address as people are known by it: the vendors keep it as it was typed."""
    return (email or "").strip().lower()
