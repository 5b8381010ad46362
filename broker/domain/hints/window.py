"""The newest part of a chain, kept for all who follow it: everything from one mark to another."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Generic, TypeVar

from broker.domain.hints.place import BEGINNING, Mark

Item = TypeVar("Item")


@dataclass(slots=True)
class Window(Generic[Item]):
    """All that comes after `start`, up to `end`, in its order; never more than `most` of it."""

    most: int
    start: Mark = BEGINNING
    end: Mark = BEGINNING
    _marked: list[tuple[Mark, Item]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._marked)

    def begin_anew(self, at: Mark) -> None:
        """Forget everything, and go on from a mark."""
        self.start = self.end = at
        self._marked = []

    def after(self, mark: Mark, limit: int) -> Sequence[tuple[Mark, Item]] | None:
        """Return at most `limit` of what comes after a mark; None if some of it may not be here."""
        if not self.start <= mark <= self.end:
            return None
        first = bisect_right(self._marked, mark, key=itemgetter(0))
        return self._marked[first : first + limit]

    def extend(self, more: Sequence[tuple[Mark, Item]], end: Mark) -> None:
        """Add what comes next. What is too much then is forgotten, the oldest first."""
        self._marked += more
        self.end = end
        surplus = len(self._marked) - self.most
        if surplus > 0:
            self.start = self._marked[surplus - 1][0]
            del self._marked[:surplus]

    def has_room_before(self, older: int) -> bool:
        return len(self._marked) + older <= self.most

    def extend_back(self, older: Sequence[tuple[Mark, Item]], start: Mark) -> None:
        """Put what came before in front, from a mark on. There has to be room for it."""
        self._marked[:0] = older
        self.start = start
