"""A sealed ticket: access that a proxy gives while the broker, the ledger and all else are down.

The client's user name carries the whole ticket, and its password is the ticket's secret:

    "ticket." ‖ base64url(payload ‖ Ed25519 signature over "pgcurfew ticket" ‖ payload)
    payload = fixed part (version, times, SCRAM verifier of the secret)
              ‖ conditions, if flagged ‖ names ‖ networks

So a proxy needs nothing but the public key, its own proxy key and its own record of uses. What the
payload says is read only once its signature holds.
"""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from struct import Struct

from broker.domain.credential import Verifier
from broker.domain.errors import TicketTooLong
from broker.domain.grant import Grant, GrantState
from broker.domain.network import Address, Network
from broker.domain.person import Person
from broker.domain.statement.conditions import NO_CONDITIONS, Conditions
from broker.domain.statement.packed import SIZE, pack, unpack
from broker.domain.ticket_record import TicketUse

Sign = Callable[[bytes], bytes]
"""Returns the Ed25519 signature of a message."""
Verify = Callable[[bytes, bytes], bool]
"""Says whether the first argument is one of our keys' signature of the second."""

PREFIX = "ticket."
# Some drivers repeat the user name in their first SASL message, which may have 1,024 bytes.
MAX_BYTES = 600
MAX_NAME_CHARS = len(PREFIX) + MAX_BYTES * 4 // 3
_SIGNATURE_BYTES = 64
_SIGNED_AS = b"pgcurfew ticket\0"  # so that no other message under this key passes for a ticket
_VERSION = 1
# No stable user name looks like one: it has dots between person, target and role.
_NAME = re.compile(rf"{re.escape(PREFIX)}([A-Za-z0-9_-]{{1,{MAX_NAME_CHARS - len(PREFIX)}}})")
# Version, flags, not before, expires, length of access in seconds, connection limit; then the
# verifier: iterations, salt, StoredKey, ServerKey.
_FIXED = Struct(">BBIIIHI16s32s32s")
_PINNED = 1
_CONDITIONED = 2  # a proxy that does not know of conditions refuses the ticket
_NAMES = ("id", "grant_id", "login", "person", "target", "database", "role", "key_id")
_ID = re.compile(r"tkt_[0-9a-z]{16}")  # proxies name files by it
_BITS = {4: 32, 6: 128}
# Another machine's clock may be a little ahead of the proxy's.
_EARLY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What the operator sealed: `role` on `target` for `person`, whose login exists already.

    Its first use must come before `expires`; access then lasts for `access`, but never beyond
    `expires`. `key_id` names the proxy key that opens the login together with the secret. With
    `pin_address` all sessions come from the address of the first.
    """

    id: str
    grant_id: str
    login: str
    person: str
    target: str
    database: str
    role: str
    key_id: str
    networks: tuple[Network, ...]
    not_before: datetime
    expires: datetime
    access: timedelta
    connection_limit: int
    verifier: Verifier
    pin_address: bool = False
    conditions: Conditions = NO_CONDITIONS

    def as_grant(self, until: datetime, pinned_to: Address | None) -> Grant:
        """Return the grant as far as the ticket knows it, with `until` as its curfew."""
        return Grant(
            id=self.grant_id,
            request_id="",
            person=Person("", self.person, self.person),
            target=self.target,
            database=self.database,
            role=self.role,
            state=GrantState.ACTIVE,
            granted_at=self.not_before,
            expires_at=until,
            duration=self.access,
            networks=self.networks,
            pin_address=self.pin_address,
            pinned_to=pinned_to if self.pin_address else None,
            sealed=True,
            conditions=self.conditions,
        )


@dataclass(frozen=True, slots=True)
class NotGenuine:
    """No ticket of ours. Why is for operators: the client is told of a wrong secret."""

    why: str


@dataclass(frozen=True, slots=True)
class Allow:
    """Sessions may go on until then."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Deny:
    reason: str


def is_ticket_name(user: str) -> bool:
    """Say whether this user name has the form of a ticket."""
    return _NAME.fullmatch(user) is not None


def seal(ticket: Ticket, sign: Sign) -> str:
    """Return the user name that carries the ticket. Raises TicketTooLong."""
    payload = encode(ticket)
    return PREFIX + _text(payload + sign(_SIGNED_AS + payload))


def open_ticket(user: str, is_genuine: Verify) -> Ticket | NotGenuine:
    """Return the ticket that a user name carries, if one of our keys has signed it."""
    match = _NAME.fullmatch(user)
    data = _data(match[1]) if match else None
    if data is None:
        return NotGenuine("it does not have the form of a ticket")
    payload, signature = data[:-_SIGNATURE_BYTES], data[-_SIGNATURE_BYTES:]
    if not is_genuine(signature, _SIGNED_AS + payload):
        return NotGenuine("none of our keys has signed it")
    return _decoded(payload)


