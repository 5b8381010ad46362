"""The policy file, and what is said about one that cannot be used."""

from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from broker.config.faults import SettingsError
from broker.config.oncall import ScheduleSettings
from broker.config.policy_checks import Known, check
from broker.config.policy_file import load_policies, parse_policies
from broker.config.policy_models import Policies
from broker.config.settings import Settings, load_settings
from broker.domain.parameter import Parameter
from broker.domain.picture import FindingKind
from broker.domain.policy.approval import STANDING, Agreement, Approval, OnCall
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.hours import Span, WeeklyHours
from broker.domain.policy.people import People
from broker.domain.policy.resources import Resource, Resources
from broker.domain.policy.rule import Policy, Start
from broker.domain.statement.conditions import (
    NO_CONDITIONS,
    CommitGate,
    Conditions,
    Recorded,
    StatementKind,
)
from broker.domain.undo import SweepRules
from tests.support.policies import group, people
from tests.support.settings_files import ABSENT, changed, write_settings

SMALLEST: dict[str, Any] = {
    "approvers": {"groups": ["dba"]},
    "policies": [
        {
            "name": "orders-readers",
            "requesters": {"anyone": True},
            "resources": [{"target": "orders"}],
            "max_duration": "8h",
        }
    ],
}
NOBODY = "names nobody: say anyone, people or groups"
SOME_APPROVERS = "{people: [reviewer@example.com]}"
SOME_REQUESTERS = "{groups: [developers]}"
SOME_SWEEP = "{accept: [object]}"
SOME_HOURS = "{zone: Europe/Berlin, open: [mon-fri 09:00-17:30]}"
SOME_SPAN = "[mon-fri 09:00-17:30]"
SOME_APPROVAL = "{from: [{groups: [dba], count: 2}]}"
SOME_NETWORKS = "[10.0.0.0/8, 'fd00::/8']"
KINDS = (
    "'role', 'membership', 'admin_option', 'password', 'setting', 'privilege', "
    "'default_privilege', 'security_definer_function', 'trigger', 'event_trigger', 'rule', "
    "'policy', 'expression', 'publication', 'subscription', 'foreign_server', 'user_mapping', "
    "'extension', 'large_object' or 'object'"
)
STATEMENTS = (
    "'write', 'delete', 'unbounded_write', 'ddl', 'role', 'password', 'copy', 'program', "
    "'procedure', 'lock', 'maintenance', 'setting', 'listen' or 'prepared_transaction'"
)
SOME_POLICIES = "[{name: readers, …}]"
DURATION = "write 90s, 30m, 8h, 2d or ISO 8601, for example PT1H"
FULL = """
approvers: {people: [Reviewer@Example.com], groups: [dba]}
policies:
  - name: orders-readers
    requesters: {anyone: true}
    resources:
      - {target: orders, role: orders_reader}
      - {target: "ord*", database: orders, role: "*_reader"}
    max_duration: 8h
  - name: orders-owners
    enabled: false
    requesters: {people: [dev@example.com], groups: [developers], machines: [ci@service.machine]}
    resources: [{}]
    except: [{database: "*_old", role: orders_reader}]
    approval:
      from:
        - {groups: [dba], count: 2}
        - {manager: true}
        - {reviewers: true, people: [lead@example.com]}
        - {anyone: true}
      on_call: {schedules: [primary, secondary], at_most: 30m}
      escalation: {schedules: [primary]}
      break_glass: {groups: [dba]}
      one_party: true
    max_duration: PT30M
    default_duration: 10m
    require: [reason, pre_approval]
    approvable_for: 2d
    starts: first_use
    activate_within: 4h
    networks: ["10.0.0.0/9", "10.128.0.0/9", "fd00::/8"]
    hours:
      zone: Europe/Berlin
      open: ["Mon, wed 09:00-17:30", "sat-sun 10:00-24:00"]
    session:
      {read_only: true, statement_timeout: 60s, settings: {work_mem: 64MB}, connection_limit: 2}
    on_behalf: {people: [lead@example.com], machines: [chat@service.machine]}
    at_once: 3
    sweep: {accept: [object, extension], undo: [trigger]}
    statements:
      parameters: values
      refuse: [ddl, role]
      budget: {rows: 100000, bytes: 1GB}
      commit_gate: {rows: 1000, within: 10m, by: approver}
  - name: deploys
    requesters: {machines: [ci@service.machine]}
    resources: [{target: orders}]
    approval: standing
    max_duration: 1h
    require: [duration]
    starts: first_use
  - name: no-contractors
    requesters: {groups: [contractors]}
    resources: [{target: orders}]
    approval: deny
    hours: {zone: UTC, open: [fri-mon 00:00-24:00]}
"""
READERS = Policy(
    name="orders-readers",
    requesters=People(anyone=True),
    resources=Resources(
        (Resource("orders", "*", "orders_reader"), Resource("ord*", "orders", "*_reader"))
    ),
    approval=Approval(
        (Agreement(people("reviewer@example.com") | group("dba"), label="reviewers"),)
    ),
    max_duration=timedelta(hours=8),
)
OWNERS = Policy(
    name="orders-owners",
    enabled=False,
    requesters=People(
        emails=frozenset({"dev@example.com"}),
        groups=frozenset({"developers"}),
        machines=frozenset({"ci@service.machine"}),
    ),
    resources=Resources((Resource(),), (Resource("*", "*_old", "orders_reader"),)),
    approval=Approval(
        (
            Agreement(group("dba"), count=2, label="group dba"),
            Agreement(People(), manager=True, label="manager"),
            Agreement(
                people("reviewer@example.com", "lead@example.com") | group("dba"),
                label="reviewers or lead@example.com",
            ),
            Agreement(People(anyone=True), label="anyone else"),
        ),
        on_call=OnCall(frozenset({"primary", "secondary"}), timedelta(minutes=30)),
        escalation=frozenset({"primary"}),
        break_glass=group("dba"),
        one_party=True,
    ),
    max_duration=timedelta(minutes=30),
    default_duration=timedelta(minutes=10),
    reason_required=True,
    pre_approval_required=True,
    approvable_for=timedelta(days=2),
    starts=Start.FIRST_USE,
    activate_within=timedelta(hours=4),
    networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
    hours=WeeklyHours(
        (Span(0, 540, 1050), Span(2, 540, 1050), Span(5, 600, 1440), Span(6, 600, 1440)),
        ZoneInfo("Europe/Berlin"),
    ),
    parameters=(
        Parameter("default_transaction_read_only", "on"),
        Parameter("statement_timeout", "60000ms"),
        Parameter("work_mem", "64MB"),
    ),
    connection_limit=2,
    on_behalf=People(
        emails=frozenset({"lead@example.com"}), machines=frozenset({"chat@service.machine"})
    ),
    at_once=3,
    sweep=SweepRules(
        accept=frozenset({FindingKind.OBJECT, FindingKind.EXTENSION}),
        undo=frozenset({FindingKind.TRIGGER}),
    ),
    conditions=Conditions(
        parameters=Recorded.VALUES,
        max_rows=100_000,
        max_bytes=1024**3,
        commit_gate=CommitGate(rows=1000, within=timedelta(minutes=10), by_approver=True),
        refused=frozenset({StatementKind.DDL, StatementKind.ROLE}),
    ),
)
DEPLOYS = Policy(
    name="deploys",
    requesters=People(machines=frozenset({"ci@service.machine"})),
    resources=Resources((Resource("orders"),)),
    approval=STANDING,
    max_duration=timedelta(hours=1),
    duration_required=True,
    starts=Start.FIRST_USE,
    activate_within=timedelta(hours=8),
)
NO_CONTRACTORS = Policy(
    name="no-contractors",
    requesters=group("contractors"),
    resources=Resources((Resource("orders"),)),
    approval=None,
    hours=WeeklyHours(tuple(Span(day, 0, 1440) for day in (4, 5, 6, 0)), ZoneInfo("UTC")),
)


