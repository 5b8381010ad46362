"""Whether a catalog role may be given at the moment, as its target sees it.

The question is dear where many logins live (6 ms at a thousand), so an answer serves all grants of
the next few seconds. Only a good one: what was bad may have been mended.
"""

from datetime import datetime, timedelta

from broker.domain.catalog import CatalogRole
from broker.domain.errors import TargetRefused
from broker.domain.grant import Grant
from broker.service.context import Context
from broker.target.roles import UNUSABLE_ROLE, fetch_role_faults

_FRESH = timedelta(seconds=5)


class RoleChecks:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._good_at: dict[tuple[str, str, str], datetime] = {}

    async def require_usable(self, grant: Grant) -> CatalogRole:
        """Return the grant's role as the settings have it. Raises TargetGone, TargetUnreachable, or
        TargetRefused with what is wrong with it."""
        target = self._context.target(grant.target, grant.role)
        role = self._context.require_role(grant.target, grant.role)
        key = (grant.target, grant.role, grant.database)
        now = self._context.now()
        good_at = self._good_at.get(key)
        if good_at is not None and now - good_at < _FRESH:
            return role
        async with target.admin() as db:
            faults = await fetch_role_faults(db, role, grant.database)
        if faults:
            raise TargetRefused(target.name, UNUSABLE_ROLE, "; ".join(faults))
        self._good_at[key] = now
        return role
