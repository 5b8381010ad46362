"""Letting people in by a sealed ticket, with or without a ledger.

    is it ours → prove its secret → was it used up, does the ledger know better → log in to the
    target → write its use and the session down on this machine's disk → in

Everything goes into this machine's own records first, and from there to the ledger, now or when it
is back (ticket_reports.py): there is one way, which every use takes.
"""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime

from broker.domain.credential import mock_verifier
from broker.domain.grant import Grant, GrantState
from broker.domain.network import Address
from broker.domain.ticket import (
    Deny,
    NotGenuine,
    Ticket,
    admit,
    is_ticket_name,
    open_ticket,
    read_unverified,
)
from broker.domain.ticket_record import (
    TicketRefused,
    TicketSessionClosed,
    TicketSessionOpened,
    TicketUse,
)
from broker.ledger.bans import ThrottleRules
from broker.ledger.logins import ProxyLogin
from broker.ledger.sessions import EndedSession, NewSession
from proxy.door import Door
from proxy.refusals import Guide, Refusal, ticket_closed, ticket_unrecordable
from proxy.rules import Rules
from proxy.ticket_office import TicketOffice, Unknown

_log = logging.getLogger(__name__)


def door_for(office: TicketOffice, user: str, address: Address, rules: Rules) -> Door | None:
    """Return the door for a user name that has the form of a ticket, where tickets are
    accepted."""
    if rules.tickets is None or not is_ticket_name(user):
        return None
    opened = open_ticket(user, rules.tickets)
    if isinstance(opened, NotGenuine):
        _log.warning("a ticket from %s is not genuine: %s", address, opened.why)
        return TicketDoor(office, _decoy(user, rules), address, rules.guide, genuine=False)
    if opened.key_id not in rules.proxy_keys:
        _log.error("ticket %s needs proxy key %r, which is gone", opened.id, opened.key_id)
    return TicketDoor(office, opened, address, rules.guide)


