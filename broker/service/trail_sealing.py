"""Puts events of the audit trail into blocks that chain them, soon after they are written."""

from broker.ledger import audit_blocks
from broker.ledger.connection import transaction
from broker.service.context import Context

_BATCH = 1000  # events


class TrailSealing:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def seal(self) -> int:
        """Seal what is in no block yet, and return how many events that were."""
        sealed = 0
        while True:
            async with transaction(self._context.ledger) as db:
                count = await audit_blocks.append(db, self._context.now(), _BATCH)
            sealed += count
            if count < _BATCH:
                return sealed
