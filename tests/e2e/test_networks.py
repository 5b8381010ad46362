"""From where people get in: PROXY protocol, networks of roles and grants, pins, bans, reload."""

import contextlib
import socket
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import psycopg
import pytest

from tests.support.cable import Cable, lay_cable
from tests.support.people import HOUR
from tests.support.servers import Server
from tests.support.service import Access, Service, run_service, wait_for
from tests.support.stage import DEV, REVIEWER, Stage, set_up_apart

pytestmark = pytest.mark.newest

PEOPLE = (DEV, REVIEWER)
_FAILURES = 4


def _v1(source: str) -> bytes:
    family = "TCP6" if ":" in source else "TCP4"
    own = "::1" if ":" in source else "127.0.0.1"
    return f"PROXY {family} {source} {own} 54321 7432\r\n".encode()


def _v2(source: str) -> bytes:
    address = ip_network(source).network_address.packed
    body = address + bytes(len(address)) + (54321).to_bytes(2) + (7432).to_bytes(2)
    family = 0x11 if len(address) == 4 else 0x21
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x21, family]) + len(body).to_bytes(2) + body


@pytest.fixture(scope="module")
def behind(
    server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Cable]]:
    """A service behind a load balancer that speaks the PROXY protocol."""
    with set_up_apart(server, tmp_path_factory.mktemp("behind")) as stage:
        orders = stage.settings()["targets"]["orders"]
        roles = {
            "orders_reader": {},
            "orders_writer": {"networks": {"allow": ["10.2.0.0/16"]}},
            "orders_owner": {"pin_address": True},
        }
        proxy = {
            "behind": ["127.0.0.1/32"],
            "networks": {"allow": ["10.0.0.0/8", "2001:db8::/32", "127.0.0.0/8"]},
            "throttle": {"failures": _FAILURES},
            "workers": 2,  # which must agree
        }
        targets = {"orders": {**orders, "roles": roles}}
        with (
            run_service(stage, PEOPLE, proxy=proxy, targets=targets) as service,
            lay_cable("127.0.0.1", service.proxy_port) as cable,
        ):
            yield service, cable


def _connect(
    access: Access, cable: Cable, header: bytes, **parameters: str
) -> "psycopg.Connection[tuple[Any, ...]]":
    cable.preamble = header
    return access.connect(port=str(cable.port), **parameters)


def _said(access: Access, cable: Cable, source: str, **parameters: str) -> str:
    """Return why somebody from this address is not let in, or "" if they are."""
    try:
        _connect(access, cable, _v1(source), **parameters).close()
    except psycopg.OperationalError as refusal:
        return str(refusal)
    return ""


def _refused(access: Access, cable: Cable, source: str, **parameters: str) -> str:
    said = _said(access, cable, source, **parameters)
    assert said, "it was let in"
    return said


@pytest.mark.parametrize("header", [_v1, _v2])
@pytest.mark.parametrize("client", ["10.1.2.3", "2001:db8::7"])
async def test_behind_a_load_balancer_the_real_address_counts(
    behind: tuple[Service, Cable], header: Any, client: str
) -> None:
    service, cable = behind
    access = await service.get_access()
    with _connect(access, cable, header(client)) as session:
        assert session.execute("SHOW application_name").fetchone() == (
            f"{access.grant.id} {client}",
        )
    recorded = await service.stage.query_ledger(
        "SELECT client_address FROM curfew.sessions WHERE grant_id = $1", access.grant.id
    )
    assert recorded == client


async def test_a_health_check_of_the_balancer_is_no_client(behind: tuple[Service, Cable]) -> None:
    """LOCAL: the sender speaks for itself; it may also just connect and leave."""
    service, cable = behind
    access = await service.get_access()
    local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
    with _connect(access, cable, local) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)
    socket.create_connection(("127.0.0.1", service.proxy_port)).close()


async def test_without_its_header_a_balancers_connection_is_closed(
    behind: tuple[Service, Cable],
) -> None:
    service, _cable = behind
    access = await service.get_access()
    with pytest.raises(psycopg.OperationalError, match="server closed the connection"):
        access.connect()
    assert "malformed PROXY protocol header" in service.log.read_text()


async def test_from_others_a_header_is_refused(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.proxy_port)) as stranger:
        stranger.sendall(_v1("10.1.2.3"))
        # Unread bytes make the kernel reset the connection, sometimes before the error is out.
        with contextlib.suppress(ConnectionResetError):
            answer = stranger.makefile("rb").read()
            assert b"C08P01\0" in answer
    why = "a PROXY protocol header, from a network that proxy.behind does not name"
    assert f"closed a connection from 127.0.0.1: {why}" in service.log.read_text()


async def test_the_global_lists_hold_for_the_real_address(behind: tuple[Service, Cable]) -> None:
    service, cable = behind
    access = await service.get_access()
    said = _refused(access, cable, "203.0.113.9")
    assert "FATAL:  no access from this address" in said
    assert "DETAIL:  Your address is 203.0.113.9." in said


