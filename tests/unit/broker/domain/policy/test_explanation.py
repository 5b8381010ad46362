"""A decision, and every policy that had something to do with it or came close."""

from dataclasses import replace
from zoneinfo import ZoneInfo

from broker.domain.policy.book import PolicyBook
from broker.domain.policy.decision import decide
from broker.domain.policy.explanation import Explanation, Part, explain
from broker.domain.policy.hours import Span, WeeklyHours
from broker.domain.policy.people import People
from broker.domain.policy.resources import Resource
from tests.support.policies import DEV, FACTS, HOUR, ask, group, people, policy

NIGHT = WeeklyHours((Span(6, 0, 360),), ZoneInfo("UTC"))
POLICIES = (
    policy("short", max_duration=HOUR / 2, reason_required=True),
    policy("decides"),
    policy("fits"),
    policy("dba-only", requesters=group("dba") | people("lead@example.com")),
    policy("dba-elsewhere", requesters=group("dba"), keep=(Resource("orders", "shop"),)),
    policy("elsewhere", keep=(Resource("orders", "shop"), Resource("orders", "audit"))),
    policy("off", enabled=False),
    policy("another-role", keep=(Resource("orders", "*", "orders_writer"),)),
    policy("at-night", approval=None, hours=NIGHT),
)


def parts(explanation: Explanation) -> dict[str, tuple[Part, tuple[str, ...]]]:
    return {each.policy.name: (each.part, each.why) for each in explanation.considered}


def test_every_policy_that_came_close_says_why_it_did_not_decide() -> None:
    book = PolicyBook(POLICIES)
    explanation = explain(book, ask(), FACTS)
    assert explanation.decision == decide(book, ask(), FACTS)
    assert parts(explanation) == {
        "short": (
            Part.MISFIT,
            (
                "1h is too long: policy 'short' allows at most 30m",
                "policy 'short' wants a reason",
            ),
        ),
        "decides": (Part.DECIDES, explanation.decision.why),
        "fits": (Part.FITS, ("fits too, and did not decide",)),
        "dba-only": (Part.OTHERS, ("is for lead@example.com or group dba",)),
        "elsewhere": (Part.ELSEWHERE, ("covers database shop, audit",)),
        "off": (Part.DISABLED, ("is disabled",)),
        "at-night": (Part.MISFIT, ("denies it only sun 00:00-06:00 UTC",)),
    }
    assert [each.policy for each in explanation.considered] == [
        each for each in POLICIES if each.name in parts(explanation)
    ]


def test_a_denial_says_so_and_what_would_have_given_it_is_named() -> None:
    denials = (
        policy("never", approval=None),
        policy("now", approval=None, hours=replace(NIGHT, spans=(Span(2, 0, 1440),))),
    )
    explanation = explain(PolicyBook((policy("fits"), *denials)), ask(), FACTS)
    assert parts(explanation) == {
        "fits": (Part.FITS, ("fits too, and did not decide",)),
        "never": (Part.DENIES, ("denies it",)),
        "now": (Part.DENIES, ("denies it",)),
    }


def test_machines_are_told_that_anyone_means_humans() -> None:
    wish = ask(replace(DEV, groups=frozenset()))
    only = policy("only", requesters=People(machines=frozenset({"m@x.machine"})))
    assert parts(explain(PolicyBook((only,)), wish, FACTS)) == {
        "only": (Part.OTHERS, ("is for machine m@x.machine",))
    }
