"""What a person does with a grant: look at it, take the secret, give it back; or take it away."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from broker.domain.credential import (
    SALT_BYTES,
    SECRET_BYTES,
    TARGET_ITERATIONS,
    USER_ITERATIONS,
    Verifier,
    client_keys,
    new_secret,
    target_keys,
    verifier_of,
    verifier_text,
)
from broker.domain.errors import Conflict, NotApprover, NotFound, NotReady
from broker.domain.events import CredentialHandedOut, GrantEnding
from broker.domain.grant import Grant, GrantEvent, GrantState
from broker.domain.person import Person
from broker.domain.policy import may_decide
from broker.ledger import audit, grants, logins, receipts, requests
from broker.ledger.channel import notify_grant
from broker.ledger.connection import Db, transaction
from broker.ledger.logins import Login
from broker.service.context import Context, Entrance
from broker.target.login import give_keys


@dataclass(frozen=True, slots=True)
class GrantDetails:
    grant: Grant
    login: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """Everything a client needs. The password exists only here and in the person's hands."""

    entrance: Entrance
    user: str
    password: str = field(repr=False)
    database: str
    expires_at: datetime


class Grants:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def get(self, grant_id: str, person: Person) -> GrantDetails:
        """Raises NotFound for a grant that is not there or not this person's to see."""
        async with transaction(self._context.ledger) as db:
            return await self._details(db, await self._visible(db, grant_id, person))

    async def list(
        self,
        person: Person,
        *,
        only_own: bool,
        state: GrantState | None,
        before: str | None,
        limit: int,
    ) -> list[GrantDetails]:
        """Return the person's grants, and unless `only_own` those they approve, newest first."""
        async with transaction(self._context.ledger) as db:
            page = await grants.fetch_page(
                db,
                person_id=person.id,
                policies=[] if only_own else self._context.approvable_by(person),
                state=state,
                before=before,
                limit=limit,
            )
            return [await self._details(db, grant) for grant in page]

    async def get_receipt(self, grant_id: str, person: Person) -> dict[str, Any]:
        """Return the proof that the grant left nothing. Raises NotReady before there is one."""
        async with transaction(self._context.ledger) as db:
            grant = await self._visible(db, grant_id, person)
            facts = await receipts.fetch(db, grant.id)
        if facts is None:
            raise NotReady(
                f"grant {grant.id} is {grant.state}: its receipt comes when it has ended"
            )
        return facts

    async def hand_out(self, grant_id: str, person: Person, *, source: str | None) -> Credential:
        """Make a new secret, which ends the one before, and return it: it is never stored.

        The ledger learns the verifier first and the target second. After a crash in between
        nobody holds a secret that works, and asking again mends it. The other order could leave a
        secret in somebody's hands that the target refuses.
        """
        secret = new_secret(self._context.random(SECRET_BYTES))
        salt = self._context.random(SALT_BYTES)
        keys = client_keys(secret, salt, USER_ITERATIONS)
        verifier = verifier_of(keys, salt, USER_ITERATIONS)
        grant = await self._save_verifier(grant_id, person, verifier)
        login = await self._arm(grant, person, verifier, keys.client_key, source)
        return Credential(
            entrance=self._context.entrance,
            user=login.name,
            password=secret,
            database=grant.database,
            expires_at=grant.expires_at,
        )

    async def relinquish(self, grant_id: str, person: Person) -> None:
        """Write down that the person gives the grant back; the login is still to be removed."""
        async with transaction(self._context.ledger) as db:
            grant = await grants.lock(db, grant_id)
            if grant is None or grant.person.id != person.id:
                raise NotFound("grant", grant_id)
            await self._end(db, grant, GrantEvent.RELINQUISHED, person, None)

    async def revoke(self, grant_id: str, person: Person, *, reason: str) -> None:
        """Write down that an approver takes the grant away; the login is still to be removed."""
        async with transaction(self._context.ledger) as db:
            grant = await grants.lock(db, grant_id)
            if grant is None or not await self._sees(db, grant, person):
                raise NotFound("grant", grant_id)
            if not await self._approves(db, grant, person):
                raise NotApprover("only an approver revokes a grant; relinquish your own")
            await self._end(db, grant, GrantEvent.REVOKED, person, reason)

    async def _save_verifier(self, grant_id: str, person: Person, verifier: Verifier) -> Grant:
        async with transaction(self._context.ledger) as db:
            login = await logins.lock(db, grant_id)
            grant = await grants.fetch(db, grant_id)
            if grant is None or login is None or grant.person.id != person.id:
                raise NotFound("grant", grant_id)
            self._require_usable(grant, login)
            await logins.save_verifier(
                db, grant.id, key_id=self._context.proxy_key.id, verifier=verifier
            )
        return grant

    async def _arm(
        self,
        grant: Grant,
        person: Person,
        verifier: Verifier,
        client_key: bytes,
        source: str | None,
    ) -> Login:
        """Give the login on the target the keys of this secret, unless a newer one came between."""
        derived = target_keys(self._context.proxy_key, grant.id, client_key)
        salt = self._context.random(SALT_BYTES)
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            login = await logins.lock(db, grant.id)
            current = await grants.fetch(db, grant.id)
            assert login is not None
            assert current is not None
            self._require_usable(current, login)
            if login.stored_key != verifier.stored_key:
                raise Conflict("another secret was handed out at the same moment; ask again")
            assert login.oid is not None
            text = verifier_text(verifier_of(derived, salt, TARGET_ITERATIONS))
            await give_keys(self._context.target(grant.target, grant.role), login.oid, text)
            await logins.save_handed_out(db, grant.id, now)
            event = CredentialHandedOut(
                request_id=grant.request_id, grant_id=grant.id, login=login.name, source=source
            )
            await audit.append(db, event, actor=person.email, now=now)
        return login

    def _require_usable(self, grant: Grant, login: Login) -> None:
        if grant.state is GrantState.PROVISIONING:
            why = f": {grant.last_error}" if grant.last_error else ""
            raise NotReady(f"grant {grant.id} is being provisioned{why}; try again in a moment")
        if (
            grant.state is not GrantState.ACTIVE
            or login.oid is None
            or grant.expires_at <= self._context.now()
        ):
            raise NotReady(f"grant {grant.id} has ended: make a new request")

    async def _end(
        self, db: Db, grant: Grant, event: GrantEvent, person: Person, comment: str | None
    ) -> None:
        await end_grant(
            db, grant, event, actor=person.email, comment=comment, now=self._context.now()
        )

    async def _visible(self, db: Db, grant_id: str, person: Person) -> Grant:
        grant = await grants.fetch(db, grant_id)
        if grant is None or not await self._sees(db, grant, person):
            raise NotFound("grant", grant_id)
        return grant

    async def _sees(self, db: Db, grant: Grant, person: Person) -> bool:
        return grant.person.id == person.id or await self._approves(db, grant, person)

    async def _approves(self, db: Db, grant: Grant, person: Person) -> bool:
        request = await requests.fetch(db, grant.request_id)
        assert request is not None
        return may_decide(self._context.policies, request.policy, person)

    async def _details(self, db: Db, grant: Grant) -> GrantDetails:
        login = await logins.fetch(db, grant.id)
        assert login is not None
        return GrantDetails(grant, login.name)


async def end_grant(
    db: Db,
    grant: Grant,
    event: GrantEvent,
    *,
    actor: str,
    comment: str | None,
    now: datetime,
) -> None:
    """Move a locked grant to revoking, tell the proxies, and record who wanted it and why."""
    ending = grant.after(event, now).ended_for(actor, comment)
    await grants.save(db, ending, was=grant.state)
    await notify_grant(db, grant.id)
    await audit.append(
        db,
        GrantEnding(
            request_id=grant.request_id, grant_id=grant.id, cause=event.value, comment=comment
        ),
        actor=actor,
        now=now,
    )
