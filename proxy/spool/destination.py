"""Where rows go from the spool, and what is asked of whatever takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.domain.statement.shipment import Part, Progress


class Unreachable(Exception):
    """A destination takes nothing now. It is tried again, with everything that it did not take."""


@dataclass(frozen=True, slots=True)
class Batch:
    """How much is read at once and how much goes into one block, in rows (a statement is two
    records) and bytes."""

    most_rows: int = 5_000
    most_bytes: int = 8 << 20


class Destination(Protocol):
    """Where rows go. Both methods raise Unreachable."""

    name: str
    batch: Batch
    look_every_s: float

    async def progress(self, worker_id: str) -> Progress | None:
        """Return what was stored last with rows of this worker."""

    async def take(self, worker_id: str, progress: Progress, blocks: Sequence[Part]) -> None:
        """Store rows, and the progress with them. Whatever it raises, it may have done so."""
