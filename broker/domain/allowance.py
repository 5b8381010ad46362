"""What an approver agreed to before it was asked for: a person, a role, a window of time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.domain.person import Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """Each request of `person` that fits, for at most `duration`, has `approver`'s consent between
    `starts_at` and `ends_at`. It lasts as long as the approver may still approve."""

    id: str
    person: Person
    approver: Person
    target: str
    database: str
    role: str
    policy: str
    duration: timedelta
    starts_at: datetime
    ends_at: datetime
    reason: str
    made_at: datetime
    revoked_at: datetime | None = None
    revoked_by: str | None = None
