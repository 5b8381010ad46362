"""A hint that something has happened: a reason to look at it, never the thing itself.

So a hint has no words of anybody's in it, and whoever loses one loses nothing that looking again
would not show.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Topic(StrEnum):
    """What to look at again. Members are for ever: pages and programs name them."""

    REQUEST = "request"
    GRANT = "grant"
    SESSION = "session"
    STATEMENTS = "statements"
    COMMIT = "commit"
    ALLOWANCE = "allowance"
    ALARM = "alarm"
    POLICY = "policy"
    TARGET = "target"
    BAN = "ban"
    IDENTITY = "identity"  # who has proved to be whom: sign-ins, tokens, what providers say
    RECORD = "record"  # who looked at the record, and what became of it
    OTHER = "other"  # what a newer pgcurfew beside us writes down
    # Of the stream itself.
    HELLO = "hello"  # from here on nothing is missed
    RESET = "reset"  # something was missed: load everything again


# By what an event's kind begins with.
_TOPICS = {
    "request": Topic.REQUEST,
    "grant": Topic.GRANT,
    "ticket": Topic.GRANT,
    "session": Topic.SESSION,
    "commit": Topic.COMMIT,
    "allowance": Topic.ALLOWANCE,
    "alarm": Topic.ALARM,
    "policies": Topic.POLICY,
    "settings": Topic.POLICY,
    "admin": Topic.TARGET,
    "login": Topic.TARGET,
    "ban": Topic.BAN,
    "identity": Topic.IDENTITY,
    "person": Topic.IDENTITY,
    "sign_in": Topic.IDENTITY,
    "token": Topic.IDENTITY,
    "record": Topic.RECORD,
    "statements": Topic.RECORD,  # that somebody read them, or that a day of them is gone
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """`seq` is the event's number in the audit trail, if it is one. Ids name what it is about."""

    topic: Topic
    kind: str
    at: datetime
    seq: int | None = None
    actor: str | None = None
    request_id: str | None = None
    grant_id: str | None = None
    session_id: str | None = None
    target: str | None = None


def topic_of(kind: str) -> Topic:
    """Return what an event of the audit trail is about."""
    return _TOPICS.get(kind.partition(".")[0], Topic.OTHER)
