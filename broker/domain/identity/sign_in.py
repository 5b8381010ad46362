"""A sign-in: one browser of one person, for as long as the operator lets it be."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

_SEEN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Pass:
    """What the browser shows. The ledger knows the secret part by its digest."""

    sign_in_id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """Either `provider` vouched for the person or a token of theirs did, with which it ends.

    `seen_at` is the last use that was written down, so the real one may be a little later.
    """

    id: str
    person_id: str
    provider: str | None
    token_id: str | None
    created_at: datetime
    expires_at: datetime
    seen_at: datetime
    ended_at: datetime | None = None


def why_over(sign_in: SignIn, now: datetime, idle: timedelta) -> str | None:
    """Return why nobody is signed in by this any more, or None while somebody is."""
    if sign_in.ended_at is not None:
        return "you have signed out"
    if sign_in.expires_at <= now:
        return "your sign-in has ended: it was as long as it may be"
    if sign_in.seen_at + idle <= now:
        return "your sign-in has ended: it was idle for too long"
    return None


def is_to_be_seen(sign_in: SignIn, now: datetime, idle: timedelta) -> bool:
    """Whether this use is to be written down: not every one, but often enough for `idle`."""
    return now - sign_in.seen_at >= min(_SEEN_EVERY, idle / 10)
