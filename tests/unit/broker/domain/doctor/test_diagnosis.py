"""What is said about a managed server, and what is not."""

from dataclasses import replace
from datetime import timedelta

import pytest

from broker.domain.catalog import CatalogRole
from broker.domain.doctor.diagnosis import diagnose, diagnose_refusal
from broker.domain.doctor.facts import (
    CheckedRole,
    Door,
    EventTrigger,
    Expectations,
    LoginLike,
    PersonalRole,
    Refused,
    StandbyFacts,
    TargetFacts,
)
from broker.domain.doctor.finding import Finding, Severity, some
from broker.domain.grant import GrantKind
from broker.domain.role_check import RoleFacts

ROLE = CatalogRole("orders_reader", "", 10)
ROLE_FACTS = RoleFacts(
    name="orders_reader",
    oid=16384,
    database="orders",
    admin="curfew_admin",
    server_version=180006,
)
CHECKED = CheckedRole(ROLE, ROLE_FACTS)
FACTS = TargetFacts(
    database="orders",
    login="curfew_broker_1",
    admin="curfew_admin",
    restricted=False,
    server_version=180006,
    roles=(CHECKED,),
)
EXPECTED = Expectations(installation="here", living=frozenset({"grt_1"}))


def findings(facts: TargetFacts, expected: Expectations = EXPECTED) -> list[Finding]:
    """Leave out what is always said."""
    return [each for each in diagnose(facts, expected) if each.code != "log-statement"]


def the_finding(facts: TargetFacts) -> Finding:
    (finding,) = findings(facts)
    return finding


def old(facts: TargetFacts, **changes: object) -> TargetFacts:
    """Return the facts as of a 15, whose admin role has functions instead of CREATEROLE."""
    role = replace(CHECKED, facts=replace(ROLE_FACTS, server_version=150018))
    changed = {"server_version": 150018, "restricted": True, "create_role": False, "roles": (role,)}
    return replace(facts, **(changed | changes))  # type: ignore[arg-type]


def test_a_healthy_server_gets_one_note() -> None:
    (finding,) = diagnose(FACTS, EXPECTED)
    assert (finding.severity, finding.code) == (Severity.NOTE, "log-statement")
    assert "names no statements" in finding.sentence
    (finding,) = diagnose(replace(FACTS, log_statement="ddl"), EXPECTED)
    assert "has statements too" in finding.sentence


def test_the_worst_comes_first() -> None:
    bad = replace(FACTS, temporary=False, public_creates=True, public_databases=("orders",))
    assert [each.severity for each in diagnose(bad, EXPECTED)] == [
        Severity.BLOCKS,
        Severity.RISK,
        Severity.NOTE,
        Severity.NOTE,
    ]


NAMES = {"login": "broker", "admin": "admin", "database": "orders"}


@pytest.mark.parametrize(
    ("door", "code", "sql"),
    [
        (Door.SERVER, "unreachable", ()),
        (Door.LOGIN, "login-refused", ()),
        (Door.DATABASE, "no-connect", ('GRANT CONNECT ON DATABASE "orders" TO "broker"',)),
        (Door.ADMIN_ROLE, "no-admin-role", ('GRANT "admin" TO "broker"',)),
    ],
)
def test_a_server_that_lets_nobody_look_says_how_far_we_got(
    door: Door, code: str, sql: tuple[str, ...]
) -> None:
    finding = diagnose_refusal(Refused(door, "the reason"), **NAMES)
    assert finding.severity is Severity.BLOCKS
    assert (finding.code, finding.sql) == (code, sql)
    assert "the reason" in finding.sentence


