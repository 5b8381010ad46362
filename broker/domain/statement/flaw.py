"""What is wrong with a record, by name."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


class RowName(NamedTuple):
    """What a row is called: a statement or an outcome by session and number, an event by number."""

    kind: str
    session: str | None
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """Something that is wrong with a record. `place` is a row's position in its block, from 0."""

    what: str
    number: int | None = None
    place: int | None = None
    row: RowName | None = None
    why: str

    def to_json(self) -> dict[str, Any]:
        facts = asdict(self)
        row = facts.pop("row")
        return {**facts, "row": None if row is None else row._asdict()}

    def __str__(self) -> str:
        where = "" if self.number is None else f" {self.number}"
        row = "" if self.place is None else f", row {self.place + 1}"
        name = "" if self.row is None else f" ({named(self.row)})"
        return f"{self.what}{where}{row}{name}: {self.why}"


def named(row: RowName) -> str:
    if row.session is None:
        return f"{row.kind} {row.seq}"
    article = "outcome of " if row.kind == "outcome" else ""
    return f"session {row.session}, {article}statement {row.seq}"