ROTA = {"people": ["reviewer@example.com"], "first": "2026-01-05T09:00", "zone": "Europe/Berlin"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(
        write_settings(
            tmp_path,
            {
                "identity.groups": ["developers", "contractors"],
                "identity.people": [{"email": "reviewer@example.com", "groups": ["dba"]}],
                "identity.machines": [{"name": "ci"}, {"name": "chat"}],
                "oncall.schedules": {"primary": {"rota": ROTA}, "secondary": {"rota": ROTA}},
            },
        )
    )


def complaints(text: str, settings: Settings) -> list[str]:
    with pytest.raises(SettingsError) as error:
        parse_policies(text, "policies.yaml", settings)
    head, *faults = str(error.value).splitlines()
    assert head == "settings in policies.yaml cannot be used:"
    return [fault.removeprefix("  ") for fault in faults]


def test_policies_are_read_in_the_order_of_the_file(settings: Settings) -> None:
    read = parse_policies(FULL, "policies.yaml", settings)
    assert read.policies == (READERS, OWNERS, DEPLOYS, NO_CONTRACTORS)
    assert read.reviewers == people("reviewer@example.com") | group("dba")


def test_the_policy_file_is_found_beside_the_settings(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    path = tmp_path / "policies" / "all.yaml"
    text = yaml.safe_dump(SMALLEST)
    path.write_text(text)
    config = write_settings(
        tmp_path, {"policies.file": "policies/all.yaml", "identity.groups": ["dba"]}
    )
    content = load_policies(load_settings(config), config)
    assert [policy.name for policy in content.book.policies] == ["orders-readers"]
    assert (content.text, content.path) == (text, path)


def test_a_missing_policy_file_is_blamed_on_the_key_that_names_it(tmp_path: Path) -> None:
    config = write_settings(tmp_path)
    with pytest.raises(SettingsError) as error:
        load_policies(load_settings(config), config)
    assert str(error.value) == (
        f"settings in {config} cannot be used:\n"
        f"  policies.file: {tmp_path}/policies.yaml cannot be read (No such file or directory); "
        "for example: policies.yaml"
    )


def test_a_policy_file_that_is_no_text_is_blamed_on_the_key_that_names_it(tmp_path: Path) -> None:
    config = write_settings(tmp_path)
    (tmp_path / "policies.yaml").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(SettingsError, match=r"policies.yaml cannot be read \(it is not text\)"):
        load_policies(load_settings(config), config)


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("approvers", ABSENT, f"1: approvers: is missing; for example: {SOME_APPROVERS}"),
        ("approvers", {}, f"1: approvers: {NOBODY}; for example: {SOME_APPROVERS}"),
        ("approvers", {"anyone": False}, f"1: approvers: {NOBODY}; for example: {SOME_APPROVERS}"),
        (
            "approvers.people",
            ["dev@example.com", "reviewer"],
            "6: approvers.people.1: not an e-mail address; for example: [dev@example.com]",
        ),
        (
            "approvers.people",
            ["ci@service.machine"],
            "5: approvers.people.0: ci@service.machine is a machine: name it under machines; "
            "for example: [dev@example.com]",
        ),
        (
            "approvers.group",
            ["dba"],
            "2: approvers.group: is not a known key; did you mean groups? "
            "for example: groups: [developers]",
        ),
        (
            "approvers.groups",
            ["developers", "dab"],
            "4: approvers.groups.1: no group 'dab' in identity.people or identity.groups; "
            "did you mean dba?",
        ),
        ("policies", [], f"4: policies: must not be empty; for example: {SOME_POLICIES}"),
        ("policies", {}, f"4: policies: must be a list; for example: {SOME_POLICIES}"),
        (
            "polices",
            [],
            "4: polices: is not a known key; did you mean policies? "
            f"for example: policies: {SOME_POLICIES}",
        ),
        (
            "policies",
            [{**SMALLEST["policies"][0]}, {**SMALLEST["policies"][0], "max_duration": "1h"}],
            "12: policies.1.name: policy 0 has this name, too; for example: readers",
        ),
    ],
)
def test_a_fault_at_the_top_names_its_line_place_reason_and_an_example(
    settings: Settings, path: str, value: Any, fault: str
) -> None:
    text = yaml.safe_dump(changed(SMALLEST, {path: value}))
    assert complaints(text, settings) == [f"policies.yaml:{fault}"]


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (
            "name",
            "Orders Readers",
            "name: a name is at most 63 of a-z, 0-9, dot, dash and underscore, "
            "and begins with a letter or a digit; for example: orders-readers",
        ),
        (
            "enabled",
            "perhaps",
            "enabled: must be a valid boolean, unable to interpret input; for example: false",
        ),
        ("requesters", ABSENT, f"requesters: is missing; for example: {SOME_REQUESTERS}"),
        (
            "requesters",
            {},
            "requesters: names nobody: say anyone, people, groups or machines; "
            f"for example: {SOME_REQUESTERS}",
        ),
        (
            "requesters.people",
            ["dev"],
            "requesters.people.0: not an e-mail address; for example: [dev@example.com]",
        ),
        (
            "requesters.machines",
            ["dev@example.com"],
            "requesters.machines.0: the address of a machine ends in .machine; "
            "for example: [deploy@github.machine]",
        ),
        (
            "requesters.groups",
            ["develpers"],
            "requesters.groups.0: no group 'develpers' in identity.people or identity.groups; "
            "did you mean developers?",
        ),
        (
            "resources",
            [],
            "resources: must not be empty; for example: [{target: orders, role: orders_reader}]",
        ),
        (
            "resources",
            [{"target": "orders"}, {"target": "order"}],
            "resources.1.target: no target 'order' in targets; did you mean orders?",
        ),
        (
            "resources",
            [{"target": "billing-*"}],
            "resources.0.target: 'billing-*' fits no target in targets; for example: orders",
        ),
        (
            "resources",
            [{"target": "orders", "role": "orders_raeder"}],
            "resources.0.role: no role 'orders_raeder' in targets.orders.roles; "
            "did you mean orders_reader?",
        ),
        (
            "resources",
            [{"target": "ord*", "role": "*_owner"}],
            "resources.0.role: '*_owner' fits no role in targets.orders.roles; "
            "for example: orders_reader",
        ),
        (
            "except",
            [{"database": "old", "role": "orders_reader"}, {"role": "xyz"}],
            "except.1.role: no role 'xyz' in targets.orders.roles; for example: orders_reader",
        ),
        (
            "except",
            [{"role": "*_reader"}],
            "except: takes out all that resources has; for example: [{role: orders_owner}]",
        ),
        (
            "excpt",
            [],
            "excpt: is not a known key; did you mean except? "
            "for example: except: [{role: orders_owner}]",
        ),
        (
            "approval",
            "standign",
            f"approval: must be 'standing' or 'deny'; for example: {SOME_APPROVAL}",
        ),
        (
            "approval",
            ["standing"],
            f"approval: must be a mapping of keys to values; for example: {SOME_APPROVAL}",
        ),
        (
            "approval.from",
            [],
            "approval.from: must not be empty; "
            "for example: [{groups: [dba], count: 2}, {manager: true}]",
        ),
        (
            "approval.form",
            [],
            "approval.form: is not a known key; did you mean from? "
            "for example: from: [{groups: [dba], count: 2}, {manager: true}]",
        ),
        (
            "approval.from",
            [{"manager": True}, {"count": 2}],
            "approval.from.1: names nobody: say anyone, people, groups, manager or reviewers; "
            "for example: [{groups: [dba], count: 2}, {manager: true}]",
        ),
        (
            "approval.from",
            [{"groups": ["dba"], "count": 0}],
            "approval.from.0.count: must be greater than or equal to 1; for example: 2",
        ),
        (
            "approval.from",
            [{"people": ["a@example.com"], "manager": True, "count": 3}],
            "approval.from.0.count: only 2 may agree here, so 3 never will; for example: 2",
        ),
        (
            "approval.from",
            [{"groups": ["nobodys"], "count": 2}],
            "approval.from.0.groups.0: no group 'nobodys' in identity.people or identity.groups; "
            "for example: contractors",
        ),
        (
            "approval.break_glass",
            {"groups": ["dbas"]},
            "approval.break_glass.groups.0: no group 'dbas' in identity.people or identity.groups; "
            "did you mean dba?",
        ),
        (
            "approval.on_call",
            {"at_most": "1h"},
            "approval.on_call.schedules: is missing; for example: [primary]",
        ),
        (
            "approval.escalation",
            {"schedules": []},
            "approval.escalation.schedules: must not be empty; for example: [primary]",
        ),
        ("max_duration", ABSENT, "max_duration: is missing; for example: 8h"),
        (
            "max_duration",
            8,
            f"max_duration: duration '8': it is not a duration; {DURATION}; for example: 8h",
        ),
        (
            "default_duration",
            "9h",
            "default_duration: is longer than max_duration; for example: 1h",
        ),
        (
            "require",
            ["reasons"],
            "require.0: must be 'reason', 'duration' or 'pre_approval'; for example: [reason]",
        ),
        (
            "starts",
            "tomorrow",
            "starts: must be 'approval' or 'first_use'; for example: first_use",
        ),
        (
            "activate_within",
            "1h",
            "activate_within: means nothing unless the clock starts with the first use; "
            "for example: starts: first_use",
        ),
        (
            "networks",
            ["10.0.0.1/8"],
            "networks.0: network '10.0.0.1/8': it has bits beyond its length, 10.0.0.0/8 has not; "
            "write 10.0.0.0/8, 2001:db8::/32 or a single address; "
            f"for example: {SOME_NETWORKS}",
        ),
        (
            "hours",
            {"open": ["mon 09:00-10:00"]},
            "hours.zone: is missing; for example: Europe/Berlin",
        ),
        (
            "hours",
            {"zone": "Europe/Berln", "open": ["mon 09:00-10:00"]},
            "hours.zone: no time zone is known by this name; did you mean Europe/Berlin?; "
            "for example: Europe/Berlin",
        ),
        (
            "session",
            {"settings": {"search_path": "shop"}},
            "session: settings may not hold 'search_path': use search_path instead; "
            "for example: {statement_timeout: 60s}",
        ),
        (
            "session.connection_limit",
            0,
            "session.connection_limit: must be greater than or equal to 1; for example: 5",
        ),
        (
            "on_behalf",
            {"groups": ["leads"]},
            "on_behalf.groups.0: no group 'leads' in identity.people or identity.groups; "
            "for example: contractors",
        ),
        (
            "at_once",
            2,
            "at_once: counts the grants of machines, and requesters names none; "
            "for example: requesters: {groups: [deployers]}",
        ),
        (
            "sweep",
            ["trigger"],
            f"sweep: must be a mapping of keys to values; for example: {SOME_SWEEP}",
        ),
        (
            "sweep.undo",
            ["triggers"],
            f"sweep.undo.0: must be {KINDS}; for example: [trigger]",
        ),
        ("sweep.accept", "object", "sweep.accept: must be a list; for example: [object]"),
        (
            "sweep",
            {"accept": ["trigger", "object"], "undo": ["object", "trigger"]},
            f"sweep: 'object' is both accepted and undone: choose one; for example: {SOME_SWEEP}",
        ),
        (
            "statements.parameters",
            True,
            "statements.parameters: must be 'off', 'types' or 'values'; for example: types",
        ),
        (
            "statements.refuse",
            ["ddl", "roles"],
            f"statements.refuse.1: must be {STATEMENTS}; for example: [ddl, role]",
        ),
        (
            "statements.refused",
            ["ddl"],
            "statements.refused: is not a known key; did you mean refuse? "
            "for example: refuse: [ddl, role]",
        ),
        (
            "statements.budget",
            {},
            "statements.budget: bounds nothing: say rows or bytes; "
            "for example: {rows: 100000, bytes: 1GB}",
        ),
        (
            "statements.budget.rows",
            0,
            "statements.budget.rows: must be greater than or equal to 1; for example: 100000",
        ),
        (
            "statements.budget.bytes",
            1000,
            "statements.budget.bytes: a size is a whole number with its unit: B, kB, MB, GB or "
            "TB; for example: 1GB",
        ),
        (
            "statements.commit_gate",
            {"within": "5m"},
            "statements.commit_gate.rows: is missing; for example: 1000",
        ),
        (
            "statements.commit_gate",
            {"rows": 1000, "by": "manager"},
            "statements.commit_gate.by: must be 'person' or 'approver'; for example: approver",
        ),
        (
            "statements.commit_gate",
            {"rows": 1000, "within": "2h"},
            "statements.commit_gate.within: what is held keeps its locks: 1h is the most; "
            "for example: 5m",
        ),
        (
            "statements",
            {"commit_gate": {"rows": 1000}, "refuse": ["write"]},
            "statements.commit_gate: never has anything to hold beside refuse: [write]: drop one; "
            "for example: refuse: [ddl]",
        ),
    ],
)
def test_a_fault_in_a_policy_names_the_policy_by_its_place(
    settings: Settings, path: str, value: Any, fault: str
) -> None:
    wrong = changed(SMALLEST["policies"][0], {"name": "second", path: value})
    text = yaml.safe_dump({**SMALLEST, "policies": [*SMALLEST["policies"], wrong]})
    [said] = complaints(text, settings)
    place, _, what = said.partition(": ")
    assert what == f"policies.1.{fault}"
    assert 11 <= int(place.removeprefix("policies.yaml:")) <= len(text.splitlines())


