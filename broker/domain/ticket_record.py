"""What a proxy writes down about tickets on its own disk, to tell the ledger when that is there."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from broker.domain.network import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketUse:
    """The one use of a ticket: it began with a session from `address` on worker `worker_id`, and
    lasts until `until`."""

    ticket_id: str
    grant_id: str
    person: str
    address: Address
    used_at: datetime
    until: datetime
    worker_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketSessionOpened:
    ticket_id: str
    grant_id: str
    person: str
    session_id: str
    address: Address
    application: str
    certificate: str | None
    at: datetime
    what: Literal["opened"] = "opened"


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketSessionClosed:
    session_id: str
    reason: str
    bytes_from_client: int
    bytes_to_client: int
    at: datetime
    what: Literal["closed"] = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketRefused:
    """Somebody proved that they hold the ticket, and was still not let in."""

    ticket_id: str
    grant_id: str
    person: str
    address: Address
    reason: str
    at: datetime
    what: Literal["refused"] = "refused"


TicketRecord = TicketSessionOpened | TicketSessionClosed | TicketRefused
