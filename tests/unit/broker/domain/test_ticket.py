"""Sealed tickets: what is in one comes out again, and nothing else ever does."""

from base64 import urlsafe_b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.domain.credential import Verifier
from broker.domain.errors import TicketTooLong
from broker.domain.grant import GrantState
from broker.domain.network import Network
from broker.domain.statement.conditions import NO_CONDITIONS, Conditions, StatementKind
from broker.domain.ticket import (
    MAX_BYTES,
    MAX_NAME_CHARS,
    PREFIX,
    Allow,
    Deny,
    NotGenuine,
    Ticket,
    admit,
    encode,
    is_ticket_name,
    open_ticket,
    read_unverified,
    seal,
)
from broker.domain.ticket_record import TicketUse

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ADDRESS = ip_address("192.0.2.7")
TICKET = Ticket(
    id="tkt_06gzmmd8rpkyccz1",
    grant_id="grt_06gzmmd8styysn6k",
    login="jit_alice_orders_reader_06gzmmd8styysn6k",
    person="alice@example.com",
    target="orders",
    database="Bestellungen für alle",
    role="orders_reader",
    key_id="k1",
    networks=(ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"), ip_network("192.0.2.7")),
    not_before=NOON,
    expires=NOON + 90 * DAY,
    access=2 * HOUR,
    connection_limit=10,
    verifier=Verifier(b"s" * 16, 4096, b"t" * 32, b"v" * 32),
)
CONDITIONS = Conditions(max_rows=100, refused=frozenset({StatementKind.DDL}))
SIZE = len(seal(TICKET, KEY.sign)) - len(PREFIX)


def genuine(signature: bytes, message: bytes) -> bool:
    try:
        KEY.public_key().verify(signature, message)
    except InvalidSignature:
        return False
    return True


def used(since: datetime, until: datetime) -> TicketUse:
    return TicketUse(
        ticket_id=TICKET.id,
        grant_id=TICKET.grant_id,
        person=TICKET.person,
        address=ADDRESS,
        used_at=since,
        until=until,
        worker_id="wrk_1",
    )


def signed(payload: bytes) -> str:
    """Return a ticket whose signature holds, whatever the payload says."""
    data = payload + KEY.sign(b"pgcurfew ticket\0" + payload)
    return PREFIX + urlsafe_b64encode(data).decode().rstrip("=")


def why_not(user: str) -> str:
    opened = open_ticket(user, genuine)
    assert isinstance(opened, NotGenuine)
    return opened.why


@pytest.mark.parametrize(
    "ticket",
    [
        TICKET,
        replace(TICKET, pin_address=True),
        replace(TICKET, networks=()),
        replace(TICKET, connection_limit=10_000, access=timedelta(days=1)),
        replace(TICKET, conditions=CONDITIONS),
        replace(TICKET, conditions=CONDITIONS, pin_address=True, networks=()),
    ],
    ids=["usual", "pinned", "from anywhere", "large numbers", "conditioned", "conditioned, pinned"],
)
def test_what_is_sealed_is_what_a_proxy_reads(ticket: Ticket) -> None:
    user = seal(ticket, KEY.sign)
    assert is_ticket_name(user)
    assert open_ticket(user, genuine) == ticket
    assert read_unverified(user) == ticket


@settings(max_examples=40)
@given(
    networks=st.lists(st.ip_addresses().map(ip_network), max_size=8),
    person=st.text(max_size=60),
    seconds=st.integers(1, 2**31),
)
def test_any_ticket_survives_the_way(networks: list[Network], person: str, seconds: int) -> None:
    ticket = replace(
        TICKET, networks=tuple(networks), person=person, access=timedelta(seconds=seconds)
    )
    try:
        user = seal(ticket, KEY.sign)
    except (TicketTooLong, UnicodeEncodeError):
        return
    assert open_ticket(user, genuine) == ticket


@given(place=st.integers(0, SIZE * 8 - 1))
def test_a_single_flipped_bit_is_refused(place: int) -> None:
    """Of the text, bits that mean nothing to base64 included."""
    text = bytearray(seal(TICKET, KEY.sign).encode())
    text[len(PREFIX) + place // 8] ^= 1 << place % 8
    assert isinstance(open_ticket(text.decode("latin-1"), genuine), NotGenuine)


def test_every_bit_of_the_last_character_counts() -> None:
    """Two or four of its bits are no data, and would make several texts of one ticket."""
    for length in range(3):
        user = seal(replace(TICKET, key_id="k" * (1 + length)), KEY.sign)
        others = {user[:-1] + chr(other) for other in range(33, 127)} - {user}
        assert not any(isinstance(open_ticket(other, genuine), Ticket) for other in others)


@given(st.text(max_size=1000))
def test_no_other_text_is_a_ticket(text: str) -> None:
    assert isinstance(open_ticket(text, genuine), NotGenuine)
    assert isinstance(open_ticket(PREFIX + text, genuine), NotGenuine)


@given(st.binary(max_size=500))
def test_whatever_is_signed_is_a_ticket_or_refused(payload: bytes) -> None:
    assert isinstance(open_ticket(signed(payload), genuine), Ticket | NotGenuine)


@given(st.integers(0, len(encode(TICKET)) - 1))
def test_a_payload_cut_short_is_no_ticket_or_has_fewer_networks(length: int) -> None:
    opened = open_ticket(signed(encode(TICKET)[:length]), genuine)
    if isinstance(opened, Ticket):
        assert opened == replace(TICKET, networks=TICKET.networks[: len(opened.networks)])


def test_the_signature_of_another_key_or_of_something_else_is_none() -> None:
    assert why_not(seal(TICKET, OTHER_KEY.sign)) == "none of our keys has signed it"
    bare = seal(TICKET, lambda message: KEY.sign(message.removeprefix(b"pgcurfew ticket\0")))
    assert why_not(bare) == "none of our keys has signed it"


def test_a_stable_user_name_is_never_taken_for_a_ticket() -> None:
    """Even that of somebody who is called ticket."""
    assert not is_ticket_name("ticket.orders.orders_reader")
    assert why_not("ticket.orders.orders_reader") == "it does not have the form of a ticket"


@pytest.mark.parametrize(
    "user",
    [
        "ticket.",
        "ticket.a",
        "Ticket.AAAA",
        "ticket.AA AA",
        "ticket.AAA=",
        "ticket.AA+/",
        "ticket.AAAA\n",
        PREFIX + "A" * (MAX_NAME_CHARS - len(PREFIX) + 1),
    ],
)
def test_decoding_is_strict(user: str) -> None:
    assert isinstance(open_ticket(user, lambda *_: True), NotGenuine)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "it is too short"),
        (b"\2" + encode(TICKET)[1:], "version 2, flags 0"),
        (b"\1\4" + encode(TICKET)[2:], "version 1, flags 4"),
        (encode(replace(TICKET, conditions=CONDITIONS))[:120], "its conditions are cut short"),
        (encode(replace(TICKET, id="tkt_../../etc/passw")), "it has no proper id"),
        (encode(TICKET)[:-1], "it ends in something that is no network"),
        (encode(TICKET) + b"\5", "it ends in something that is no network"),
        (encode(TICKET) + b"\4\x08\x0a\1\0\0", "10.1.0.0/8 has host bits set"),
        (encode(TICKET) + b"\4\x21\0\0\0\0", ""),  # worded by ipaddress
        (encode(TICKET)[:120], "it ends in the middle of a name"),
        (encode(TICKET).replace(b"alice", b"\xff\xff\xff\xff\xff"), "can't decode"),
    ],
)
def test_what_a_newer_version_or_a_fault_has_signed_is_refused(payload: bytes, why: str) -> None:
    said = why_not(signed(payload))
    assert said.startswith("what is signed there cannot be read: ")
    assert why in said