@pytest.mark.parametrize(
    ("span", "why"),
    [
        ("mon", "not days and times; write mon-fri 09:00-17:30 or sat,sun 10:00-12:00"),
        (900, "not days and times; write mon-fri 09:00-17:30 or sat,sun 10:00-12:00"),
        ("mon 9:00-17:00", "not days and times; write mon-fri 09:00-17:30 or sat,sun 10:00-12:00"),
        ("mon-fry 09:00-17:00", "fry is no day; the days are mon, tue, wed, thu, fri, sat, sun"),
        ("mon 09:60-17:00", "09:60 is on no clock; a day ends at 24:00"),
        ("mon 09:00-24:01", "24:01 is on no clock; a day ends at 24:00"),
        ("mon 09:00-09:00", "no time lies between the two"),
        (
            "fri 22:00-06:00",
            "it ends before it starts; across midnight write two: until 24:00, and from 00:00",
        ),
    ],
)
def test_hours_that_never_come_are_refused(settings: Settings, span: Any, why: str) -> None:
    hours = {"zone": "UTC", "open": ["mon 09:00-10:00", span]}
    policy = changed(SMALLEST["policies"][0], {"hours": hours})
    [said] = complaints(yaml.safe_dump({**SMALLEST, "policies": [policy]}), settings)
    assert said.partition(": ")[2] == f"policies.0.hours.open.1: {why}; for example: {SOME_SPAN}"


