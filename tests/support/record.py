"""A spool in memory, and what it says."""

from collections.abc import Callable
from itertools import count

from broker.domain.statement.conditions import Recorded
from proxy.spool.records import Begin, End, Record, read_record
from proxy.transcript import Transcript

SESSION = "ses_06gzgmx29xb30nb6"


class MemorySpool:
    """Takes everything, unless it is `full`."""

    def __init__(self) -> None:
        self.full = False
        self.written = b""
        self._late = b""

    def append(self, data: bytes) -> bool:
        if self.full:
            return False
        self.written += self._late + data
        self._late = b""
        return True

    def append_late(self, data: bytes) -> None:
        if not self.append(data):
            self._late += data

    @property
    def records(self) -> list[Record]:
        found, position = [], 0
        while (read := read_record(self.written, position)) is not None:
            record, position = read
            found.append(record)
        assert position == len(self.written)
        return found

    @property
    def begun(self) -> list[Begin]:
        return [each for each in self.records if isinstance(each, Begin)]

    @property
    def texts(self) -> list[str]:
        return [each.text.decode() for each in self.begun]

    @property
    def ends(self) -> dict[int, End]:
        """By the number of the statement."""
        return {each.seq: each for each in self.records if isinstance(each, End)}


def ticking() -> Callable[[], int]:
    """A clock that goes on by a millisecond with each look, in microseconds since 1970."""
    return count(1_790_000_000_000_000, 1_000).__next__


def transcript(
    spool: MemorySpool, *, longest_text: int = 4_096, recorded: Recorded = Recorded.OFF
) -> Transcript:
    return Transcript(SESSION, spool, ticking(), longest_text=longest_text, recorded=recorded)
