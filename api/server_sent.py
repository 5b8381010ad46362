"""Server-sent events, both sides: events to text, and bytes to events.

https://html.spec.whatwg.org/multipage/server-sent-events.html, as of 9.2.5 and 9.2.6
"""

import codecs
import re
from dataclasses import dataclass

MEDIA_TYPE = "text/event-stream"
LAST_EVENT_ID = "Last-Event-ID"

_LINE_END = re.compile("\r\n|\n|\r")
_DIGITS = re.compile("[0-9]{1,9}")
_LONGEST = 1_000_000  # characters, of a line and of an event's data


@dataclass(frozen=True, slots=True)
class SentEvent:
    """An event as whoever listens gets it. `id` is the last one known by then, or empty."""

    event: str
    data: str
    id: str


class Malformed(ValueError):
    """What comes is longer than any event of ours."""


def frame(event: str, data: str, id_: str | None = None) -> str:
    """Return the text of an event. Nothing given may have a line break in it."""
    id_line = "" if id_ is None else f"id: {id_}\n"
    return f"{id_line}event: {event}\ndata: {data}\n\n"


def sign_of_life(id_: str) -> str:
    """Return what tells nobody anything but from where to go on."""
    return f":\nid: {id_}\n\n"


def retry_after(milliseconds: int) -> str:
    """Return what says how long to wait before coming back."""
    return f"retry: {milliseconds}\n\n"


class EventParser:
    """Bytes in, events out. What is not ended by a blank line was cut off, and is no event."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_ms: int | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._pending = ""
        self._has_begun = False
        self._event = ""
        self._data: list[str] = []
        self._size = 0  # of the data, with its line breaks
        self._id = ""

    def feed(self, piece: bytes) -> list[SentEvent]:
        """Return the events that are whole now. Raises Malformed."""
        text = self._pending + self._decoder.decode(piece)
        if text and not self._has_begun:
            self._has_begun = True
            text = text.removeprefix("\ufeff")
        held_back = "\r" if text.endswith("\r") else ""  # a "\n" that belongs to it may follow
        *lines, rest = _LINE_END.split(text.removesuffix(held_back) if held_back else text)
        self._pending = rest + held_back
        found = [self._take(line) for line in lines]
        if max(len(self._pending), self._size) > _LONGEST:
            raise Malformed("an event is too long")
        return [each for each in found if each is not None]

    def _take(self, line: str) -> SentEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")  # a comment has no name
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._event = value
            case "data":
                self._data.append(value)
                self._size += len(value) + 1
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if _DIGITS.fullmatch(value):
                self.retry_ms = int(value)
            case _:
                pass
        return None

    def _dispatch(self) -> SentEvent | None:
        event, data = self._event or "message", "\n".join(self._data)
        has_data = bool(self._data)
        self.last_id = self._id
        self._event, self._data, self._size = "", [], 0
        return SentEvent(event, data, self.last_id) if has_data else None