@pytest.mark.parametrize("zone", ["", "../etc/passwd", "Europe", "Mars/Olympus"])
def test_a_time_zone_that_is_none_is_refused(settings: Settings, zone: str) -> None:
    hours = {"zone": zone, "open": ["mon 09:00-10:00"]}
    policy = changed(SMALLEST["policies"][0], {"hours": hours})
    [said] = complaints(yaml.safe_dump({**SMALLEST, "policies": [policy]}), settings)
    assert "policies.0.hours.zone: no time zone is known by this name" in said


def test_a_default_that_is_never_used_is_refused(settings: Settings) -> None:
    both = {"default_duration": "1h", "require": ["duration"]}
    policy = changed(SMALLEST["policies"][0], both)
    [said] = complaints(yaml.safe_dump({**SMALLEST, "policies": [policy]}), settings)
    assert "default_duration: is never used, since require has duration: drop one" in said


def test_what_a_denial_cannot_mean_is_refused(settings: Settings) -> None:
    denial = {"approval": "deny", "require": ["reason"], "networks": []}
    policy = changed(SMALLEST["policies"][0], denial)
    assert [
        said.partition(": ")[2]
        for said in complaints(yaml.safe_dump({**SMALLEST, "policies": [policy]}), settings)
    ] == [
        f"policies.0.{key}: means nothing in a policy that denies; for example: approval: standing"
        for key in ("max_duration", "networks", "require")
    ]


