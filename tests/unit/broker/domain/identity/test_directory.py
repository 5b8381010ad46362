"""Who somebody is today, from the operator's list and from what a provider said lately."""

from datetime import UTC, datetime, timedelta

import pytest

from broker.domain.identity.directory import Directory, Recorded
from broker.domain.person import Person, PersonKind

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ALICE = Person("", "alice@example.com", "Alice", frozenset({"dba"}), manager="lead@example.com")
BOB = Person("", "bob@example.com", "bob@example.com", frozenset({"developers"}))
DEPLOY = Person(
    "", "deploy@github.machine", "deploy", frozenset({"deployers"}), kind=PersonKind.MACHINE
)
DIRECTORY = Directory(
    people={each.email: each for each in (ALICE, BOB)},
    personal_roles={(ALICE.email, "orders"): "alice"},
    machines={DEPLOY.email: DEPLOY},
    providers=frozenset({"company"}),
    known_for=timedelta(days=7),
)


def recorded(
    email: str, *, provider: str | None = "company", seen_at: datetime | None = NOW
) -> Recorded:
    """Return somebody as the ledger has them: the provider says they are Al, in group web."""
    person = Person("per_1", email, "Al", frozenset({"web"}), manager="boss@example.com")
    return Recorded(person=person, provider=provider, seen_at=seen_at)


def test_the_list_is_asked_without_regard_to_case() -> None:
    assert DIRECTORY.find("Alice@Example.com") == ALICE
    assert DIRECTORY.find("deploy@github.machine") is None
    assert DIRECTORY.find_machine("Deploy@github.machine") == DEPLOY
    assert DIRECTORY.personal_role(ALICE, "orders") == "alice"
    assert DIRECTORY.personal_role(BOB, "orders") is None


def test_who_is_only_on_the_list_is_what_the_list_says() -> None:
    today = DIRECTORY.today(recorded(ALICE.email, provider=None, seen_at=None), NOW)
    assert today == Person("per_1", ALICE.email, "Alice", ALICE.groups, manager=ALICE.manager)


def test_who_only_a_provider_knows_is_what_it_says() -> None:
    today = DIRECTORY.today(recorded("carol@example.com"), NOW)
    assert today == recorded("carol@example.com").person


def test_the_list_adds_groups_to_those_of_a_provider_and_names_the_manager() -> None:
    today = DIRECTORY.today(recorded(ALICE.email), NOW)
    assert today == Person("per_1", ALICE.email, "Alice", frozenset({"dba", "web"}), ALICE.manager)


def test_a_provider_fills_in_what_the_list_leaves_out() -> None:
    today = DIRECTORY.today(recorded(BOB.email), NOW)
    groups = frozenset({"developers", "web"})
    assert today == Person("per_1", BOB.email, "Al", groups, manager="boss@example.com")


@pytest.mark.parametrize(
    "stale",
    [
        {"seen_at": NOW - timedelta(days=7)},
        {"seen_at": None},
        {"provider": "no-longer-configured"},
        {"provider": None},
    ],
)
def test_what_a_provider_said_counts_for_a_while_and_while_it_is_configured(
    stale: dict[str, object],
) -> None:
    assert DIRECTORY.today(recorded("carol@example.com", **stale), NOW) is None  # type: ignore[arg-type]
    listed = DIRECTORY.today(recorded(ALICE.email, **stale), NOW)  # type: ignore[arg-type]
    assert listed is not None
    assert listed.groups == ALICE.groups


def test_a_machine_is_what_the_settings_say_now() -> None:
    machine = Person("per_2", DEPLOY.email, "old", frozenset({"old"}), kind=PersonKind.MACHINE)
    today = DIRECTORY.today(Recorded(person=machine, provider="github", seen_at=NOW), NOW)
    assert today == Person("per_2", DEPLOY.email, "deploy", DEPLOY.groups, kind=PersonKind.MACHINE)
    gone = Person("per_3", "gone@github.machine", "gone", kind=PersonKind.MACHINE)
    assert DIRECTORY.today(Recorded(person=gone, provider="github", seen_at=NOW), NOW) is None
