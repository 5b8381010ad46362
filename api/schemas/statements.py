"""Views of statements on record."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AwareDatetime, Field, TypeAdapter

from api.schemas import View
from api.schemas.operating import AuditEventView
from broker.domain.statement.statement import Ending, LateOutcome, Protocol, Statement

if TYPE_CHECKING:  # as in api.schemas
    from broker.ledger.record import SealedEvent, SealedRow
    from broker.ledger.statements import Told

_LONGEST_TEXT = 20_000  # characters, of a line of a stream


class StatementView(View):
    """A statement of a session, numbered from 1. What begins with `ending` is null while it runs,
    as far as the ledger knows; parameters are null where they are not recorded."""

    session_id: str
    seq: int
    started_at: AwareDatetime
    protocol: Protocol
    text: str
    text_bytes: int
    text_sha256: str | None
    masked: bool
    parameter_types: tuple[int, ...] | None
    parameters: tuple[str | None, ...] | None
    ending: Ending | None
    duration_us: int | None
    rows: int | None
    tag: str | None
    sqlstate: str | None
    bytes_from_client: int | None
    bytes_to_client: int | None

    @classmethod
    def of(cls, statement: Statement) -> "StatementView":
        return cls.model_construct(
            **{name: getattr(statement, name) for name in _OWN},
            **{name: getattr(statement.outcome, name, None) for name in _OF_OUTCOME},
        )


_OF_OUTCOME = (
    *("ending", "duration_us", "rows", "tag", "sqlstate"),
    *("bytes_from_client", "bytes_to_client"),
)
_OWN = tuple(name for name in StatementView.model_fields if name not in _OF_OUTCOME)


class StatementPage(View):
    """`next` is the value of `after` that continues the list, or null at its end."""

    items: tuple[StatementView, ...]
    next: int | None


class FoundStatementView(StatementView):
    """A statement with whose it is; null where the ledger does not know its session (yet)."""

    grant_id: str | None
    person: str | None
    target: str | None
    database: str | None
    role: str | None

    @classmethod
    def of_told(cls, told: "Told") -> "FoundStatementView":
        whose = ("grant_id", "person", "target", "database", "role")
        return cls.model_construct(
            **dict(StatementView.of(told.statement)),
            **{name: getattr(told, name) for name in whose},
        )


class FoundStatementPage(View):
    """The newest first. `next` is the value of `after` that continues the list, or null."""

    items: tuple[FoundStatementView, ...]
    next: str | None


class StatementLine(View):
    """A statement as it came to the ledger. Of a long text the beginning is here, and `left_out`
    is how many characters are not; parameters are not here either. `ending` is null if it still
    ran: then an `outcome` follows."""

    type: Literal["statement"] = "statement"
    grant_id: str | None
    person: str | None
    target: str | None
    session_id: str
    seq: int
    started_at: AwareDatetime
    protocol: Protocol
    text: str
    left_out: int
    masked: bool
    ending: Ending | None
    duration_us: int | None
    rows: int | None
    tag: str | None
    sqlstate: str | None


class OutcomeLine(View):
    """What became of a statement that had been told of while it still ran."""

    type: Literal["outcome"] = "outcome"
    grant_id: str | None
    person: str | None
    target: str | None
    session_id: str
    seq: int
    ending: Ending
    duration_us: int
    rows: int | None
    tag: str | None
    sqlstate: str | None


class EventLine(AuditEventView):
    type: Literal["event"] = "event"


class PositionLine(View):
    """Everything up to here was told of. Who comes back gives `after`; also a sign of life."""

    type: Literal["position"] = "position"
    after: str


class EndLine(View):
    """Nothing more comes. With `again`, who wants more may come back at once."""

    type: Literal["end"] = "end"
    reason: str
    again: bool


StreamLine = StatementLine | OutcomeLine | EventLine | PositionLine | EndLine
STREAM_LINE: TypeAdapter[StreamLine] = TypeAdapter(
    Annotated[StreamLine, Field(discriminator="type")]
)


def line_of(item: "SealedRow | SealedEvent") -> StatementLine | OutcomeLine | EventLine:
    """Return the line of a stream that tells of a row or an event."""
    row = getattr(item, "row", None)
    if row is None:
        return EventLine.model_construct(**dict(AuditEventView.of(item.event)), type="event")  # type: ignore[union-attr]
    whose = {name: getattr(item, name) for name in ("grant_id", "person", "target")}
    outcome = {
        name: getattr(row.outcome, name, None)
        for name in ("ending", "duration_us", "rows", "tag", "sqlstate")
    }
    told = {**whose, **outcome, "session_id": row.session_id, "seq": row.seq}
    if isinstance(row, LateOutcome):
        return OutcomeLine.model_construct(**told, type="outcome")
    return StatementLine.model_construct(
        **told,
        type="statement",
        started_at=row.started_at,
        protocol=row.protocol,
        text=row.text[:_LONGEST_TEXT],
        left_out=max(0, len(row.text) - _LONGEST_TEXT),
        masked=row.masked,
    )
