"""Seals tickets: makes a login that only the ticket's secret opens, together with the proxy key."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from broker.domain.catalog import CatalogRole, CatalogTarget
from broker.domain.credential import (
    SALT_BYTES,
    SECRET_BYTES,
    TARGET_ITERATIONS,
    USER_ITERATIONS,
    ClientKeys,
    client_keys,
    new_secret,
    target_keys,
    verifier_of,
    verifier_text,
)
from broker.domain.duration import format_duration
from broker.domain.errors import (
    BrokerError,
    DurationTooLong,
    KindNotOffered,
    NotReady,
    ReviewOverdue,
    UnknownRole,
    UnknownTarget,
)
from broker.domain.events import TicketSealed
from broker.domain.grant import Grant, GrantKind, GrantState
from broker.domain.ids import IdKind
from broker.domain.login_plan import login_name
from broker.domain.network import Network
from broker.domain.person import Person
from broker.domain.policy.rule import Policy
from broker.domain.request import AccessRequest, Cause, RequestEvent, RequestState
from broker.domain.statement.conditions import NO_CONDITIONS
from broker.domain.ticket import Sign, Ticket, encode, seal
from broker.ledger import audit, grants, logins, requests, reviews, tickets
from broker.ledger.connection import transaction
from broker.ledger.tickets import SealedTicket
from broker.service.context import Context, Entrance
from broker.service.people import People
from broker.service.tickets import Tickets
from broker.target.login import give_keys

NO_POLICY = "sealed ticket"
"""What the request of a ticket carries for a policy where none covers it. No policy can have a name
with a space in it."""

LONGEST_VALIDITY = timedelta(days=366)
LONGEST_ACCESS = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the operator wants sealed. Without a database it is the target's own."""

    person: str
    target: str
    role: str
    database: str | None
    networks: tuple[Network, ...]
    access: timedelta
    validity: timedelta


@dataclass(frozen=True, slots=True)
class NewTicket:
    """A ticket, with the only copy of its secret. `user` carries it to a proxy."""

    ticket: Ticket
    user: str
    password: str = field(repr=False)
    entrance: Entrance


