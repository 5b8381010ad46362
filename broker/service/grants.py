"""What a person does with a grant: look at it, take the secret, give it back; or take it away."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from broker.domain.authorization import EVERY_REACH, Reach
from broker.domain.credential import (
    SALT_BYTES,
    SECRET_BYTES,
    TARGET_ITERATIONS,
    USER_ITERATIONS,
    Verifier,
    client_keys,
    new_secret,
    target_keys,
    user_salt,
    verifier_of,
    verifier_text,
)
from broker.domain.errors import Conflict, HeldByTicket, NotApprover, NotFound, NotReady
from broker.domain.events import CredentialHandedOut, GrantEnding
from broker.domain.grant import Grant, GrantEvent, GrantState
from broker.domain.person import Person
from broker.domain.request import Verdict
from broker.domain.statement.budget import NOTHING, Used
from broker.ledger import audit, findings, grants, logins, requests, usage
from broker.ledger.channel import notify_grant
from broker.ledger.connection import Db, reading, searching, transaction
from broker.ledger.findings import StoredFinding
from broker.ledger.logins import Login
from broker.service.approvals import Approvals
from broker.service.circumstances import Circumstances
from broker.service.context import Context, Entrance
from broker.service.receipts import Receipt, Receipts
from broker.service.visible import only_own_of, require_visible, shows, ties, visible_to
from broker.target.login import give_keys


@dataclass(frozen=True, slots=True)
class GrantDetails:
    """`login` is the ephemeral role of a grant that has one of its own, `used` what its sessions
    were sent so far."""

    grant: Grant
    login: str | None
    used: Used = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """Everything a client needs. The password exists only here and in the person's hands.

    `stable_user` leads to the same grant, and later to the next one of the same role: for saved
    connections.
    """

    entrance: Entrance
    user: str
    stable_user: str
    password: str = field(repr=False)
    database: str
    expires_at: datetime


class Grants:
    def __init__(
        self,
        context: Context,
        receipts: Receipts,
        circumstances: Circumstances,
        approvals: Approvals,
    ) -> None:
        self._context = context
        self._receipts = receipts
        self._circumstances = circumstances
        self._approvals = approvals

    async def get(self, grant_id: str, person: Person) -> GrantDetails:
        """Raises NotFound for a grant that is not there or not this person's to see."""
        visible = await visible_to(self._context, person)
        async with transaction(self._context.ledger) as db:
            grant, _request = await require_visible(db, visible, grant_id)
            return await self._details(db, grant)

    async def details(self, grant_id: str) -> GrantDetails:
        """Return a grant that the caller has just had in hand."""
        async with reading(self._context.ledger) as db:
            found = await grants.fetch_with_login(db, grant_id)
        if found is None:
            raise NotFound("grant", grant_id)
        return GrantDetails(*found)

    async def list(
        self,
        person: Person,
        *,
        only_own: bool,
        state: GrantState | None,
        before: str | None,
        limit: int,
    ) -> list[GrantDetails]:
        """Return the person's grants, and unless `only_own` others they may see, newest first."""
        visible = only_own_of(person) if only_own else await visible_to(self._context, person)
        async with searching(self._context.ledger) as db:
            page = await grants.fetch_page(db, visible, state=state, before=before, limit=limit)
            return [GrantDetails(*each) for each in page]

    async def get_receipt(self, grant_id: str, person: Person) -> Receipt:
        """Return the proof that the grant left nothing. Raises NotReady before there is one."""
        visible = await visible_to(self._context, person)
        async with transaction(self._context.ledger) as db:
            grant, _request = await require_visible(db, visible, grant_id)
        return await self._receipts.get(grant)

    async def get_findings(self, grant_id: str, person: Person) -> Sequence[StoredFinding]:
        """Return what the grant's life changed on the target, as far as it is known."""
        visible = await visible_to(self._context, person)
        async with transaction(self._context.ledger) as db:
            grant, _request = await require_visible(db, visible, grant_id)
            return await findings.fetch(db, grant.id)

    async def activate(self, grant_id: str, person: Person) -> bool:
        """Start the clock of a grant that waits for its first use, if this is one of the person's.

        Returns whether it was; its login is then still to be made. Raises what its policy has
        against it by now.
        """
        async with reading(self._context.ledger) as db:
            grant = await grants.fetch(db, grant_id)
            if grant is None or grant.person.id != person.id:
                raise NotFound("grant", grant_id)
            if grant.state is not GrantState.WAITING:
                return False
            request = await requests.fetch(db, grant.request_id)
        assert request is not None
        policy = self._context.policies.find(request.policy)
        on_call = await self._circumstances.on_call([policy] if policy is not None else [])
        async with transaction(self._context.ledger) as db:
            locked = await grants.lock(db, grant_id)
            assert locked is not None
            if locked.state is not GrantState.WAITING or locked.expires_at <= self._context.now():
                return False
            case = await self._approvals.case(db, request, on_call, within=locked.id)
            said = await requests.fetch_decisions(db, request.id)
            agreed = any(each.verdict is Verdict.APPROVAL for each in said)
            await self._approvals.giving.activate(db, locked, case, agreed=agreed)
        return True

    async def hand_out(self, grant_id: str, person: Person, *, source: str | None) -> Credential:
        """Make a new secret, which ends the one before, and return it: it is never stored.

        The ledger learns the verifier first and the target second. After a crash in between
        nobody holds a secret that works, and asking again mends it. The other order could leave a
        secret in somebody's hands that the target refuses.
        """
        secret = new_secret(self._context.random(SECRET_BYTES))
        stable_name = await self._stable_name(grant_id)
        salt = user_salt(self._context.proxy_key, stable_name)
        keys = client_keys(secret, salt, USER_ITERATIONS)
        verifier = verifier_of(keys, salt, USER_ITERATIONS)
        await self._save_verifier(grant_id, person, verifier)
        grant, login = await self._arm(grant_id, person, verifier, keys.client_key, source)
        return Credential(
            entrance=self._context.entrance,
            user=login.name,
            stable_user=login.stable_name,
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

    async def revoke(
        self, grant_id: str, person: Person, *, reason: str, reach: frozenset[Reach] = EVERY_REACH
    ) -> None:
        """Write down that an approver or an operator takes the grant away; the login is still to be
        removed."""
        visible = await visible_to(self._context, person)
        async with transaction(self._context.ledger) as db:
            grant = await grants.lock(db, grant_id)
            request = await requests.fetch(db, grant.request_id) if grant is not None else None
            if grant is None or request is None or not shows(visible, request):
                raise NotFound("grant", grant_id)
            if not reach & ties(visible, request, own=False):
                raise NotApprover("only an approver revokes a grant; relinquish your own")
            await self._end(db, grant, GrantEvent.REVOKED, person, reason)

    async def _stable_name(self, grant_id: str) -> str:
        """Return the login's, or "" for a grant without one, which is refused further on."""
        async with reading(self._context.ledger) as db:
            login = await logins.fetch(db, grant_id)
        return login.stable_name if login is not None else ""

    async def _save_verifier(self, grant_id: str, person: Person, verifier: Verifier) -> None:
        """Raises NotFound or NotReady."""
        async with reading(self._context.ledger) as db:
            if await logins.save_verifier(
                db,
                grant_id,
                person.id,
                key_id=self._context.proxy_key.id,
                verifier=verifier,
                now=self._context.now(),
            ):
                return
            found = await grants.fetch(db, grant_id)
            login = await logins.fetch(db, grant_id)
        if found is None or found.person.id != person.id:
            raise NotFound("grant", grant_id)
        if found.member is not None:
            raise NotReady(
                f"grant {grant_id} makes {found.member} a member of {found.role}: "
                f"log in as {found.member}, as you always do"
            )
        self._require_usable(found, login)
        raise NotReady(f"grant {grant_id} changed at the same moment; try again")

    async def _arm(
        self,
        grant_id: str,
        person: Person,
        verifier: Verifier,
        client_key: bytes,
        source: str | None,
    ) -> tuple[Grant, Login]:
        """Give the login on the target the keys of this secret, unless a newer one came between."""
        derived = target_keys(self._context.proxy_key, grant_id, client_key)
        salt = self._context.random(SALT_BYTES)
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            login = await logins.lock(db, grant_id)
            grant = await grants.fetch(db, grant_id)
            assert login is not None
            assert grant is not None
            self._require_usable(grant, login)
            if login.stored_key != verifier.stored_key:
                raise Conflict("another secret was handed out at the same moment; ask again")
            assert login.oid is not None
            text = verifier_text(verifier_of(derived, salt, TARGET_ITERATIONS))
            await give_keys(self._context.target(grant.target, grant.role), login.oid, text)
            event = CredentialHandedOut(
                request_id=grant.request_id, grant_id=grant.id, login=login.name, source=source
            )
            await audit.append(db, event, actor=person.email, now=now)
        return grant, login

    def _require_usable(self, grant: Grant, login: Login | None) -> None:
        if grant.sealed:
            raise HeldByTicket(grant.id)
        if grant.state is GrantState.PROVISIONING:
            why = f": {grant.last_error}" if grant.last_error else ""
            raise NotReady(f"grant {grant.id} is being provisioned{why}; try again in a moment")
        if (
            grant.state is not GrantState.ACTIVE
            or login is None
            or login.oid is None
            or grant.expires_at <= self._context.now()
        ):
            raise NotReady(f"grant {grant.id} has ended: make a new request")

    async def _end(
        self, db: Db, grant: Grant, event: GrantEvent, person: Person, comment: str | None
    ) -> None:
        now = self._context.now()
        await end_grant(
            db, grant, event, actor=person.email, comment=comment, now=now, attended=True
        )

    async def _details(self, db: Db, grant: Grant) -> GrantDetails:
        login = await logins.fetch(db, grant.id)
        used = await usage.fetch(db, grant.id)
        return GrantDetails(grant, login.name if login else None, used)


async def end_grant(
    db: Db,
    grant: Grant,
    event: GrantEvent,
    *,
    actor: str,
    comment: str | None,
    now: datetime,
    attended: bool = False,
) -> None:
    """Move a locked grant to revoking, tell the proxies, and record who wanted it and why.

    `attended`: the caller removes what it gave right afterwards.
    """
    ending = grant.after(event, now).ended_for(actor, comment)
    if attended:
        ending = ending.attended(now)
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
