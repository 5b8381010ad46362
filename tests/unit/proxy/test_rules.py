"""Whose networks and whose times a grant's sessions are held to."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest

from broker.domain.credential import ProxyKey
from broker.domain.grant import Grant, GrantState
from broker.domain.person import Person
from broker.domain.server import ServerAddress, TlsMode
from broker.ledger.bans import ThrottleRules
from proxy.deadlines import SessionRules
from proxy.dial import Upstream
from proxy.ipfilter import Allow, Deny, IpFilter, Layer, NetworkSet
from proxy.refusals import Guide
from proxy.rules import Limits, RoleRules, Rules, TargetRules

HOUR = timedelta(hours=1)
KEY = ProxyKey("k1", bytes(32))


def layer(name: Layer, *allow: str, deny: tuple[str, ...] = ()) -> IpFilter:
    return IpFilter(
        allow=[ip_network(each) for each in allow],
        deny=[ip_network(each) for each in deny],
        layer=name,
    )


def rules(
    *, target: IpFilter, role: IpFilter, own: SessionRules, everybodys: SessionRules
) -> Rules:
    upstream = Upstream(ServerAddress("db.example.com", 5432, "orders", TlsMode.DISABLE))
    roles = {"orders_reader": RoleRules(role, own)}
    return Rules(
        certificates=None,
        tls_required=False,
        networks=layer(Layer.SETTINGS, "0.0.0.0/0"),
        behind=NetworkSet(()),
        targets={"orders": TargetRules(upstream, target, roles)},
        sessions=everybodys,
        proxy_keys={"k1": KEY},
        current_key=KEY,
        throttle=ThrottleRules(20, HOUR, HOUR),
        limits=Limits(1, 1, 1, 1),
        guide=Guide(),
        startup_timeout_s=1.0,
        longest_text=1024,
    )


def grant(role: str = "orders_reader", *networks: str) -> Grant:
    return Grant(
        id="grt_1",
        request_id="req_1",
        person=Person("per_1", "dev@example.com", "A developer"),
        target="orders",
        database="orders",
        role=role,
        state=GrantState.ACTIVE,
        granted_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
        expires_at=datetime(2026, 3, 1, 13, tzinfo=UTC),
        duration=timedelta(hours=1),
        networks=tuple(ip_network(each) for each in networks),
    )


@pytest.mark.parametrize(
    ("address", "asked", "refused_by"),
    [
        ("10.1.2.3", (), None),
        ("10.1.2.3", ("10.1.0.0/16",), None),
        ("10.1.2.3", ("10.2.0.0/16",), Layer.GRANT),
        ("10.9.0.1", (), Layer.ROLE),
        ("192.0.2.1", (), Layer.TARGET),
        ("192.0.2.1", ("192.0.2.0/24",), Layer.TARGET),  # a grant can only narrow
    ],
)
def test_each_layer_can_only_narrow(
    address: str, asked: tuple[str, ...], refused_by: Layer | None
) -> None:
    narrow = rules(
        target=layer(Layer.TARGET, "10.0.0.0/8"),
        role=layer(Layer.ROLE, deny=("10.9.0.0/16",)),
        own=SessionRules(),
        everybodys=SessionRules(),
    )
    decision = narrow.may_come_from(ip_address(address), grant("orders_reader", *asked))
    if refused_by is None:
        assert decision == Allow()
    else:
        assert isinstance(decision, Deny)
        assert decision.layer is refused_by


def test_a_role_that_has_left_the_settings_is_held_to_its_targets_networks() -> None:
    """Its grants live on until their curfew."""
    narrow = rules(
        target=layer(Layer.TARGET, "10.0.0.0/8"),
        role=layer(Layer.ROLE),
        own=SessionRules(idle_timeout=HOUR),
        everybodys=SessionRules(longest=2 * HOUR),
    )
    old = grant("orders_gone")
    assert narrow.may_come_from(ip_address("10.1.2.3"), old) == Allow()
    assert isinstance(narrow.may_come_from(ip_address("192.0.2.1"), old), Deny)
    assert narrow.sessions_of(old) == SessionRules(longest=2 * HOUR)


def test_a_roles_own_times_come_before_everybodys() -> None:
    strict = rules(
        target=layer(Layer.TARGET),
        role=layer(Layer.ROLE),
        own=SessionRules(idle_timeout=HOUR),
        everybodys=SessionRules(idle_timeout=2 * HOUR, longest=8 * HOUR, warn_before=(HOUR,)),
    )
    assert strict.sessions_of(grant()) == SessionRules(
        idle_timeout=HOUR, longest=8 * HOUR, warn_before=(HOUR,)
    )
