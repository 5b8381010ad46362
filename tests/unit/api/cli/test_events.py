"""What happens, as a line for a terminal."""

from datetime import UTC, datetime

from api.cli.events import line_of
from api.schemas.events import EventView
from broker.domain.hints.hint import Hint, Topic
from broker.domain.hints.place import Place

AT = datetime(2026, 3, 1, 12, 30, 5, tzinfo=UTC)


def view(hint: Hint) -> EventView:
    return EventView.of(Place(), hint)


def test_a_line_says_when_what_about_which_and_who() -> None:
    made = Hint(
        topic=Topic.GRANT,
        kind="grant.ended",
        at=AT,
        actor="dev@example.com\x1b[2J",
        request_id="req_1",
        grant_id="grt_1",
        target="orders",
    )
    line = "12:30:05 grant.ended grt_1 on orders by dev@example.com\\x1b[2J"
    assert line_of(view(made)) == line
    changed = Hint(topic=Topic.TARGET, kind="target.changed", at=AT)
    assert line_of(view(changed)) == "12:30:05 target.changed"


def test_that_something_was_missed_is_said() -> None:
    assert "was missed" in line_of(view(Hint(topic=Topic.RESET, kind="stream.reset", at=AT)))
