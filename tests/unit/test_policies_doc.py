"""docs/policies.md: every example is a policy that works, and does what the text says."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker.config.faults import SettingsError, keys
from broker.config.policy_file import parse_policies
from broker.config.policy_models import ApprovalRule, Policies, PolicyRule, StatementsRule
from broker.config.settings import Settings, load_settings
from broker.domain.person import Person, PersonKind
from broker.domain.policy.ask import Ask, Facts
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.decision import Decision, decide
from broker.domain.statement.conditions import StatementKind
from tests.support.settings_files import write_settings

DOC = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", DOC, re.DOTALL)
HEAD = "approvers: {groups: [dba]}\npolicies:\n"
AFTERNOON = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)  # a Wednesday, four o'clock in Berlin
HOUR = timedelta(hours=1)

DEVELOPER = Person("", "dev@example.com", "", frozenset({"developers"}))
MANAGED = Person("", "dev@example.com", "", frozenset({"developers"}), "lead@example.com")
CONTRACTOR = Person("", "c@example.com", "", frozenset({"contractors"}))
MACHINE = Person("", "deploy-orders@github.machine", "", kind=PersonKind.MACHINE)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    rota = {"people": ["dev@example.com"], "first": "2026-01-05T09:00", "zone": "Europe/Berlin"}
    workload = {
        "name": "github",
        "issuer": "https://token.actions.githubusercontent.com",
        "audience": "pgcurfew",
        "machines": [{"name": "deploy-orders", "match": {"repository": "acme/orders"}}],
    }
    return load_settings(
        write_settings(
            tmp_path,
            {
                "identity.groups": ["dba", "leads", "developers", "contractors", "deployers"],
                "identity.people": [{"email": "dev@example.com", "groups": ["developers"]}],
                "identity.workloads": [workload],
                "oncall.schedules": {"primary": {"rota": rota}},
                "targets.orders.roles": {
                    role: {} for role in ("orders_reader", "orders_writer", "orders_owner")
                },
            },
        )
    )


def book_of(block: str, settings: Settings) -> PolicyBook:
    return parse_policies(block if "policies:" in block else HEAD + block, "doc.yaml", settings)


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split()[2] for block in BLOCKS])
def test_every_example_is_a_file_that_works(settings: Settings, block: str) -> None:
    assert book_of(block, settings).policies


def test_every_key_has_its_row() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", DOC, re.MULTILINE))
    kinds = set(StatementKind)
    assert rows == {*keys(PolicyRule), *keys(ApprovalRule), *keys(StatementsRule), *kinds}
    assert all(f"`{key}" in DOC for key in keys(Policies))


@pytest.mark.parametrize(
    ("name", "person", "role", "said"),
    [
        ("orders-readers", CONTRACTOR, "orders_reader", "must agree: group dba"),
        ("look", DEVELOPER, "orders_reader", "nobody has to agree"),
        (
            "owners",
            DEVELOPER,
            "orders_owner",
            "must agree: 2 of group dba; and group leads",
        ),
        ("writers", MANAGED, "orders_writer", "must agree: lead@example.com (manager)"),
        (
            "fixers",
            DEVELOPER,
            "orders_writer",
            "nobody has to agree: dev@example.com is on call (primary)",
        ),
        (
            "fixers",
            DEVELOPER,
            "orders_owner",
            "no policy lets you ask for 'orders_owner' in database 'orders' on target 'orders'",
        ),
        ("deployments", MACHINE, "orders_owner", "nobody has to agree"),
        ("emergencies", DEVELOPER, "orders_owner", "must agree: 2 of group dba"),
        (
            "contractors-by-day",
            CONTRACTOR,
            "orders_reader",
            "cut to 1h 30m: policy 'contractors-by-day' is open until "
            "wed 2026-03-04 17:30 Europe/Berlin",
        ),
        (
            "no-writing-contractors",
            CONTRACTOR,
            "orders_writer",
            "policy 'no-writing-contractors' denies 'orders_writer' in database 'orders' "
            "on target 'orders'",
        ),
        (
            "careful-writers",
            DEVELOPER,
            "orders_writer",
            "a transaction that changed more than 1,000 rows is held at COMMIT for at most 10m, "
            "until an approver other than its holder confirms it",
        ),
        ("careful-writers", DEVELOPER, "orders_writer", "at most 100,000 rows are returned"),
        (
            "migrations",
            DEVELOPER,
            "orders_owner",
            "policy 'migrations' wants an approval in advance, and there is none now",
        ),
    ],
)
def test_an_example_does_what_the_text_says(
    settings: Settings, name: str, person: Person, role: str, said: str
) -> None:
    [block] = [block for block in BLOCKS if f"name: {name}\n" in block]
    assert said in _decided(book_of(block, settings), person, role).why


def _decided(book: PolicyBook, person: Person, role: str) -> Decision:
    longest = book.policies[0].max_duration
    ask = Ask(
        person=person,
        requester=person,
        target="orders",
        database="orders",
        role=role,
        duration=longest,
        reason="a fix",
    )
    on_call = {"primary": frozenset({"dev@example.com"})}
    return decide(book, ask, Facts(now=AFTERNOON, on_call=on_call))


def test_the_faults_that_it_shows_are_those_that_one_gets(settings: Settings) -> None:
    text = (
        "approvers: {groups: [dba]}\npolicies:\n  - name: readers\n    requesters:\n"
        "      groups:\n        - developers\n        - contractor\n    resources:\n"
        "      - target: orders\n        role: orders_raeder\n    max_duration: 8h\n"
    )
    with pytest.raises(SettingsError) as error:
        parse_policies(text, "policies.yaml", settings)
    assert str(error.value) in DOC
