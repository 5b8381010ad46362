"""The broker as its doors see it: every use case, with the work on targets done right away."""

import asyncio
import logging
from datetime import timedelta

from broker.domain.person import Person
from broker.service.context import Context
from broker.service.grants import GrantDetails, Grants
from broker.service.health import Health
from broker.service.logins import Logins
from broker.service.requests import Requests
from broker.service.sessions import Sessions
from broker.service.tokens import Tokens

# How long a caller waits for a target. The work is in the ledger: what is not done by then, or
# dies with this process, the reaper finishes.
_PATIENCE_S = 10.0

_log = logging.getLogger(__name__)


class Broker:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.requests = Requests(context)
        self.grants = Grants(context)
        self.logins = Logins(context)
        self.sessions = Sessions(context)
        self.tokens = Tokens(context)
        self.health = Health(context)

    async def approve(
        self, request_id: str, person: Person, *, duration: timedelta | None, comment: str
    ) -> GrantDetails:
        """Approve the request and make its login. The grant is active, or still provisioning if
        its target does not answer."""
        grant = await self.requests.approve(request_id, person, duration=duration, comment=comment)
        return await self._attend(grant.id, person)

    async def relinquish(self, grant_id: str, person: Person) -> GrantDetails:
        """Give the grant back and remove its login. It has ended, or is still revoking."""
        await self.grants.relinquish(grant_id, person)
        return await self._attend(grant_id, person)

    async def revoke(self, grant_id: str, person: Person, *, reason: str) -> GrantDetails:
        """Take the grant away and remove its login. It has ended, or is still revoking."""
        await self.grants.revoke(grant_id, person, reason=reason)
        return await self._attend(grant_id, person)

    async def _attend(self, grant_id: str, person: Person) -> GrantDetails:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self.logins.work_on(grant_id)
        except TimeoutError:
            _log.warning("grant %s: the target is slow; the reaper goes on", grant_id)
        return await self.grants.get(grant_id, person)
