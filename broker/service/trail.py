"""Reading the audit trail."""

from broker.ledger import audit
from broker.ledger.audit import AuditFilter, AuditRow
from broker.ledger.connection import reading
from broker.service.context import Context


class Trail:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def list(self, wanted: AuditFilter, *, before: int | None, limit: int) -> list[AuditRow]:
        """Return events, newest first."""
        async with reading(self._context.ledger) as db:
            return await audit.fetch_page(db, wanted, before=before, limit=limit)