def test_a_ticket_has_room_in_every_protocol_message_or_is_not_made() -> None:
    many = replace(TICKET, networks=tuple(ip_network((n << 8, 24)) for n in range(100)))
    with pytest.raises(TicketTooLong, match="name fewer networks"):
        seal(many, KEY.sign)
    assert MAX_BYTES * 4 // 3 + len(PREFIX) == MAX_NAME_CHARS < 1024 - 100


def test_the_first_use_starts_the_clock() -> None:
    now = NOON + DAY
    assert admit(TICKET, None, now) == Allow(now + 2 * HOUR)


def test_access_never_outlives_the_ticket() -> None:
    assert admit(TICKET, None, TICKET.expires - HOUR) == Allow(TICKET.expires)


def test_more_sessions_of_the_same_use_are_welcome_until_its_end() -> None:
    use = used(NOON + HOUR, NOON + 3 * HOUR)
    assert admit(TICKET, use, NOON + 3 * HOUR - timedelta(seconds=1)) == Allow(use.until)


@pytest.mark.parametrize(
    ("use", "now", "reason"),
    [
        (
            used(NOON + HOUR, NOON + 3 * HOUR),
            NOON + 3 * HOUR,
            "it was used at 2026-03-01 13:00:00 UTC from 192.0.2.7, for access until "
            "2026-03-01 15:00:00 UTC",
        ),
        (None, TICKET.expires, "it was valid until 2026-05-30 12:00:00 UTC"),
        (None, NOON - 2 * HOUR, "it is valid from 2026-03-01 12:00:00 UTC on"),
        (
            used(NOON + HOUR, NOON + 3 * HOUR),
            NOON + HOUR - timedelta(minutes=2),
            "it was used at 2026-03-01 13:00:00 UTC, which is still to come here",
        ),
    ],
    ids=["used up", "expired", "not yet", "clock set back"],
)
def test_a_ticket_opens_once_and_in_its_time(
    use: TicketUse | None, now: datetime, reason: str
) -> None:
    assert admit(TICKET, use, now) == Deny(reason)


def test_a_broker_whose_clock_is_a_little_ahead_seals_usable_tickets() -> None:
    assert isinstance(admit(TICKET, None, NOON - timedelta(seconds=59)), Allow)


def test_a_ticket_gives_what_its_grant_does() -> None:
    grant = TICKET.as_grant(NOON + HOUR, ADDRESS)
    assert (grant.id, grant.state, grant.sealed) == (TICKET.grant_id, GrantState.ACTIVE, True)
    assert (grant.target, grant.database, grant.role) == (
        TICKET.target,
        TICKET.database,
        TICKET.role,
    )
    assert (grant.expires_at, grant.networks) == (NOON + HOUR, TICKET.networks)
    assert grant.person.email == "alice@example.com"
    assert (grant.pin_address, grant.pinned_to) == (False, None)
    assert grant.conditions == NO_CONDITIONS
    held_to = replace(TICKET, conditions=CONDITIONS).as_grant(NOON + HOUR, ADDRESS).conditions
    assert held_to == CONDITIONS


def test_a_pinned_ticket_stays_where_its_use_began() -> None:
    grant = replace(TICKET, pin_address=True).as_grant(NOON + HOUR, ADDRESS)
    assert (grant.pin_address, grant.pinned_to) == (True, ADDRESS)


def test_a_ticket_shows_no_verifier() -> None:
    assert "tttt" not in repr(TICKET)
