"""Short, sortable, typed ids: `req_06g3k…`, the same at every door.

An id is its kind, an underscore and 16 characters of lower-case Crockford base32: 48 bits of
milliseconds since 1970, then 32 random bits. Ids of one kind sort by the time they were made.
"""

from datetime import UTC, datetime
from enum import StrEnum

from broker.domain.base32 import encode

RANDOM_BYTES = 4
_ID_CHARS = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class IdKind(StrEnum):
    PERSON = "per"
    TOKEN = "tok"  # noqa: S105  (a prefix, no secret)
    REQUEST = "req"
    DECISION = "dec"
    GRANT = "grt"
    SESSION = "ses"
    WORKER = "wrk"
    ALARM = "alm"
    COMMENT = "cmt"
    ALLOWANCE = "alw"
    SIGN_IN = "sgn"
    TICKET = "tkt"
    HELD_COMMIT = "hld"


def new_id(kind: IdKind, now: datetime, random: bytes) -> str:
    """Return a new id of `kind`. `random` is RANDOM_BYTES from a cryptographic source."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"an id needs {RANDOM_BYTES} random bytes, got {len(random)}")
    milliseconds = int((now - _EPOCH).total_seconds() * 1000)
    return f"{kind}_{bare_id(milliseconds, random)}"


def bare_id(milliseconds: int, random: bytes) -> str:
    return encode((milliseconds << 32) | int.from_bytes(random), _ID_CHARS).lower()


def suffix(typed_id: str) -> str:
    """Return an id without its kind, as login names carry it."""
    return typed_id.split("_", 1)[1]