@pytest.mark.parametrize(
    ("facts", "severity", "code", "sql"),
    [
        (old(FACTS, server_version=120022), "blocks", "too-old", 0),
        (replace(FACTS, server_version=190000), "note", "too-new", 0),
        (replace(FACTS, in_recovery=True, read_only=True), "blocks", "in-recovery", 0),
        (replace(FACTS, read_only=True), "blocks", "read-only", 1),
        (replace(FACTS, superusers=("curfew_admin",)), "risk", "superuser", 1),
        (replace(FACTS, create_role=False), "blocks", "no-createrole", 1),
        (old(FACTS, restricted=False, create_role=True), "risk", "createrole", 0),
        (replace(FACTS, restricted=True), "note", "restricted-not-needed", 0),
        (old(FACTS, missing_functions=("curfew.drop_login",)), "blocks", "no-functions", 0),
        (
            old(FACTS, forbidden_functions=("curfew.drop_login(text)",)),
            "blocks",
            "functions-forbidden",
            2,
        ),
        (replace(FACTS, can_signal=False), "risk", "no-signal", 1),
        (replace(FACTS, closed_to_us=("a", "b")), "blocks", "no-connect", 2),
        (replace(FACTS, temporary=False), "blocks", "no-temporary", 1),
        (replace(FACTS, locked_databases=("a",)), "blocks", "locked-database", 1),
        (replace(FACTS, public_databases=("a", "b")), "note", "public-connect", 2),
        (replace(FACTS, public_creates=True), "risk", "public-create", 1),
        (replace(FACTS, public_definers=("f()",)), "risk", "public-definer", 1),
        (
            replace(FACTS, event_triggers=(EventTrigger("e", "f()", "orders_owner"),)),
            "blocks",
            "event-trigger",
            1,
        ),
        (replace(FACTS, password_encryption="md5"), "note", "password-encryption", 2),
        (replace(FACTS, md5_roles=None), "note", "no-password-marks", 0),
        (replace(FACTS, md5_roles=("a",)), "note", "md5-passwords", 0),
        (replace(FACTS, hba_rules=None), "note", "hba-unreadable", 2),
        (replace(FACTS, receivers=1), "risk", "unnamed-standbys", 0),
        (replace(FACTS, live_logins=2001), "note", "many-logins", 0),
        (
            replace(FACTS, personal_roles=(PersonalRole("alice", exists=False),)),
            "blocks",
            "no-personal-role",
            1,
        ),
        (
            replace(FACTS, personal_roles=(PersonalRole("alice", exists=True),)),
            "blocks",
            "personal-nologin",
            1,
        ),
        (
            replace(
                FACTS,
                personal_roles=(
                    PersonalRole("alice", exists=True, can_login=True, superuser=True),
                ),
            ),
            "blocks",
            "personal-superuser",
            1,
        ),
    ],
)
def test_each_thing_that_is_wrong_is_said_once_with_its_sql(
    facts: TargetFacts, severity: str, code: str, sql: int
) -> None:
    finding = the_finding(facts)
    assert (finding.severity, finding.code, len(finding.sql)) == (severity, code, sql)
    assert not finding.sentence.endswith(".")
    assert all(not statement.endswith(";") for statement in finding.sql)


@pytest.mark.parametrize(
    "facts",
    [
        old(FACTS),
        old(FACTS, live_logins=9999),
        replace(FACTS, live_logins=2000),
        replace(FACTS, clock_ahead=timedelta(seconds=2)),
        replace(FACTS, personal_roles=(PersonalRole("alice", exists=True, can_login=True),)),
        replace(FACTS, receivers=1, standbys=(StandbyFacts("standby:5432"),)),
        replace(FACTS, logins=(LoginLike("jit_1", "here", "grt_1"),)),
    ],
)
def test_what_is_right_is_not_mentioned(facts: TargetFacts) -> None:
    assert findings(facts) == []


@pytest.mark.parametrize(
    ("seconds", "severity", "said"),
    [
        (3, Severity.RISK, "3 s ahead of"),
        (-3, Severity.RISK, "3 s behind"),
        (61, Severity.BLOCKS, "61 s ahead of"),
        (-90, Severity.BLOCKS, "90 s behind"),
    ],
)
def test_clocks_that_differ(seconds: int, severity: Severity, said: str) -> None:
    finding = the_finding(replace(FACTS, clock_ahead=timedelta(seconds=seconds)))
    assert finding.severity is severity
    assert said in finding.sentence


@pytest.mark.parametrize("version", [130017, 140014, 150009, 160005, 170001])
def test_minor_releases_that_ignore_set_role_matter_where_it_is_used(version: int) -> None:
    def codes(role: CatalogRole) -> set[str]:
        facts = replace(FACTS, server_version=version, roles=(replace(CHECKED, role=role),))
        return {each.code for each in findings(facts)}

    assert "deaf-to-role" in codes(replace(ROLE, set_role=True))
    assert "deaf-to-role" not in codes(ROLE)