def test_a_group_that_only_a_person_has_or_only_the_settings_name_is_known(
    settings: Settings,
) -> None:
    named = changed(SMALLEST, {"approvers.groups": ["dba", "contractors"]})
    book = parse_policies(yaml.safe_dump(named), "policies.yaml", settings)
    assert book.reviewers == group("dba", "contractors")


def test_all_faults_are_told_in_the_order_of_their_lines(settings: Settings) -> None:
    text = (
        "approvers: {groups: [dbas]}\n"
        "policies:\n"
        "  - name: readers\n"
        "    requesters:\n"
        "      groups:\n"
        "        - developers\n"
        "        - contractor\n"
        "    resources:\n"
        "      - target: orders\n"
        "        role: writer\n"
        "    approval:\n"
        "      from:\n"
        "        - people: [a@example.com]\n"
        "          count: 2\n"
    )
    assert [said.split(": ", 2)[:2] for said in complaints(text, settings)] == [
        ["policies.yaml:1", "approvers.groups.0"],
        ["policies.yaml:3", "policies.0.max_duration"],
        ["policies.yaml:7", "policies.0.requesters.groups.1"],
        ["policies.yaml:10", "policies.0.resources.0.role"],
        ["policies.yaml:14", "policies.0.approval.from.0.count"],
    ]


