"""Signs the newest link of every chain, again and again.

Each checkpoint is logged, too: whoever keeps logs elsewhere has a copy that the ledger's
administrator cannot change.
"""

import logging
from collections.abc import Sequence

from broker.domain.errors import NotFound
from broker.domain.statement.checkpoint import Checkpoint, Heads, checkpoint_body
from broker.domain.statement.statement import timestamp
from broker.ledger import checkpoints
from broker.ledger.connection import reading, transaction
from broker.service.context import Context

_log = logging.getLogger(__name__)


class Checkpoints:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def make_if_due(self) -> Checkpoint | None:
        """Make one if the newest is old enough and a chain has moved since."""
        return await self._make(if_due=True)

    async def make(self) -> Checkpoint:
        """Make one now, even if nothing has moved: it says so then."""
        made = await self._make(if_due=False)
        assert made is not None
        return made

    async def get(self, number: int) -> Checkpoint:
        """Raises NotFound."""
        async with reading(self._context.ledger) as db:
            found = await checkpoints.fetch(db, number)
        if found is None:
            raise NotFound("checkpoint", str(number))
        return found

    async def list(self, *, after: int, limit: int) -> Sequence[Checkpoint]:
        """Return checkpoints that come after this number."""
        async with reading(self._context.ledger) as db:
            return await checkpoints.fetch_page(db, after, limit)

    async def _make(self, *, if_due: bool) -> Checkpoint | None:
        async with transaction(self._context.ledger) as db:
            await checkpoints.lock(db)
            newest = await checkpoints.fetch_newest(db)
            heads = await checkpoints.fetch_heads(db)
            if if_due and not self._is_due(newest, heads):
                return None
            made_at = self._context.now()
            number = newest.number + 1 if newest is not None else 1
            body = checkpoint_body(number, timestamp(made_at), heads, newest)
            key, signature = self._context.record.signing.sign(body)
            made = Checkpoint(
                number=number,
                made_at=timestamp(made_at),
                body=body,
                key_id=key,
                signature=signature,
            )
            await checkpoints.append(db, made, made_at)
        _log.info("checkpoint %d: %s key %s signature %s", number, body, key, signature.hex())
        return made

    def _is_due(self, newest: Checkpoint | None, heads: Heads) -> bool:
        if newest is None:
            return any(head.number for head in heads.values())
        return newest.made_at <= timestamp(
            self._context.now() - self._context.record.checkpoint_every
        ) and _names_others(newest, heads)


def _names_others(newest: Checkpoint, heads: Heads) -> bool:
    try:
        return newest.heads != heads
    except ValueError:  # somebody changed it: a check of the record says so
        return True
