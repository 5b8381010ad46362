"""Calls that may be made again without being done twice: what a key is, and what a second call with
it gets.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from broker.domain.errors import AnswerNotKept, KeyInUse, KeyMalformed, KeyReused, OutcomeUnknown

KEPT_FOR = timedelta(hours=24)
# Nobody works on a call for longer: whoever did has died.
LONGEST_CALL = timedelta(minutes=5)

_KEY = re.compile(r"[ -~]{1,255}")
# A string as structured fields have it (RFC 9651, 3.3.3). The draft wants one; most clients send
# what would stand in it.
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')


@dataclass(frozen=True, slots=True)
class Call:
    """What somebody wants done once. The key is theirs alone, whatever others call their own."""

    person_id: str
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call was answered; without a body it was one that nobody may keep."""

    status: int
    content_type: str
    body: str | None


@dataclass(frozen=True, slots=True)
class Earlier:
    """The first call with a key. Over without an answer means that nobody knows what it did."""

    fingerprint: bytes
    began_at: datetime
    is_over: bool
    answer: Answer | None


def read_key(header: str) -> str:
    """Return the key in an Idempotency-Key header. Raises KeyMalformed."""
    quoted = _QUOTED.fullmatch(header)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else header
    if not _KEY.fullmatch(key):
        raise KeyMalformed
    return key


def fingerprint(method: str, path: str, body: bytes) -> bytes:
    """Return what tells this call from others; `path` has its query."""
    return sha256(f"{method} {path}\n".encode(errors="surrogatepass") + body).digest()


def answer_again(earlier: Earlier, call: Call, now: datetime) -> Answer:
    """Return what the first call with the key was answered.

    Raises KeyReused, KeyInUse, OutcomeUnknown or AnswerNotKept.
    """
    if earlier.fingerprint != call.fingerprint:
        raise KeyReused
    if earlier.answer is None and not earlier.is_over and now - earlier.began_at < LONGEST_CALL:
        raise KeyInUse
    if earlier.answer is None:
        raise OutcomeUnknown
    if earlier.answer.body is None:
        raise AnswerNotKept
    return earlier.answer
