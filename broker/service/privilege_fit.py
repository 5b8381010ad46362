"""What a grant's sessions used of what its role could do, and which role would have done."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from broker.domain.catalog import CatalogRole
from broker.domain.grant import Grant
from broker.domain.person import Person
from broker.domain.privilege_fit import Done, Fit, Use, judge
from broker.domain.statement.conditions import StatementKind
from broker.ledger.connection import transaction
from broker.ledger.statement_texts import done_by
from broker.service.context import Context
from broker.service.visible import require_visible, visible_to
from broker.sql.kinds import statements_of
from broker.sql.parsing import Unparsable
from broker.sql.usage import uses_of
from broker.target.privileges import fetch_abilities, fetch_search_path

# Texts differ in their literals; parsing as many takes seconds, in a thread of its own.
_MOST_TEXTS = 10_000
_MOST_CHARACTERS = 8 * 1024 * 1024
# What these want is ownership, or an attribute of the role.
_BEYOND_TABLES = frozenset(
    (
        StatementKind.DDL,
        StatementKind.ROLE,
        StatementKind.PROGRAM,
        StatementKind.PROCEDURE,
        StatementKind.MAINTENANCE,
    )
)


class PrivilegeFits:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def of(self, grant_id: str, person: Person) -> Fit:
        """Compare a grant with what is on record of its sessions, and what its target says now.

        Raises NotFound for a grant that is not there or not this person's to see; TargetGone,
        TargetUnreachable and TargetRefused.
        """
        visible = await visible_to(self._context, person)
        async with transaction(self._context.ledger) as db:
            grant, _request = await require_visible(db, visible, grant_id)
            texts: list[tuple[str, int]] = []
            size = not_looked = 0
            async for text, times in done_by(db, grant.id):
                size += len(text)
                if len(texts) == _MOST_TEXTS or size > _MOST_CHARACTERS:
                    not_looked += times
                else:
                    texts.append((text, times))
        done = await asyncio.to_thread(_read, texts, not_looked)
        return await self._judge(grant, done)

    async def _judge(self, grant: Grant, done: Done) -> Fit:
        target = self._context.target(grant.target, grant.role)
        catalog = self._context.catalog.targets[grant.target]
        async with target.admin_in(grant.database) as db:
            abilities = await fetch_abilities(db, sorted({*catalog.roles, grant.role}))
            path = await fetch_search_path(db, grant.role)
        own = _search_path_of(catalog.roles.get(grant.role)) or path
        resolved = [grant.role if each == "$user" else each for each in own]
        return judge(grant.role, done, abilities, resolved)


def _search_path_of(role: CatalogRole | None) -> tuple[str, ...]:
    """Return what a login that gets the role has of itself."""
    for parameter in role.parameters if role is not None else ():
        if parameter.name == "search_path":
            return (parameter.value,) if isinstance(parameter.value, str) else parameter.value
    return ()


def _read(texts: Sequence[tuple[str, int]], not_looked: int) -> Done:
    uses: Counter[Use] = Counter()
    beyond: Counter[str] = Counter()
    read = unread = 0
    for text, times in texts:
        try:
            needed = uses_of(text)
            statements = statements_of(text)
        except Unparsable:
            unread += times
            continue
        read += times
        uses.update(dict.fromkeys(needed, times))
        labels = {each.label for each in statements if each.kinds & _BEYOND_TABLES}
        beyond.update(dict.fromkeys(labels, times))
    return Done(uses=uses, beyond=beyond, read=read, unread=unread, not_looked=not_looked)
