"""Views of the whole life of a request."""

from typing import TYPE_CHECKING

from pydantic import AwareDatetime

from api.schemas import View

if TYPE_CHECKING:  # as in api.schemas
    from broker.domain.timeline import Entry, Timeline


class TimelineEntryView(View):
    """One thing that happened. `kind` is the event's in the audit trail, or says what was found
    elsewhere; `sentence` says it in plain words, and `detail` has what else is known of it.
    `actor` is an e-mail address, or a part of pgcurfew."""

    at: AwareDatetime
    kind: str
    actor: str
    sentence: str
    detail: dict[str, str | int | bool | tuple[str, ...] | None]
    request_id: str | None
    grant_id: str | None
    session_id: str | None

    @classmethod
    def of(cls, entry: "Entry") -> "TimelineEntryView":
        values = {name: getattr(entry, name) for name in cls.model_fields}
        return cls.model_construct(**{**values, "detail": dict(entry.detail)})


class TimelineView(View):
    """Everything about a request and its grant, the oldest first. Of what there is very much only
    the newest is here: `left_out` says by kind how many are not."""

    items: tuple[TimelineEntryView, ...]
    left_out: dict[str, int]

    @classmethod
    def of(cls, timeline: "Timeline") -> "TimelineView":
        return cls.model_construct(
            items=tuple(TimelineEntryView.of(each) for each in timeline.entries),
            left_out=dict(timeline.left_out),
        )
