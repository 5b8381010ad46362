"""Which rules of pg_hba.conf let our logins in, and from where.

The first rule that fits a connection decides, so one that refuses hides what comes after it for the
same addresses. Only methods that matter to a login with a password are looked at: the others (peer,
cert, ldap …) want somebody of the login's name elsewhere, and nobody has such a name.
https://www.postgresql.org/docs/current/auth-pg-hba-conf.html
"""

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

from broker.domain.doctor.facts import HbaRule, TargetFacts
from broker.domain.doctor.finding import Finding, note, risk
from broker.domain.network import Network
from broker.domain.sqltext import ident

_A_LOGIN = "jit_someone_some_role_0123456789abcdef"
_WORLD: tuple[Network, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
_LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
_PASSWORDS = ("scram-sha-256", "md5", "password")


def check_hba(facts: TargetFacts, egress: tuple[Network, ...]) -> Iterator[Finding]:
    if facts.hba_rules is None:
        yield note(
            "hba-unreadable",
            f"{facts.admin} may not read the rules of pg_hba.conf, so they are not checked. Where "
            "the service lets nobody read them, check that only the proxies get in",
            f"GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() TO {ident(facts.admin)}",
            f"GRANT SELECT ON pg_catalog.pg_hba_file_rules TO {ident(facts.admin)}",
        )
        return
    rules = tuple(_that_count(facts))
    yield from _check_methods(rules)
    yield from _check_addresses(rules, egress)


def _check_methods(rules: tuple[HbaRule, ...]) -> Iterator[Finding]:
    if trusting := [each for each in rules if each.method == "trust"]:
        yield risk(
            "hba-trust",
            f"{_lines(trusting)} lets anybody in who knows the name of a login, without its "
            "password: neither its keys nor the end of its grant (VALID UNTIL) count there",
        )
    if plain := [each for each in rules if each.method == "password"]:
        yield risk(
            "hba-password",
            f"{_lines(plain)} asks for passwords in clear text, which the proxy never sends: "
            "sessions that it decides fail. Use scram-sha-256",
        )
    if md5 := [each for each in rules if each.method == "md5"]:
        yield note(
            "hba-md5",
            f"{_lines(md5)} says md5: it works, but takes MD5 passwords too. Use scram-sha-256",
        )


def _check_addresses(rules: tuple[HbaRule, ...], egress: tuple[Network, ...]) -> Iterator[Finding]:
    remote = [each for each in rules if each.address is not None and each.method in _PASSWORDS]
    if egress:
        wide = [each for each in remote if not _is_within(each, (*egress, *_LOOPBACK))]
        where = ", ".join(map(str, egress))
        said = f"from more than the proxies ({where}, proxy.egress)"
    else:
        wide = [each for each in remote if set(_networks(each)) & set(_WORLD)]
        said = "from everywhere. Name your proxies' addresses as proxy.egress to have them checked"
    if wide:
        yield risk(
            "hba-wide",
            f"{_lines(wide)} lets logins in {said}. Whoever learns a login's keys, or gives it a "
            "password, gets past the proxy",
        )


def _that_count(facts: TargetFacts) -> Iterator[HbaRule]:
    """Yield the rules that decide about some connection of a login of ours, refusals left out."""
    refused: list[HbaRule] = []
    for rule in facts.hba_rules or ():
        if not _fits(rule, facts.some_login_groups) or rule.databases == ("replication",):
            continue
        if any(_hides(each, rule) for each in refused):
            continue
        if rule.method != "reject":
            yield rule
        elif "all" in rule.databases and _fits(rule, facts.login_groups):
            refused.append(rule)


def _fits(rule: HbaRule, groups: Iterable[str]) -> bool:
    known = frozenset(groups)
    return any(_user_fits(user, known) for user in rule.users)


def _user_fits(user: str, groups: frozenset[str]) -> bool:
    if user.startswith("+"):
        return user[1:] in groups
    if user.startswith("/"):
        try:
            return re.search(user[1:], _A_LOGIN) is not None
        except re.error:  # PostgreSQL's expressions know more than Python's
            return True
    return user == "all" or user.startswith("jit_")


def _hides(refusal: HbaRule, rule: HbaRule) -> bool:
    if refusal.kind not in ("host", rule.kind) or (rule.kind == "local") != (
        refusal.kind == "local"
    ):
        return False
    return rule.kind == "local" or _is_within(rule, _networks(refusal))


def _is_within(rule: HbaRule, places: Iterable[Network]) -> bool:
    wanted, around = _networks(rule), tuple(places)
    if rule.address == "samehost":
        return True  # the server's own addresses
    return bool(wanted) and all(
        any(_covers(place, network) for place in around) for network in wanted
    )


def _covers(place: Network, network: Network) -> bool:
    if isinstance(place, IPv4Network):
        return isinstance(network, IPv4Network) and network.subnet_of(place)
    return isinstance(network, IPv6Network) and network.subnet_of(place)


def _networks(rule: HbaRule) -> tuple[Network, ...]:
    """Return what the address stands for; nothing if it is a name, which only the server knows."""
    if rule.address == "all":
        return _WORLD
    try:
        mask = _prefix(rule.netmask)
        return (ip_network(f"{rule.address}{mask}", strict=False),)
    except ValueError:
        return ()


def _prefix(netmask: str | None) -> str:
    if netmask is None:
        return ""
    if ":" in netmask:  # ipaddress takes no IPv6 masks
        return f"/{int(ip_network(netmask).network_address).bit_count()}"
    return f"/{netmask}"


def _lines(rules: list[HbaRule]) -> str:
    numbers = ", ".join(str(each.line) for each in rules)
    return f"pg_hba.conf ({'lines' if len(rules) > 1 else 'line'} {numbers})"
