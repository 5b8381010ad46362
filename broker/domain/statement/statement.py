"""One statement of a session, and what became of it.

A row is what the ledger keeps, what exports say, and what blocks are hashed over: all three are
made of `canonical_row`, so that an export can be checked without the ledger.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from json.encoder import JSONEncoder, encode_basestring
from typing import Any, TypeAlias

_ENCODER = JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_WITHOUT_OFFSET = len("2026-03-01T12:00:00.000000")


class Protocol(StrEnum):
    """How a statement came: https://www.postgresql.org/docs/current/protocol-flow.html"""

    SIMPLE = "simple"  # Query
    EXTENDED = "extended"  # Execute, of a portal that was bound before
    PARSE = "parse"  # Parse that the target refused: it never came to an Execute
    FUNCTION_CALL = "function_call"
    CANCEL = "cancel"  # a cancel request for this session; it has no text


class Ending(StrEnum):
    """What became of a statement, as far as the proxy saw it."""

    DONE = "done"
    FAILED = "failed"  # the target said why: `sqlstate`
    SKIPPED = "skipped"  # never run: one before it in the pipeline had failed
    SUSPENDED = "suspended"  # a portal that has more rows; the next Execute goes on
    REFUSED = "refused"  # by us: the target never saw it
    UNKNOWN = "unknown"  # the session ended first


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of a statement. `rows` is what its command tag says, or how many were returned.

    `bytes_from_client` and `bytes_to_client` are the bytes on the wire since it began.
    """

    ending: Ending
    duration_us: int
    rows: int | None
    tag: str | None
    sqlstate: str | None
    bytes_from_client: int
    bytes_to_client: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement, numbered from 1 within its session. `text` is what is kept of it: masked where
    it held secrets, and cut at the end if it was long.

    `text_bytes` is how long it was; `text_sha256` is of the whole, as hexadecimal, if it was cut
    and nothing in it was masked. `parameter_types` are OIDs of types, 0 where the client left it to
    the target; `parameters` are values, None for NULL. Both are None if they are not recorded.
    `outcome` is None while it runs, or if it was written down as a row of its own.
    """

    session_id: str
    seq: int
    started_at: datetime
    protocol: Protocol
    text: str
    text_bytes: int
    text_sha256: str | None = None
    masked: bool = False
    parameter_types: tuple[int, ...] | None = None
    parameters: tuple[str | None, ...] | None = None
    outcome: Outcome | None = None

    @property
    def day(self) -> date:
        """The day, in UTC, under which it is kept."""
        return self.started_at.astimezone(UTC).date()


@dataclass(frozen=True, slots=True, kw_only=True)
class LateOutcome:
    """The outcome of a statement that was written down while it still ran. `day` is the
    statement's."""

    session_id: str
    seq: int
    day: date
    outcome: Outcome


Row: TypeAlias = Statement | LateOutcome


def canonical_row(row: Row) -> str:
    """Return the one text of this row: JSON with sorted keys and no spaces, not ASCII only.

    It says what `row_facts` does. Put together by hand: JSON's own way would cost more than all the
    rest of shipping a statement.
    """
    outcome = row.outcome
    if outcome is None:
        head = '"bytes_from_client":null,"bytes_to_client":null'
        duration, ending = '"duration_us":null', '"ending":null'
        rows, sqlstate, tag = '"rows":null', '"sqlstate":null', '"tag":null'
    else:
        head = (
            f'"bytes_from_client":{outcome.bytes_from_client}'
            f',"bytes_to_client":{outcome.bytes_to_client}'
        )
        duration, ending = f'"duration_us":{outcome.duration_us}', f'"ending":"{outcome.ending}"'
        rows = '"rows":null' if outcome.rows is None else f'"rows":{outcome.rows}'
        sqlstate, tag = f'"sqlstate":{_text(outcome.sqlstate)}', f'"tag":{_text(outcome.tag)}'
    where = f'"seq":{row.seq},"session":{_text(row.session_id)}'
    if isinstance(row, LateOutcome):
        return (
            f'{{{head},"day":"{row.day}",{duration},{ending},"row":"outcome",{rows},{where}'
            f",{sqlstate},{tag}}}"
        )
    return (
        f'{{{head},{duration},{ending},"masked":{"true" if row.masked else "false"}'
        f',"parameter_types":{_json(row.parameter_types)},"parameters":{_json(row.parameters)}'
        f',"protocol":"{row.protocol}","row":"statement",{rows},{where},{sqlstate}'
        f',"started_at":"{timestamp(row.started_at)}",{tag},"text":{_text(row.text)}'
        f',"text_bytes":{row.text_bytes},"text_sha256":{_text(row.text_sha256)}}}'
    )


def row_facts(row: Row) -> dict[str, Any]:
    """Return what the canonical text says, as JSON values. `row` tells the two kinds apart."""
    match row:
        case Statement():
            return {
                "row": "statement",
                "session": row.session_id,
                "seq": row.seq,
                "started_at": timestamp(row.started_at),
                "protocol": row.protocol.value,
                "text": row.text,
                "text_bytes": row.text_bytes,
                "text_sha256": row.text_sha256,
                "masked": row.masked,
                "parameter_types": _listed(row.parameter_types),
                "parameters": _listed(row.parameters),
                **outcome_facts(row.outcome),
            }
        case _:
            return {
                "row": "outcome",
                "session": row.session_id,
                "seq": row.seq,
                "day": row.day.isoformat(),
                **outcome_facts(row.outcome),
            }


def outcome_facts(outcome: Outcome | None) -> dict[str, Any]:
    """Return the keys of an outcome, null where there is none."""
    return {
        "ending": outcome.ending.value if outcome else None,
        "duration_us": outcome.duration_us if outcome else None,
        "rows": outcome.rows if outcome else None,
        "tag": outcome.tag if outcome else None,
        "sqlstate": outcome.sqlstate if outcome else None,
        "bytes_from_client": outcome.bytes_from_client if outcome else None,
        "bytes_to_client": outcome.bytes_to_client if outcome else None,
    }


def timestamp(moment: datetime) -> str:
    """Return RFC 3339 in UTC, always with microseconds: one text for one moment."""
    return f"{moment.astimezone(UTC).isoformat(timespec='microseconds')[:_WITHOUT_OFFSET]}Z"


def _text(text: str | None) -> str:
    return "null" if text is None else encode_basestring(text)


def _json(values: tuple[Any, ...] | None) -> str:
    return "null" if values is None else _ENCODER.encode(values)


def _listed(values: tuple[Any, ...] | None) -> list[Any] | None:
    return None if values is None else list(values)
