"""Logins that live on the server, and servers that follow it."""

from collections.abc import Iterator

from broker.domain.bootstrap.script import LIMITED_FROM
from broker.domain.doctor.facts import Expectations, TargetFacts
from broker.domain.doctor.finding import Finding, blocks, note, risk, some
from broker.domain.sqltext import ident

# From 16 on GRANT and DROP cost about 2 ms per thousand logins that one admin role holds.
MANY_LOGINS = 2000


def check_life(facts: TargetFacts, expected: Expectations) -> Iterator[Finding]:
    yield from _check_logins(facts, expected)
    yield from _check_standbys(facts)


def _check_logins(facts: TargetFacts, expected: Expectations) -> Iterator[Finding]:
    unmarked = [each.name for each in facts.logins if each.installation is None]
    ended = [
        each.name
        for each in facts.logins
        if each.installation == expected.installation and each.grant_id not in expected.living
    ]
    others = [
        each.name for each in facts.logins if each.installation not in (None, expected.installation)
    ]
    if unmarked:
        yield risk(
            "unmarked-login",
            f"{some(unmarked)} is named like a login of pgcurfew and carries no mark of one: made "
            "by hand, or its comment was removed. Nobody ends its access",
            *(f"DROP ROLE {ident(name)}" for name in unmarked),
        )
    if ended:
        yield risk(
            "leftover",
            f"{some(ended)} belongs to a grant that the ledger does not know as living: a running "
            "pgcurfew removes it",
        )
    if others:
        yield note("other-pgcurfew", f"{some(others)} belongs to another pgcurfew")
    if facts.live_logins > MANY_LOGINS and facts.server_version >= LIMITED_FROM:
        yield note(
            "many-logins",
            f"{facts.live_logins} logins live here: from PostgreSQL 16 on every grant and removal "
            "gets slower with their number. Shorter grants help",
        )


def _check_standbys(facts: TargetFacts) -> Iterator[Finding]:
    for standby in facts.standbys:
        if standby.refused is not None:
            yield blocks(
                "standby-unreachable",
                f"standby {standby.address} does not let the broker in, so sessions there cannot "
                f"be ended: {standby.refused.why}",
            )
        elif not standby.in_recovery:
            yield blocks(
                "standby-is-primary",
                f"standby {standby.address} is not in recovery: it is a server of its own",
            )
    if facts.receivers > len(facts.standbys):
        yield risk(
            "unnamed-standbys",
            f"{facts.receivers} servers follow this one and the settings name "
            f"{len(facts.standbys)} under standbys: sessions on the others are not ended",
        )
