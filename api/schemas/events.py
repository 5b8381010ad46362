"""Views of what happens, as it happens."""

from typing import TYPE_CHECKING

from pydantic import AwareDatetime, Field, TypeAdapter

from api.schemas import View
from broker.domain.hints.hint import Topic

if TYPE_CHECKING:  # as in api.schemas
    from broker.domain.hints.hint import Hint
    from broker.domain.hints.place import Place


class EventView(View):
    """A hint to look again at what it names, never the thing itself. `topic` is the event's name.

    `hello` comes first, and says that nothing is missed from here on; `reset` says that something
    was, and that everything has to be loaded again. `id` is from where to go on after this.
    """

    id: str | None = Field(description="Null where it cannot be told again.")
    topic: Topic
    kind: str = Field(description="What happened, as the audit trail calls it.")
    at: AwareDatetime
    seq: int | None = Field(description="The number in the audit trail, if it is there.")
    actor: str | None
    request_id: str | None
    grant_id: str | None
    session_id: str | None
    target: str | None

    @classmethod
    def of(cls, place: "Place | None", hint: "Hint") -> "EventView":
        return cls.model_construct(
            id=None if place is None else str(place),
            **{name: getattr(hint, name) for name in cls.model_fields if name != "id"},
        )


EVENT: TypeAdapter[EventView] = TypeAdapter(EventView)
