"""Rotates the password of the broker's own login on a target: on demand, and on schedule.

The new password is stored beside the old one, given to the target, and put in the old one's place.
Whoever connects meanwhile finds both, so there is no gap; and a crash at any point leaves one that
works, which the next rotation tidies up.
"""

import logging

from broker.domain.credential import SALT_BYTES, SECRET_BYTES, new_secret, password_verifier
from broker.domain.errors import Conflict
from broker.domain.events import AdminRotated
from broker.domain.person import SYSTEM
from broker.ledger import audit
from broker.ledger.connection import transaction
from broker.ledger.serial import turn
from broker.service.context import Context, StoredPassword
from broker.target.connect import Target
from broker.target.rotation import accepts, change_password

_log = logging.getLogger(__name__)


class NotReplaceable(Conflict):
    """The settings name a password that the broker cannot replace."""

    code = "not-replaceable"

    def __init__(self, target: str) -> None:
        super().__init__(
            f"the admin password of target {target!r} does not lie in a file, so it cannot be "
            f"replaced; for example: targets.{target}.admin.password: file:secrets/{target}-admin"
        )


class Rotation:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def rotate_if_due(self, target: Target) -> None:
        """Rotate the password that is older than the settings allow."""
        terms = self._context.terms[target.name]
        changed_at = terms.password.changed_at
        if terms.rotate_every is None or changed_at is None:
            return
        if self._context.now() - changed_at >= terms.rotate_every:
            await self.rotate(target)

    async def rotate(self, target: Target) -> None:
        """Give the broker's login a new password; the old one is dead when this returns.

        Open connections go on. Raises NotReplaceable, TargetUnreachable or TargetRefused.
        """
        stored = self._context.terms[target.name].password
        if stored.changed_at is None:
            raise NotReplaceable(target.name)
        password = new_secret(self._context.random(SECRET_BYTES))
        verifier = password_verifier(password, self._context.random(SALT_BYTES))
        async with transaction(self._context.ledger) as db:
            async with turn(db, target.name):
                await self._finish_interrupted(target, stored)
                stored.put_beside(password)
                await change_password(target, verifier)
                stored.put_in_place()
            login = target.admin_login.user
            event = AdminRotated(target=target.name, login=login)
            await audit.append(db, event, actor=SYSTEM, now=self._context.now())
        _log.info("target %s: the password of %s was rotated", target.name, login)

    async def _finish_interrupted(self, target: Target, stored: StoredPassword) -> None:
        """Of two passwords that a crash left, keep the one that the target knows."""
        waiting = stored.waiting
        if waiting is not None and await accepts(target, waiting):
            stored.put_in_place()