class Sealing:
    def __init__(self, context: Context, people: People, tickets_: Tickets) -> None:
        self._context = context
        self._people = people
        self._tickets = tickets_

    async def seal(self, order: Order, sign: Sign, *, actor: str) -> NewTicket:
        """Make the login on the target, give it keys that only the ticket's secret opens, and
        return the ticket: neither it nor the secret is stored.

        Raises Invalid or NotFound for an order that makes no sense; NotReady, or what the target
        says, if the login cannot be made now: then nothing stays.
        """
        role, database = self._resolve(order)
        person = await self._holder(order.person)
        policy = self._policy(person, order, database)
        secret = new_secret(self._context.random(SECRET_BYTES))
        salt = self._context.random(SALT_BYTES)
        keys = client_keys(secret, salt, USER_ITERATIONS)
        now = self._context.now()
        ticket = Ticket(
            id=self._context.new_id(IdKind.TICKET),
            grant_id=(grant_id := self._context.new_id(IdKind.GRANT)),
            login=login_name(person.email, role.name, grant_id),
            person=person.email,
            target=order.target,
            database=database,
            role=role.name,
            key_id=self._context.proxy_key.id,
            networks=order.networks,
            not_before=now.replace(microsecond=0),
            expires=now.replace(microsecond=0) + order.validity,
            access=order.access,
            connection_limit=_connection_limit(role, policy),
            verifier=verifier_of(keys, salt, USER_ITERATIONS),
            pin_address=role.pin_address,
            conditions=policy.conditions if policy is not None else NO_CONDITIONS,
        )
        encode(ticket)  # before anything is made for one that would be too long
        await self._intend(ticket, person, policy, actor)
        await self._provision(ticket, keys, actor)
        return NewTicket(ticket, seal(ticket, sign), secret, self._context.entrance)

    def _resolve(self, order: Order) -> tuple[CatalogRole, str]:
        target = self._find_target(order.target)
        if order.role not in target.roles:
            raise UnknownRole(order.role, target.name, sorted(target.roles))
        role = target.roles[order.role]
        if GrantKind.LOGIN not in role.kinds:
            raise KindNotOffered(role.name, GrantKind.LOGIN, sorted(role.kinds))
        for wanted, longest, what in (
            (order.validity, LONGEST_VALIDITY, "a ticket's validity"),
            (order.access, min(LONGEST_ACCESS, order.validity), "access under this ticket"),
        ):
            if wanted > longest:
                raise DurationTooLong(format_duration(wanted), format_duration(longest), what)
        return role, order.database or target.database

    def _find_target(self, name: str) -> CatalogTarget:
        targets = self._context.catalog.targets
        if name not in targets:
            raise UnknownTarget(name, sorted(targets))
        return targets[name]

    async def _holder(self, email: str) -> Person:
        """Raises UnknownPerson, or ReviewOverdue while one of their reviews is to be written."""
        async with transaction(self._context.ledger) as db:
            person = await self._people.require(db, email)
            overdue = await reviews.fetch_overdue(db, person, self._context.now())
        if overdue is not None:
            raise ReviewOverdue(overdue)
        return person

    def _policy(self, person: Person, order: Order, database: str) -> Policy | None:
        """Return the policy under which the person would ask for this. Nobody is asked whether it
        may be sealed; but its approvers see what becomes of the ticket, may revoke it and write the
        review, and its sessions are as that policy wants them."""
        candidates = self._context.policies.candidates(person, order.target, order.role)
        return next(
            (
                policy
                for policy in candidates
                if policy.resources.matches(order.target, database, order.role)
            ),
            None,
        )

    async def _intend(
        self, ticket: Ticket, person: Person, policy: Policy | None, actor: str
    ) -> None:
        """Write down that there is to be such a ticket, before the target is touched."""
        now = self._context.now()
        request = self._request(ticket, person, policy, actor)
        grant = Grant(
            id=ticket.grant_id,
            request_id=request.id,
            person=person,
            target=ticket.target,
            database=ticket.database,
            role=ticket.role,
            state=GrantState.PROVISIONING,
            granted_at=now,
            expires_at=ticket.expires,
            duration=ticket.access,
            next_attempt_at=now,
            networks=ticket.networks,
            pin_address=ticket.pin_address,
            parameters=policy.parameters if policy is not None else (),
            sealed=True,
            conditions=ticket.conditions,
        )
        async with transaction(self._context.ledger) as db:
            await requests.insert(db, request, policy_version=None)
            approved = request.after(RequestEvent.APPROVED, now, by=Cause.OPERATOR)
            await requests.save_state(db, approved)
            await grants.insert(db, grant.attended(now))
            await logins.insert(
                db, grant.id, name=ticket.login, connection_limit=ticket.connection_limit
            )
            await tickets.insert(db, _as_stored(ticket, actor, now))
            await audit.append(db, _sealed_event(ticket, request.id), actor=actor, now=now)

    def _request(
        self, ticket: Ticket, person: Person, policy: Policy | None, actor: str
    ) -> AccessRequest:
        why = f"break-glass ticket {ticket.id}, sealed by {actor}"
        return AccessRequest(
            id=self._context.new_id(IdKind.REQUEST),
            person=person,
            requester=person,
            target=ticket.target,
            database=ticket.database,
            role=ticket.role,
            duration=ticket.access,
            reason=why,
            source=None,
            policy=policy.name if policy is not None else NO_POLICY,
            why=(why,),
            state=RequestState.PENDING,
            created_at=self._context.now(),
            lapses_at=ticket.expires,
            networks=ticket.networks,
            pin_address=ticket.pin_address,
        )

    async def _provision(self, ticket: Ticket, keys: ClientKeys, actor: str) -> None:
        """Make the login and give it its keys; end it all if that cannot be done now."""
        try:
            await self._tickets.attend(ticket.grant_id)
            await self._arm(ticket, keys)
        except BrokerError as error:
            await self._tickets.end(ticket.grant_id, actor, f"nothing was sealed: {error}")
            raise

    async def _arm(self, ticket: Ticket, keys: ClientKeys) -> None:
        derived = target_keys(self._context.proxy_key, ticket.grant_id, keys.client_key)
        salt = self._context.random(SALT_BYTES)
        async with transaction(self._context.ledger) as db:
            login = await logins.lock(db, ticket.grant_id)
            grant = await grants.fetch(db, ticket.grant_id)
            assert login is not None
            assert grant is not None
            if grant.state is not GrantState.ACTIVE or login.oid is None:
                why = grant.last_error or f"grant {grant.id} is {grant.state}"
                raise NotReady(f"the login cannot be made on target {ticket.target!r}: {why}")
            text = verifier_text(verifier_of(derived, salt, TARGET_ITERATIONS))
            await give_keys(self._context.target(ticket.target, ticket.role), login.oid, text)


def _connection_limit(role: CatalogRole, policy: Policy | None) -> int:
    own = policy.connection_limit if policy is not None else None
    return min(role.connection_limit, own or role.connection_limit)


def _as_stored(ticket: Ticket, actor: str, now: datetime) -> SealedTicket:
    return SealedTicket(
        id=ticket.id,
        grant_id=ticket.grant_id,
        person=ticket.person,
        target=ticket.target,
        database=ticket.database,
        role=ticket.role,
        state=GrantState.PROVISIONING,
        key_id=ticket.key_id,
        access=ticket.access,
        expires_at=ticket.expires,
        sealed_at=now,
        sealed_by=actor,
    )


def _sealed_event(ticket: Ticket, request_id: str) -> TicketSealed:
    return TicketSealed(
        request_id=request_id,
        grant_id=ticket.grant_id,
        ticket_id=ticket.id,
        person=ticket.person,
        target=ticket.target,
        database=ticket.database,
        role=ticket.role,
        networks=ticket.networks,
        expires_at=ticket.expires,
        access=ticket.access,
        key_id=ticket.key_id,
    )
