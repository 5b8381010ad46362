"""docs/lifecycle.md has the same moves as the state machines."""

import re
from pathlib import Path

from broker.domain import grant, request

DOCS = Path(__file__).parents[2] / "docs" / "lifecycle.md"


def rows(heading: str) -> list[tuple[str, str, str]]:
    """Return the rows of the table under a heading: from, to and why."""
    section = DOCS.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"^\| ([^|]*)\| ([^|]*)\| ([^|]*)\|$", section, re.MULTILINE)
    return [(a.strip(), b.strip(), c.strip()) for a, b, c in found if a.strip() != "from"]


def test_who_may_move_a_request_and_where_to() -> None:
    told = {(start, to): set(re.findall(r"`(\w+)`:", why)) for start, to, why in rows("A request")}
    assert told == {
        (start.value, move.to.value): {cause.value for cause in move.by}
        for (start, _event), move in request.TRANSITIONS.items()
    }


def test_where_a_grant_goes() -> None:
    told = {
        (start, to)
        for starts, to, _why in rows("A grant")
        if starts
        for start in starts.split(", ")
    }
    assert told == {(start.value, to.value) for (start, _event), to in grant.TRANSITIONS.items()}