def read_unverified(user: str) -> Ticket | NotGenuine:
    """Return what a ticket says, to whoever holds it. Nobody may be let in by that."""
    return open_ticket(user, lambda _signature, _message: True)


def encode(ticket: Ticket) -> bytes:
    """Return the payload. Raises TicketTooLong."""
    verifier = ticket.verifier
    conditioned = ticket.conditions != NO_CONDITIONS
    parts = [
        _FIXED.pack(
            _VERSION,
            (_PINNED if ticket.pin_address else 0) | (_CONDITIONED if conditioned else 0),
            int(ticket.not_before.timestamp()),
            int(ticket.expires.timestamp()),
            int(ticket.access.total_seconds()),
            ticket.connection_limit,
            verifier.iterations,
            verifier.salt,
            verifier.stored_key,
            verifier.server_key,
        )
    ]
    if conditioned:
        parts.append(pack(ticket.conditions))
    for name in _NAMES:
        text = getattr(ticket, name).encode()
        parts.append(len(text).to_bytes(2) + text)
    parts += [
        bytes((network.version, network.prefixlen)) + network.network_address.packed
        for network in ticket.networks
    ]
    payload = b"".join(parts)
    if len(payload) + _SIGNATURE_BYTES > MAX_BYTES:
        raise TicketTooLong(len(payload) + _SIGNATURE_BYTES, MAX_BYTES)
    return payload


def admit(ticket: Ticket, use: TicketUse | None, now: datetime) -> Allow | Deny:
    """Say until when somebody who has proved the secret may come in. `use` is what is on record."""
    if use is not None:
        if now < use.used_at - _EARLY:  # else a clock that is set back would give more time
            return Deny(f"it was used at {_moment(use.used_at)}, which is still to come here")
        if now < use.until:
            return Allow(use.until)
        return Deny(
            f"it was used at {_moment(use.used_at)} from {use.address}, for access until "
            f"{_moment(use.until)}"
        )
    if now < ticket.not_before - _EARLY:
        return Deny(f"it is valid from {_moment(ticket.not_before)} on")
    if now >= ticket.expires:
        return Deny(f"it was valid until {_moment(ticket.expires)}")
    return Allow(min(now + ticket.access, ticket.expires))


class _Malformed(ValueError):
    """Our key signed something that this version cannot read."""


def _decoded(payload: bytes) -> Ticket | NotGenuine:
    try:
        return _decode(payload)
    except ValueError as error:  # UnicodeDecodeError is one, and so is what no network makes
        return NotGenuine(f"what is signed there cannot be read: {error}")


def _decode(payload: bytes) -> Ticket:
    if len(payload) < _FIXED.size:
        raise _Malformed("it is too short")
    version, flags, not_before, expires, access, limit, *rest = _FIXED.unpack_from(payload)
    if version != _VERSION or flags & ~(_PINNED | _CONDITIONED):
        raise _Malformed(f"version {version}, flags {flags}")
    iterations, salt, stored_key, server_key = rest
    names, place, conditions = {}, _FIXED.size, NO_CONDITIONS
    if flags & _CONDITIONED:
        conditions = unpack(payload[place : place + SIZE])
        place += SIZE
    for name in _NAMES:
        text, place = _next_text(payload, place)
        names[name] = text
    if not _ID.fullmatch(names["id"]):
        raise _Malformed("it has no proper id")
    return Ticket(
        **names,
        networks=_networks(payload[place:]),
        not_before=datetime.fromtimestamp(not_before, UTC),
        expires=datetime.fromtimestamp(expires, UTC),
        access=timedelta(seconds=access),
        connection_limit=limit,
        verifier=Verifier(salt, iterations, stored_key, server_key),
        pin_address=bool(flags & _PINNED),
        conditions=conditions,
    )


def _next_text(payload: bytes, place: int) -> tuple[str, int]:
    begin = place + 2
    end = begin + int.from_bytes(payload[place:begin])
    if end > len(payload) or begin > len(payload):
        raise _Malformed("it ends in the middle of a name")
    return payload[begin:end].decode(), end


def _networks(data: bytes) -> tuple[Network, ...]:
    found: list[Network] = []
    while data:
        bits = _BITS.get(data[0])
        if bits is None or len(data) < 2 + bits // 8:
            raise _Malformed("it ends in something that is no network")
        address, data = data[: 2 + bits // 8], data[2 + bits // 8 :]
        found.append(ip_network((address[2:], address[1])))
    return tuple(found)


def _data(text: str) -> bytes | None:
    """Decode base64url strictly: two texts never mean the same bytes."""
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return None
    return data if _text(data) == text else None


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