async def test_a_roles_networks_narrow_what_the_proxy_allows(
    behind: tuple[Service, Cable],
) -> None:
    service, cable = behind
    access = await service.get_access("orders_writer")
    with _connect(access, cable, _v1("10.2.0.7")) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)
    said = _refused(access, cable, "10.1.0.7")
    assert 'Your address is 10.1.0.7, which role "orders_writer" does not allow.' in said
    assert "password authentication failed" in _refused(
        access, cable, "10.1.0.7", password="0" * 26
    ), "only who holds the secret is told"


async def test_a_grant_may_have_networks_of_its_own(behind: tuple[Service, Cable]) -> None:
    service, cable = behind
    async with service.client(DEV) as dev, service.client(REVIEWER) as reviewer:
        asked = await dev.request(
            "orders",
            "orders_reader",
            duration=HOUR,
            reason="a test",
            networks=[ip_network("10.1.0.0/16")],
        )
        grant = (await reviewer.approve(asked.id)).given
        access = service.access_of(grant, await dev.hand_out(grant.id))
    with _connect(access, cable, _v1("10.1.0.7")) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)
    said = _refused(access, cable, "10.2.0.7")
    assert f"Your address is 10.2.0.7, which grant {grant.id} does not allow." in said
    assert "HINT:  Connect from 10.1.0.0/16." in said
    why = await service.stage.query_ledger(
        "SELECT data ->> 'reason' FROM curfew.audit_events "
        "WHERE kind = 'session.refused' AND grant_id = $1",
        grant.id,
    )
    assert "10.2.0.7" in why


async def test_a_pinned_grant_belongs_to_the_first_address(behind: tuple[Service, Cable]) -> None:
    service, cable = behind
    access = await service.get_access("orders_owner")  # its role says pin_address
    with _connect(access, cable, _v1("10.1.0.7")) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)
        with _connect(access, cable, _v1("10.1.0.7")) as second:
            assert second.execute("SELECT 1").fetchone() == (1,)
    said = _refused(access, cable, "10.1.0.8")
    assert f"grant {access.grant.id} is held to 10.1.0.7" in said


async def test_too_many_wrong_secrets_ban_an_address_and_nobody_else(
    behind: tuple[Service, Cable],
) -> None:
    service, cable = behind
    access = await service.get_access()
    user = "jit_dev_orders_reader_0000000000000000"
    for number in range(_FAILURES):
        _refused(access, cable, "10.3.0.1", user=f"{user}{number}", password="0" * 26)
    why = "Too many wrong secrets came from 10.3.0.1."
    wait_for(lambda: all(why in _said(access, cable, "10.3.0.1") for _ in range(6)))
    with _connect(access, cable, _v1("10.3.0.2")) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)
    event = await service.stage.query_ledger(
        "SELECT data ->> 'failures' FROM curfew.audit_events "
        "WHERE kind = 'ban.begun' AND data ->> 'whom' = 'address 10.3.0.1'"
    )
    assert int(event) == _FAILURES


async def test_a_banned_login_still_opens_to_who_has_used_it_before(
    behind: tuple[Service, Cable],
) -> None:
    """Or else anybody who knows a user name could lock its person out."""
    service, cable = behind
    access = await service.get_access()
    _connect(access, cable, _v1("10.4.0.1")).close()
    for number in range(_FAILURES):
        _refused(access, cable, f"10.5.0.{number}", password="0" * 26)
    # The right secret does not help from elsewhere.
    why, strangers = "password authentication failed", (f"10.7.0.{n}" for n in range(256))
    wait_for(lambda: all(why in _said(access, cable, next(strangers)) for _ in range(6)))
    with _connect(access, cable, _v1("10.4.0.1")) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


async def test_whoever_gets_in_was_not_guessing(behind: tuple[Service, Cable]) -> None:
    service, cable = behind
    access = await service.get_access()
    for _ in range(3):
        for _ in range(_FAILURES - 1):
            _refused(access, cable, "10.6.0.1", password="0" * 26)
        _connect(access, cable, _v1("10.6.0.1")).close()


async def test_new_lists_are_taken_up_without_a_restart(stage: Stage) -> None:
    blocked = stage.folder / "blocked.txt"
    blocked.write_text("# nobody yet\n")
    lists = {"networks": {"deny_files": ["blocked.txt"]}}
    with run_service(stage, PEOPLE, proxy=lists) as service:
        access = await service.get_access()
        with access.connect() as session:
            blocked.write_text("127.0.0.0/8\n")
            service.reload()
            with pytest.raises(psycopg.OperationalError, match="no access from this address"):
                access.connect()
            assert session.execute("SELECT 1").fetchone() == (1,), "who is in stays in"
        blocked.write_text("not a network\n")
        service.reload("the old ones stay")
        assert "blocked.txt, line 1: 'not a network'" in service.log.read_text()
        with pytest.raises(psycopg.OperationalError, match="no access from this address"):
            access.connect()


async def test_a_list_that_cannot_be_used_ends_the_start(stage: Stage) -> None:
    (stage.folder / "allowed.txt").write_text("10.0.0.0/8\n10.0.0.1/8\n")
    lists = {"networks": {"allow_files": ["allowed.txt"]}}
    wanted = r"allowed.txt, line 2: '10.0.0.1/8'"
    with pytest.raises(AssertionError, match=wanted), run_service(stage, PEOPLE, proxy=lists):
        pass