def test_a_schedule_must_be_known(settings: Settings) -> None:
    approval = {"on_call": {"schedules": ["primary", "prmary"]}, "escalation": {"schedules": ["x"]}}
    policy = changed(SMALLEST["policies"][0], {"approval": approval})
    policies = Policies.model_validate({**SMALLEST, "policies": [policy]})
    assert [str(fault) for fault in check(policies, Known.by(settings))] == [
        "policies.0.approval.on_call.schedules.prmary: no schedule 'prmary' in oncall.schedules; "
        "did you mean primary?",
        "policies.0.approval.escalation.schedules.x: no schedule 'x' in oncall.schedules; "
        "for example: primary",
    ]


def test_nobody_escalates_to_people_whom_nothing_pages(settings: Settings) -> None:
    """A rota has no pager at all, and who names one knows; PagerDuty has one, and lacks its key."""
    approval = {
        "on_call": {"schedules": ["readers"]},
        "escalation": {"schedules": ["primary", "readers", "writers"]},
    }
    policy = changed(SMALLEST["policies"][0], {"approval": approval})
    policies = Policies.model_validate({**SMALLEST, "policies": [policy]})
    schedules = {
        **settings.oncall.schedules,
        "readers": ScheduleSettings(pagerduty="PI7DH85"),
        "writers": ScheduleSettings(pagerduty="PI7DH86", routing_key="env:ROUTING_KEY"),
    }
    oncall = settings.oncall.model_copy(update={"schedules": schedules})
    aware = settings.model_copy(update={"oncall": oncall})
    assert [str(fault) for fault in check(policies, Known.by(aware))] == [
        "policies.0.approval.escalation.schedules.readers: pages nobody: "
        "oncall.schedules.readers has no routing_key; for example: routing_key: env:NAME"
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: b: c", "it is not YAML at line 1: mapping values are not allowed here"),
        ("", "it must be a mapping of keys to values"),
        ("- name: readers", "it must be a mapping of keys to values"),
    ],
)
def test_a_policy_file_that_is_no_yaml_mapping_is_refused(
    settings: Settings, text: str, why: str
) -> None:
    assert complaints(text, settings) == [f"{why}; for example: policies: [{{name: readers, …}}]"]


