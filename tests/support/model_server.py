"""What a PostgreSQL does with the messages of a client, as far as the record has to know: a model,
to be told what hostile clients say. It remembers what it has run.

A text that begins with `bad` cannot be prepared, one with `fail` not be run; `copy` takes data, of
which `wrong` is refused, and `copy raises` fails before it has read any. `begin`, `commit` and
`rollback` do what they say.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from proxy.wire.framing import Frame, Frames
from tests.support import messages as m

_LONGEST_NAME = 63


@dataclass(frozen=True, slots=True)
class Ran:
    text: str
    well: bool


class ModelServer:
    """`take` what the client says; `give` is what has been flushed."""

    def __init__(self) -> None:
        self.ran: list[Ran] = []
        self.is_dead = False
        self._frames = Frames(1 << 20)
        self._statements: dict[bytes, str] = {}
        self._portals: dict[bytes, str] = {}
        self._status = b"I"
        self._skips = False
        self._copying: str | None = None
        self._copies_simply = False
        self._buffered = b""
        self._flushed = b""

    def take(self, data: bytes) -> None:
        self._frames.feed(data)
        while not self.is_dead and (frame := self._frames.next_frame()) is not None:
            self._receive(frame)

    def give(self) -> bytes:
        flushed, self._flushed = self._flushed, b""
        return flushed

    def _receive(self, frame: Frame) -> None:
        if self._copying is not None:
            self._receive_copy(frame)
        elif frame.kind == b"S":
            self._skips = False
            self._be_ready()
        elif frame.kind in (b"d", b"c", b"f") or self._skips:
            pass
        elif frame.kind == b"H":
            self._flush()
        elif frame.kind == b"Q":
            self._statements.pop(b"", None)
            self._portals.pop(b"", None)
            text = frame.body[:-1].decode()
            if text.startswith("bad"):
                self._fail(simply=True)
            else:
                self._run(text, simply=True)
        else:
            self._extended(frame)

    def _extended(self, frame: Frame) -> None:
        name, _, rest = frame.body.partition(b"\0")
        match frame.kind:
            case b"P":
                name = name[:_LONGEST_NAME]
                text = rest.partition(b"\0")[0].decode()
                if not name:
                    self._statements.pop(name, None)
                if text.startswith("bad") or name in self._statements:
                    self._fail()
                else:
                    self._statements[name] = text
                    self._say(m.PARSED)
            case b"B":
                statement = rest.partition(b"\0")[0][:_LONGEST_NAME]
                name = name[:_LONGEST_NAME]
                if statement not in self._statements or (name and name in self._portals):
                    self._fail()
                else:
                    self._portals[name] = self._statements[statement]
                    self._say(m.BOUND)
            case b"C":
                names = self._portals if name[:1] == b"P" else self._statements
                names.pop(name[1:][:_LONGEST_NAME], None)
                self._say(m.CLOSED)
            case b"E":
                found = self._portals.get(name[:_LONGEST_NAME])
                if found is None:
                    self._fail()
                else:
                    self._run(found)

    def _run(self, text: str, *, simply: bool = False) -> None:
        aborted = self._status == b"E" and text not in ("commit", "rollback")
        if text.startswith("copy") and not aborted:
            self._copying, self._copies_simply = text, simply
            self._say(m.COPY_IN)
            self._flush()
            if text == "copy raises":
                self._end_copy(well=False)
            return
        well = not text.startswith("fail") and not aborted
        self.ran.append(Ran(text, well))
        if not well:
            self._fail(simply=simply)
            return
        if text == "begin":
            self._status = b"T"
        elif text in ("commit", "rollback"):
            self._status = b"I"
            self._portals.clear()
        self._say(m.ROW + m.complete("SELECT 1"))
        if simply:
            self._be_ready()

    def _receive_copy(self, frame: Frame) -> None:
        if frame.kind == b"c":
            self._end_copy(well=True)
        elif frame.kind == b"f" or frame.body == b"wrong":
            self._end_copy(well=False)
        elif frame.kind not in (b"d", b"H", b"S"):
            self._say(m.failed("08P01"))
            self._flush()
            self.is_dead = True

    def _end_copy(self, *, well: bool) -> None:
        text, self._copying = self._copying or "", None
        self.ran.append(Ran(text, well))
        if not well:
            self._fail(simply=self._copies_simply)
            return
        self._say(m.complete("COPY 1"))
        if self._copies_simply:
            self._be_ready()

    def _fail(self, *, simply: bool = False) -> None:
        if self._status == b"T":
            self._status = b"E"
        self._say(m.failed())
        self._flush()
        if simply:
            self._be_ready()
        else:
            self._skips = True

    def _be_ready(self) -> None:
        if self._status == b"I":
            self._portals.clear()
        self._say(m.ready(self._status))
        self._flush()

    def _say(self, message: bytes) -> None:
        self._buffered += message

    def _flush(self) -> None:
        self._flushed += self._buffered
        self._buffered = b""


def pieces(data: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    while data:
        size = next(sizes)
        yield data[:size]
        data = data[size:]
