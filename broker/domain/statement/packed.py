"""Conditions in few bytes, for sealed tickets: all that a proxy has when all else is down."""

from datetime import timedelta
from struct import Struct

from broker.domain.statement.conditions import CommitGate, Conditions, Recorded, StatementKind

# Recorded, gate, refused kinds; the most rows and bytes, the gate's rows and its seconds.
_PACKED = Struct(">BBIQQQI")
SIZE = _PACKED.size
_RECORDED = (Recorded.OFF, Recorded.TYPES, Recorded.VALUES)
# Their places are part of the format: new ones come at the end.
_KINDS = (
    StatementKind.WRITE,
    StatementKind.DELETE,
    StatementKind.UNBOUNDED_WRITE,
    StatementKind.DDL,
    StatementKind.ROLE,
    StatementKind.PASSWORD,
    StatementKind.COPY,
    StatementKind.PROGRAM,
    StatementKind.PROCEDURE,
    StatementKind.LOCK,
    StatementKind.MAINTENANCE,
    StatementKind.SETTING,
    StatementKind.LISTEN,
    StatementKind.PREPARED_TRANSACTION,
)
_NO_GATE, _BY_PERSON, _BY_APPROVER = range(3)
_NO_LIMIT = 2**64 - 1


def pack(conditions: Conditions) -> bytes:
    gate = conditions.commit_gate
    return _PACKED.pack(
        _RECORDED.index(conditions.parameters),
        _NO_GATE if gate is None else _BY_APPROVER if gate.by_approver else _BY_PERSON,
        sum(1 << place for place, kind in enumerate(_KINDS) if kind in conditions.refused),
        _NO_LIMIT if conditions.max_rows is None else conditions.max_rows,
        _NO_LIMIT if conditions.max_bytes is None else conditions.max_bytes,
        0 if gate is None else gate.rows,
        0 if gate is None else int(gate.within.total_seconds()),
    )


def unpack(data: bytes) -> Conditions:
    """Return what was packed. Raises ValueError for what this version cannot know the meaning of:
    what is refused there would be let through here."""
    if len(data) != SIZE:
        raise ValueError("its conditions are cut short")
    recorded, gate, refused, max_rows, max_bytes, rows, seconds = _PACKED.unpack(data)
    if recorded >= len(_RECORDED) or gate > _BY_APPROVER or refused >> len(_KINDS):
        raise ValueError(f"conditions {recorded}, {gate}, {refused:#x}")
    return Conditions(
        parameters=_RECORDED[recorded],
        max_rows=None if max_rows == _NO_LIMIT else max_rows,
        max_bytes=None if max_bytes == _NO_LIMIT else max_bytes,
        commit_gate=None
        if gate == _NO_GATE
        else CommitGate(
            rows=rows, within=timedelta(seconds=seconds), by_approver=gate == _BY_APPROVER
        ),
        refused=frozenset(kind for place, kind in enumerate(_KINDS) if refused >> place & 1),
    )