class TicketDoor:
    """The way in for whoever proves the secret of this ticket. One that is not genuine goes through
    the same exchange, in vain; it is None if not even that much of it can be read."""

    counts_from_first_use = True

    def __init__(
        self,
        office: TicketOffice,
        ticket: Ticket | None,
        address: Address,
        guide: Guide,
        *,
        genuine: bool = True,
    ) -> None:
        self._office = office
        self._ticket = ticket
        self._genuine = genuine
        self._address = address
        self._guide = guide
        self._until = datetime.max.replace(tzinfo=UTC)
        self._session_id = ""

    async def find(self, user: str, database: str) -> list[ProxyLogin]:
        del user, database
        ticket = self._ticket
        if ticket is None:
            return []
        return [
            ProxyLogin(
                name=ticket.login,
                connection_limit=ticket.connection_limit,
                grant=ticket.as_grant(ticket.expires, None),
                key_id=ticket.key_id,
                verifier=ticket.verifier,
            )
        ]

    async def is_banned(self, user: str, candidates: list[ProxyLogin], address: Address) -> bool:
        del user, candidates, address  # addresses are banned before they get here
        return not self._genuine

    async def count_failure(self, user: str, address: Address, rules: ThrottleRules) -> None:
        del user
        await self._office.count_failure(address, rules)

    async def look_again(self, login: ProxyLogin) -> ProxyLogin:
        """Return the login with what is on record here, and with what the ledger says if it can be
        asked. Raises Refusal."""
        use = await self._find_use()
        self._until = await self._admit(use)
        known = await self._office.ask_ledger(login.grant.id)
        match known:
            case Unknown():
                raise await self._closed("the ledger does not know its grant")
            case Grant(sealed=False):
                raise await self._closed("the ledger knows its grant as an ordinary one")
            case Grant() if known.state is not GrantState.ACTIVE:
                return replace(login, grant=known)
            case Grant():
                self._until = min(self._until, known.expires_at)
            case None:
                pass
        return replace(login, grant=self._grant(use))

    async def open_session(self, session: NewSession, grant: Grant, user: str) -> Grant:
        """Start the clock with the first session; write every session down. Raises Refusal."""
        del grant, user
        use = await self._find_use() or await self._begin_use()
        self._until = min(self._until, await self._admit(use))
        granted = self._grant(use)
        if granted.pinned_to not in (None, self._address):
            return granted
        self._session_id = session.id  # on record from here on, even if we are told that it failed
        opened = TicketSessionOpened(
            ticket_id=self._sealed.id,
            grant_id=granted.id,
            person=self._sealed.person,
            session_id=session.id,
            address=session.client_address,
            application=session.client_application,
            certificate=session.client_certificate,
            at=session.started_at,
        )
        try:
            await self._office.append(opened)
        except OSError as error:
            raise _unrecordable(error) from error
        _log.warning(
            "ticket %s of %s from %s: session %s",
            opened.ticket_id,
            opened.person,
            opened.address,
            opened.session_id,
        )
        return granted

    def close_session(self, ended: EndedSession) -> None:
        if self._session_id:
            self._office.end(
                TicketSessionClosed(
                    session_id=ended.id,
                    reason=ended.reason,
                    bytes_from_client=ended.bytes_from_client,
                    bytes_to_client=ended.bytes_to_client,
                    at=ended.ended_at,
                )
            )

    async def record_refusal(self, login: ProxyLogin, address: Address, reason: str) -> None:
        """Nobody gets in by that, so it need not be on the disk for certain, nor each time."""
        del login
        ticket = self._sealed
        refused = TicketRefused(
            ticket_id=ticket.id,
            grant_id=ticket.grant_id,
            person=ticket.person,
            address=address,
            reason=reason,
            at=_now(),
        )
        try:
            await self._office.append_refusal(refused)
        except OSError as error:
            _log.error("ticket %s was refused, which cannot be written down: %s", ticket.id, error)

    async def report_rejected(self, login: ProxyLogin) -> None:
        await self.record_refusal(login, self._address, "the target does not accept its keys")
        await self._office.report_rejected(login.grant.id)

    def bounded(self, grant: Grant) -> Grant:
        """The ledger may not have heard yet that the ticket is used: its clock counts all the
        same."""
        return grant.used_until(self._until)

    @property
    def _sealed(self) -> Ticket:
        assert self._ticket is not None
        return self._ticket

    def _grant(self, use: TicketUse | None) -> Grant:
        return self._sealed.as_grant(self._until, use.address if use is not None else None)

    async def _find_use(self) -> TicketUse | None:
        try:
            return await asyncio.to_thread(self._office.records.find_use, self._sealed.id)
        except OSError as error:
            raise _unrecordable(error) from error

    async def _begin_use(self) -> TicketUse:
        """Start the clock, which the ledger may have started before. Returns the use that is on
        record, which another worker's client may have begun at the same moment."""
        ticket, now = self._sealed, _now()
        use = TicketUse(
            ticket_id=ticket.id,
            grant_id=ticket.grant_id,
            person=ticket.person,
            address=self._address,
            used_at=now,
            until=min(self._until, await self._admit(None)),
            worker_id=self._office.worker_id,
        )
        try:
            return await asyncio.to_thread(self._office.records.begin_use, use)
        except OSError as error:
            raise _unrecordable(error) from error

    async def _admit(self, use: TicketUse | None) -> datetime:
        """Return until when sessions may last. Raises Refusal."""
        decision = admit(self._sealed, use, _now())
        if isinstance(decision, Deny):
            raise await self._closed(decision.reason)
        return decision.until

    async def _closed(self, reason: str) -> Refusal:
        (login,) = await self.find("", "")
        await self.record_refusal(login, self._address, reason)
        return ticket_closed(login.grant, reason, self._guide)


def _decoy(user: str, rules: Rules) -> Ticket | None:
    """Return a ticket that is not genuine with a verifier that nothing matches, but with its own
    salt: the challenge must not tell it from a genuine one."""
    claimed = read_unverified(user)
    if isinstance(claimed, NotGenuine):
        return None
    salt, iterations = claimed.verifier.salt, claimed.verifier.iterations
    mock = mock_verifier(rules.current_key, user)
    return replace(claimed, verifier=replace(mock, salt=salt, iterations=iterations))


def _unrecordable(error: OSError) -> Refusal:
    _log.error("a ticket was refused, since its use cannot be written down: %s", error)
    return ticket_unrecordable()


def _now() -> datetime:
    return datetime.now(UTC)
