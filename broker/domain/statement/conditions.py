"""What a grant's sessions are held to, as the policy said that gave it: what is recorded of their
statements, how much they may read, and what is refused or held."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from broker.domain.duration import format_duration
from broker.domain.size import format_size


class Recorded(StrEnum):
    """What is kept of the parameters of statements."""

    OFF = "off"
    TYPES = "types"
    VALUES = "values"


class StatementKind(StrEnum):
    """Kinds of statements that a policy may refuse. A statement may be of several."""

    WRITE = "write"  # INSERT, UPDATE, DELETE, MERGE, COPY FROM, TRUNCATE, SELECT INTO, REFRESH
    DELETE = "delete"  # DELETE, TRUNCATE, MERGE that deletes
    UNBOUNDED_WRITE = "unbounded_write"  # UPDATE or DELETE without WHERE; TRUNCATE
    DDL = "ddl"  # CREATE, ALTER, DROP and their like, of anything but roles
    ROLE = "role"  # of roles, their memberships, and privileges
    PASSWORD = "password"  # noqa: S105  (a kind: statements that set one)
    COPY = "copy"  # COPY in either direction
    PROGRAM = "program"  # COPY … PROGRAM, and server-side files; LOAD
    PROCEDURE = "procedure"  # CALL and DO
    LOCK = "lock"  # LOCK TABLE
    MAINTENANCE = "maintenance"  # VACUUM, ANALYZE, CLUSTER, REINDEX, CHECKPOINT, REFRESH
    SETTING = "setting"  # SET, RESET, DISCARD ALL, ALTER SYSTEM; not SET TRANSACTION
    LISTEN = "listen"  # LISTEN, NOTIFY, UNLISTEN
    PREPARED_TRANSACTION = "prepared_transaction"  # PREPARE TRANSACTION and what ends one


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitGate:
    """A transaction that changed more than `rows` is held at COMMIT for at most `within`, until the
    person confirms it, or somebody who may approve the grant if `by_approver`."""

    rows: int
    within: timedelta
    by_approver: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """`max_rows` and `max_bytes` are what all sessions of the grant together may be sent; None is
    no limit."""

    parameters: Recorded = Recorded.OFF
    max_rows: int | None = None
    max_bytes: int | None = None
    commit_gate: CommitGate | None = None
    refused: frozenset[StatementKind] = frozenset()

    @property
    def watches_statements(self) -> bool:
        """Whether statements have to be parsed before they are passed on."""
        return bool(self.refused) or self.commit_gate is not None

    @property
    def bind(self) -> bool:
        """Whether anything is refused, held or bounded, which takes a proxy in between."""
        return self.watches_statements or self.max_rows is not None or self.max_bytes is not None

    def to_json(self) -> dict[str, Any]:
        """Return what `conditions_from` reads."""
        gate = self.commit_gate
        return {
            "parameters": self.parameters.value,
            "max_rows": self.max_rows,
            "max_bytes": self.max_bytes,
            "commit_gate": None
            if gate is None
            else {
                "rows": gate.rows,
                "within_s": gate.within.total_seconds(),
                "by_approver": gate.by_approver,
            },
            "refused": sorted(self.refused),
        }


NO_CONDITIONS = Conditions()


def conditions_from(facts: dict[str, Any]) -> Conditions:
    """Return what `to_json` said."""
    gate = facts["commit_gate"]
    return Conditions(
        parameters=Recorded(facts["parameters"]),
        max_rows=facts["max_rows"],
        max_bytes=facts["max_bytes"],
        commit_gate=None
        if gate is None
        else CommitGate(
            rows=gate["rows"],
            within=timedelta(seconds=gate["within_s"]),
            by_approver=gate["by_approver"],
        ),
        refused=frozenset(StatementKind(each) for each in facts["refused"]),
    )


_RECORDED = {
    Recorded.TYPES: "of the parameters of statements the types are recorded",
    Recorded.VALUES: "the parameters of statements are recorded with their values",
}
_REFUSED = {
    StatementKind.WRITE: "statements that change rows",
    StatementKind.DELETE: "DELETE and TRUNCATE",
    StatementKind.UNBOUNDED_WRITE: "UPDATE and DELETE without WHERE, and TRUNCATE",
    StatementKind.DDL: "statements that change the schema",
    StatementKind.ROLE: "statements that change roles and privileges",
    StatementKind.PASSWORD: "statements that set a password",
    StatementKind.COPY: "COPY",
    StatementKind.PROGRAM: "COPY with programs and files of the server",
    StatementKind.PROCEDURE: "CALL and DO",
    StatementKind.LOCK: "LOCK TABLE",
    StatementKind.MAINTENANCE: "VACUUM, ANALYZE, CLUSTER, REINDEX and CHECKPOINT",
    StatementKind.SETTING: "SET, RESET and ALTER SYSTEM",
    StatementKind.LISTEN: "LISTEN, NOTIFY and UNLISTEN",
    StatementKind.PREPARED_TRANSACTION: "prepared transactions",
}


def describe(conditions: Conditions) -> tuple[str, ...]:
    """Return the conditions as sentences for people; none if there are none."""
    return tuple(_sentences(conditions))


def what_is_refused(kind: StatementKind) -> str:
    """Name statements of this kind, to who sent one."""
    return _REFUSED[kind]


def _sentences(conditions: Conditions) -> Iterator[str]:
    for kind in StatementKind:
        if kind in conditions.refused:
            yield f"refused: {_REFUSED[kind]}"
    if conditions.max_rows is not None:
        yield f"at most {conditions.max_rows:,} rows are returned"
    if conditions.max_bytes is not None:
        yield f"at most {format_size(conditions.max_bytes)} are returned"
    gate = conditions.commit_gate
    if gate is not None:
        whom = "an approver other than its holder" if gate.by_approver else "the grant's holder"
        yield (
            f"a transaction that changed more than {gate.rows:,} rows is held at COMMIT for "
            f"at most {format_duration(gate.within)}, until {whom} confirms it"
        )
    if conditions.parameters is not Recorded.OFF:
        yield _RECORDED[conditions.parameters]