def test_what_policies_share_may_be_written_once(settings: Settings) -> None:
    """A fault in what an alias repeats has the line where it is written."""
    text = (
        "approvers: {groups: [dba]}\n"
        "policies:\n"
        "  - &readers\n"
        "    name: first\n"
        "    requesters: {anyone: true}\n"
        "    resources: [{target: orders}]\n"
        "    max_duration: 8h\n"
        "  - <<: *readers\n"
        "    name: second\n"
    )
    book = parse_policies(text, "policies.yaml", settings)
    assert isinstance(book, PolicyBook)
    assert [policy.max_duration for policy in book.policies] == [timedelta(hours=8)] * 2
    wrong = text.replace("8h", "soon")
    assert [said.split(": ")[0:2] for said in complaints(wrong, settings)] == [
        ["policies.yaml:7", "policies.0.max_duration"],
        ["policies.yaml:7", "policies.1.max_duration"],
    ]


def test_a_machine_must_be_known(settings: Settings) -> None:
    (policy,) = SMALLEST["policies"]
    wanted = changed(policy, {"requesters": {"machines": ["cj@service.machine"]}})
    assert complaints(yaml.safe_dump({**SMALLEST, "policies": [wanted]}), settings) == [
        "policies.yaml:9: policies.0.requesters.machines.0: no machine 'cj@service.machine' in "
        "identity.machines or identity.workloads; did you mean ci@service.machine?"
    ]