def test_memberships_need_the_right_to_end_sessions() -> None:
    role = replace(ROLE, kinds=frozenset({GrantKind.LOGIN, GrantKind.MEMBERSHIP}))
    facts = replace(FACTS, can_signal=False, roles=(replace(CHECKED, role=role),))
    finding = the_finding(facts)
    assert finding.severity is Severity.BLOCKS
    assert finding.sql == (
        'GRANT pg_signal_backend TO "curfew_admin" WITH INHERIT TRUE, SET FALSE',
    )
    assert the_finding(old(FACTS, can_signal=False)).sql == (
        'GRANT pg_signal_backend TO "curfew_admin"',
    )


def test_a_superuser_as_admin_is_not_told_about_createrole_too() -> None:
    facts = old(FACTS, restricted=False, create_role=True, superusers=("curfew_admin",))
    assert the_finding(facts).code == "superuser"


def test_faults_of_a_role_block_and_come_with_their_sql_or_their_remedy() -> None:
    strong = replace(ROLE_FACTS, can_login=True, powers=("boss (a superuser)",))
    login, power = findings(replace(FACTS, roles=(replace(CHECKED, facts=strong),)))
    assert login.severity is Severity.BLOCKS
    assert login.sentence == "role orders_reader has LOGIN: a catalog role only holds privileges"
    assert login.sql == ('ALTER ROLE "orders_reader" NOLOGIN',)
    assert power.sql == ()
    assert power.sentence.endswith("revoke the membership, or ask for another")


def test_without_createrole_up_to_15_each_role_need_not_be_named() -> None:
    ungrantable = replace(
        CHECKED, facts=replace(ROLE_FACTS, server_version=150018, grantable=False)
    )
    facts = old(FACTS, roles=(ungrantable,))
    assert the_finding(facts).code == "role-not-grantable"
    assert the_finding(replace(facts, restricted=False)).code == "no-createrole"


def test_admin_option_is_needed_after_an_upgrade() -> None:
    role = replace(CHECKED, facts=replace(ROLE_FACTS, server_version=150018), admin_option=False)
    facts = old(FACTS, restricted=False, create_role=True, roles=(role,))
    _, finding = findings(facts)
    assert (finding.severity, finding.code) == (Severity.NOTE, "no-admin-option")
    assert finding.sql == ('GRANT "orders_reader" TO "curfew_admin" WITH ADMIN OPTION',)
    assert findings(replace(facts, restricted=True)) == []
    missing = replace(role, facts=replace(role.facts, oid=None))
    assert "no-admin-option" not in [
        each.code for each in findings(replace(facts, roles=(missing,)))
    ]


def test_logins_are_told_apart_by_their_marks() -> None:
    logins = (
        LoginLike("jit_living", "here", "grt_1"),
        LoginLike("jit_ended", "here", "grt_2"),
        LoginLike("jit_by_hand", None, None),
        LoginLike("jit_other", "elsewhere", "grt_3"),
    )
    unmarked, ended, other = findings(replace(FACTS, logins=logins))
    assert (unmarked.code, unmarked.sql) == ("unmarked-login", ('DROP ROLE "jit_by_hand"',))
    assert (ended.code, "jit_ended" in ended.sentence) == ("leftover", True)
    assert (other.code, "jit_other" in other.sentence) == ("other-pgcurfew", True)


def test_standbys_must_let_us_in_and_follow() -> None:
    shut = StandbyFacts("a:5432", Refused(Door.LOGIN, "no such role"))
    primary = StandbyFacts("b:5432", in_recovery=False)
    first, second = findings(replace(FACTS, standbys=(shut, primary)))
    assert (first.severity, first.code) == (Severity.BLOCKS, "standby-unreachable")
    assert "a:5432" in first.sentence
    assert "no such role" in first.sentence
    assert (second.severity, second.code) == (Severity.BLOCKS, "standby-is-primary")


def test_long_lists_are_cut() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some([str(number) for number in range(8)]) == "0, 1, 2, 3, 4 and 3 more"
