"""Which lines of pg_hba.conf are worth a word, for what PostgreSQL's first match makes of them."""

from ipaddress import IPv4Network, IPv6Network

import pytest

from broker.domain.doctor.facts import HbaRule, TargetFacts
from broker.domain.doctor.hba import check_hba
from broker.domain.network import Network

EGRESS: tuple[Network, ...] = (IPv4Network("10.1.2.0/28"), IPv6Network("fd00::/64"))


def rule(
    user: str = "all",
    address: str | None = "all",
    method: str = "scram-sha-256",
    *,
    kind: str = "host",
    databases: tuple[str, ...] = ("all",),
    netmask: str | None = None,
) -> HbaRule:
    return HbaRule(7, kind, databases, (user,), address, netmask, method)


def codes(*rules: HbaRule, egress: tuple[Network, ...] = EGRESS) -> list[str]:
    facts = TargetFacts(
        database="orders",
        login="broker",
        admin="admin",
        restricted=False,
        server_version=180000,
        hba_rules=rules,
        login_groups=frozenset({"everyone"}),
        some_login_groups=frozenset({"everyone", "orders_reader"}),
    )
    return [finding.code for finding in check_hba(facts, egress)]


def within(address: str, netmask: str | None = None, method: str = "scram-sha-256") -> HbaRule:
    return rule(address=address, netmask=netmask, method=method)


@pytest.mark.parametrize(
    "fine",
    [
        within("10.1.2.0", "255.255.255.240"),
        within("10.1.2.3", "255.255.255.255"),
        within("fd00::", "ffff:ffff:ffff:ffff::"),
        within("127.0.0.1", "255.255.255.255"),
        within("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        within("samehost"),
        rule(address=None, kind="local"),
        rule(user="postgres"),
        rule(user="+dba"),
        rule(user="/^app_"),
        rule(databases=("replication",)),
        rule(method="cert"),
        rule(address=None, kind="local", method="peer"),
        rule(method="reject"),
    ],
)
def test_a_rule_that_lets_no_login_in_past_the_proxies_is_fine(fine: HbaRule) -> None:
    assert codes(fine) == []


@pytest.mark.parametrize(
    "wide",
    [
        rule(),
        within("0.0.0.0", "0.0.0.0"),
        within("10.1.0.0", "255.255.0.0"),
        within("::", "::"),
        within("fd00::", "ffff::"),
        within("samenet"),
        within("app.example.com"),
        rule(user="+orders_reader"),
        rule(user="/^jit_"),
        rule(user="/(*unbalanced"),
        rule(user="jit_someone"),
        rule(kind="hostssl"),
        rule(databases=("replication", "orders")),
        HbaRule(7, "host", ("all",), ("postgres", "all"), "all", None, "scram-sha-256"),
    ],
)
def test_a_rule_that_lets_logins_in_from_more_than_the_proxies(wide: HbaRule) -> None:
    assert codes(wide) == ["hba-wide"]


def test_without_egress_only_the_whole_world_is_too_wide() -> None:
    for address, mask in (("all", None), ("0.0.0.0", "0.0.0.0"), ("::", "::")):
        assert codes(within(address, mask), egress=()) == ["hba-wide"]
    for address, mask in (("10.0.0.0", "255.0.0.0"), ("samenet", None), ("a.example.com", None)):
        assert codes(within(address, mask), egress=()) == []


def test_a_refusal_hides_what_comes_after_it() -> None:
    proxies = within("10.1.2.0", "255.255.255.240")
    for refusal in (
        rule(method="reject"),
        rule("+everyone", method="reject"),
        rule("/^jit_", method="reject"),
    ):
        assert codes(proxies, refusal, rule()) == []
        assert codes(rule(), refusal) == ["hba-wide"], "it came too late"


def test_a_refusal_hides_only_what_it_covers() -> None:
    for refusal in (
        rule("+orders_reader", method="reject"),  # not every login has this role
        rule(method="reject", databases=("orders",)),
        rule(method="reject", kind="hostssl"),
        rule(method="reject", kind="local", address=None),
        within("10.0.0.0", "255.0.0.0", method="reject"),
        within("0.0.0.0", "0.0.0.0", method="reject"),  # IPv6 is left
    ):
        assert codes(refusal, rule()) == ["hba-wide"]
    assert codes(rule(method="reject", kind="hostssl"), rule(kind="hostssl")) == []
    local = rule(address=None, kind="local", method="trust")
    assert codes(rule(method="reject"), local) == ["hba-trust"]
    assert codes(rule(address=None, kind="local", method="reject"), local) == []


@pytest.mark.parametrize("kind", ["host", "local"])
def test_trust_is_said_even_for_the_servers_own_machine(kind: str) -> None:
    address = "127.0.0.1" if kind == "host" else None
    assert codes(rule(kind=kind, address=address, method="trust")) == ["hba-trust"]


def test_methods_that_take_worse_than_keys() -> None:
    assert codes(rule(address="samehost", method="password")) == ["hba-password"]
    assert codes(rule(address="samehost", method="md5")) == ["hba-md5"]


def test_lines_are_named() -> None:
    facts = TargetFacts(
        database="orders",
        login="broker",
        admin='ad"min',
        restricted=False,
        server_version=180000,
        hba_rules=(rule(), rule(kind="hostssl")),
    )
    (finding,) = check_hba(facts, ())
    assert finding.sentence.startswith("pg_hba.conf (lines 7, 7) lets logins in from everywhere")
