"""One policy in words, for those who read what is in force."""

from datetime import timedelta
from ipaddress import ip_network
from zoneinfo import ZoneInfo

from broker.domain.parameter import Parameter
from broker.domain.picture import FindingKind
from broker.domain.policy.approval import STANDING, Agreement, Approval
from broker.domain.policy.hours import Span, WeeklyHours
from broker.domain.policy.people import People
from broker.domain.policy.resources import Resource
from broker.domain.policy.rule import Start
from broker.domain.policy.summary import Summary, summary_of
from broker.domain.statement.conditions import Conditions, StatementKind
from broker.domain.undo import SweepRules
from tests.support.policies import ANYONE, HOUR, group, people, policy

OFFICE = WeeklyHours(tuple(Span(day, 540, 1050) for day in range(5)), ZoneInfo("Europe/Berlin"))


def test_a_policy_says_who_gets_what_for_how_long_and_who_must_agree() -> None:
    by_two = Approval((Agreement(group("dba"), count=2), Agreement(group("leads"), manager=True)))
    found = summary_of(
        policy(
            "writers",
            requesters=group("developers") | people("dev@example.com"),
            keep=(Resource("orders", role="orders_*"), Resource(database="shop")),
            remove=(Resource(role="orders_reader"),),
            approval=by_two,
            max_duration=8 * HOUR,
            default_duration=HOUR,
        )
    )
    assert found == Summary(
        name="writers",
        enabled=True,
        denies=False,
        people=("dev@example.com", "group developers"),
        gives=("orders_* on orders", "every role on every target, database shop"),
        except_for=("orders_reader on every target",),
        longest=8 * HOUR,
        usual=HOUR,
        approvers=("2 of group dba", "group leads or their manager"),
        other_ways=(),
        terms=(),
    )


def test_who_names_no_duration_gets_the_longest_unless_it_says_otherwise() -> None:
    assert summary_of(policy(max_duration=2 * HOUR, default_duration=None)).usual == 2 * HOUR


def test_one_that_denies_gives_nothing_for_any_time() -> None:
    found = summary_of(policy(approval=None, hours=OFFICE, enabled=False))
    assert (found.denies, found.enabled) == (True, False)
    assert (found.longest, found.usual, found.approvers) == (None, None, ())
    assert found.terms == ("only mon-fri 09:00-17:30 Europe/Berlin",)


def test_anyone_is_no_machine_unless_it_is_named() -> None:
    assert summary_of(policy(requesters=ANYONE)).people == ("anyone but machines",)
    some = ANYONE | People(machines=frozenset({"deploy@github.machine"}))
    assert summary_of(policy(requesters=some | people("dev@example.com"))).people == (
        "anyone but machines",
        "machine deploy@github.machine",
    )


def test_all_that_it_wants_and_holds_to_is_told() -> None:
    found = summary_of(
        policy(
            approval=STANDING,
            reason_required=True,
            duration_required=True,
            pre_approval_required=True,
            hours=OFFICE,
            at_once=2,
            on_behalf=group("leads"),
            approvable_for=timedelta(days=1),
            networks=(ip_network("10.0.0.0/8"),),
            starts=Start.FIRST_USE,
            activate_within=8 * HOUR,
            conditions=Conditions(
                refused=frozenset({StatementKind.COPY}), max_rows=1_000, max_bytes=None
            ),
            parameters=(
                Parameter("search_path", ("shop", "public")),
                Parameter("statement_timeout", "600000ms"),
                Parameter("lock_timeout", "500ms"),
            ),
            connection_limit=5,
            sweep=SweepRules(
                frozenset({FindingKind.OBJECT}), frozenset({FindingKind.TRIGGER, FindingKind.ROLE})
            ),
        )
    )
    assert found.terms == (
        "needs a reason",
        "needs a duration",
        "needs an approval in advance",
        "only mon-fri 09:00-17:30 Europe/Berlin",
        "machines have at most 2 at once",
        "may be asked for by group leads",
        "lapses unless it is decided within 1d",
        "only from 10.0.0.0/8",
        "the clock starts with the first use, which must be within 8h",
        "refused: COPY",
        "at most 1,000 rows are returned",
        "sessions start with search_path = shop, public",
        "sessions start with statement_timeout = 10m",
        "sessions start with lock_timeout = 500ms",
        "at most 5 sessions at a time",
        "what it leaves behind is fine if it is: object",
        "what it leaves behind is undone if it is: role, trigger",
    )


def test_a_clock_that_starts_with_the_first_use_may_have_no_time_of_its_own_for_that() -> None:
    found = summary_of(policy(starts=Start.FIRST_USE, activate_within=None))
    assert found.terms == ("the clock starts with the first use",)
