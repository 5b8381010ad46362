"""Which way to a page of a list is shorter, as far as a sample of its table can say."""

import math
from dataclasses import dataclass

# To look whether a row has a word takes as long as to find so many that have it.
_FILTERED = 4
# So few rows are soon looked at, whoever sees them.
_FEW = 5_000


@dataclass(frozen=True, slots=True)
class Sample:
    """Of all `rows` some were looked at. Of these so many are on the way, so many near to it, which
    is by whatever index finds the fewest, so many have each of the words, so many would be wanted
    if one saw everything, and so many are wanted.
    """

    rows: int
    looked_at: int
    along: int
    near: int
    words: list[int]
    there: int
    wanted: int

    @property
    def few_are_there(self) -> bool:
        return self.rows * self.there <= _FEW * self.looked_at

    def steps(self, limit: int) -> int:
        """Return how many rows a walk goes along until a page is full."""
        return math.ceil(limit * self.along / self.wanted)

    def is_common(self, word: int) -> bool:
        """Say whether it takes longer to find all that has the word than to look whether what is
        near has it."""
        return self.words[word] > min(self.looked_at / 2, self.near * _FILTERED)

    def is_walked_to(self, limit: int) -> bool:
        """Say whether that is less than to gather all that is wanted."""
        if not self.wanted:
            return False
        return self.steps(limit) < self.rows * self.wanted / self.looked_at