@pytest.mark.parametrize("key", ["idle_in_transaction_timeout", "transaction_timeout"])
def test_nothing_is_held_for_longer_than_its_session_may_idle(settings: Settings, key: str) -> None:
    (policy,) = SMALLEST["policies"]
    gate = {"rows": 1000, "within": "5m"}
    wanted = changed(policy, {"statements": {"commit_gate": gate}, "session": {key: "5m"}})
    [said] = complaints(yaml.safe_dump({**SMALLEST, "policies": [wanted]}), settings)
    assert said.partition(": ")[2] == (
        f"policies.0.statements.commit_gate.within: is not shorter than session.{key}, "
        f"which would end what is held; for example: {key}: 30m"
    )
    longer = changed(wanted, {"session": {key: "6m"}})
    text = yaml.safe_dump({**SMALLEST, "policies": [longer]})
    assert parse_policies(text, "policies.yaml", settings).policies


@pytest.mark.parametrize("written", ["off", "'off'", "false"])
def test_off_is_what_yaml_takes_for_no(settings: Settings, written: str) -> None:
    text = yaml.safe_dump(SMALLEST) + f"  statements: {{parameters: {written}}}\n"
    (policy,) = parse_policies(text, "policies.yaml", settings).policies
    assert policy.conditions == NO_CONDITIONS


def test_either_budget_may_be_left_out(settings: Settings) -> None:
    (policy,) = SMALLEST["policies"]
    wanted = changed(policy, {"statements": {"budget": {"bytes": "16 MB"}}})
    text = yaml.safe_dump({**SMALLEST, "policies": [wanted]})
    (read,) = parse_policies(text, "policies.yaml", settings).policies
    assert read.conditions == Conditions(max_bytes=16 * 1024**2)
