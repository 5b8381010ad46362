"""Who hears of what."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from broker.domain.hints.hint import Hint, Topic
from broker.domain.person import Person
from broker.ledger.alarms import Audience
from broker.ledger.hints import Noted
from broker.ledger.sight import Subject, Visible
from broker.service.hearing import hears

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SUBJECT = Subject(
    person_id="per_dev",
    requester_id="per_job",
    person_manager="boss@example.com",
    policy="readers",
    is_escalated=False,
)
OF_REQUESTS = {Topic.REQUEST, Topic.GRANT, Topic.SESSION, Topic.STATEMENTS, Topic.COMMIT}
STREAMS_OWN = {Topic.HELLO, Topic.RESET}


def somebody(name: str, *policies: str, everything: bool = False) -> Audience:
    person = Person(f"per_{name}", f"{name}@example.com", name)
    visible = Visible(person=person, policies=list(policies), everything=everything)
    return Audience(visible, general=bool(policies), looked_after=["readers"])


def may_if(audience: Audience, *, managed: bool = False, on_call: bool = False) -> Audience:
    visible = replace(
        audience.visible,
        managed=["readers"] if managed else [],
        on_call=["readers"] if on_call else [],
    )
    return replace(audience, visible=visible)


def noted(topic: Topic, subject: Subject | None = SUBJECT, kind: str = "", **of: str) -> Noted:
    return Noted(hint=Hint(topic=topic, kind=kind, at=NOON), subject=subject, **of)  # type: ignore[arg-type]


@pytest.mark.parametrize("topic", sorted(OF_REQUESTS | {Topic.ALLOWANCE}))
def test_what_came_of_a_request_is_heard_by_who_sees_the_request(topic: Topic) -> None:
    for who, wanted in (
        (somebody("dev"), True),
        (somebody("job"), True),
        (somebody("reviewer", "readers"), True),
        (somebody("other", "writers"), False),
        (somebody("boss"), False),
        (may_if(somebody("boss"), managed=True), True),
        (may_if(somebody("stranger"), managed=True), False),
        (may_if(somebody("night"), on_call=True), False),
        (somebody("auditor", everything=True), True),
    ):
        assert hears(who, noted(topic)) == wanted, who
    escalated = noted(topic, replace(SUBJECT, is_escalated=True))
    assert hears(may_if(somebody("night"), on_call=True), escalated)


def test_alarms_are_heard_by_approvers_and_never_by_who_holds_the_grant() -> None:
    alarm = noted(Topic.ALARM)
    of_nobody = noted(Topic.ALARM, replace(SUBJECT, policy="gone"))
    of_target = noted(Topic.ALARM, None)
    for who, wanted in (
        (somebody("dev"), (False, False, False)),
        (somebody("reviewer", "readers"), (True, True, True)),
        (somebody("other", "writers"), (False, True, True)),
        (somebody("auditor", everything=True), (True, True, True)),
    ):
        assert tuple(hears(who, each) for each in (alarm, of_nobody, of_target)) == wanted, who


@pytest.mark.parametrize("topic", sorted(set(Topic) - OF_REQUESTS - STREAMS_OWN))
def test_only_who_sees_everything_hears_of_the_rest_even_if_it_is_about_them(topic: Topic) -> None:
    """Such as who read their statements. What is their own, and about no request, they hear."""
    about_dev = noted(topic, None, person="dev@example.com")
    own = topic in {Topic.ALLOWANCE, Topic.IDENTITY}
    assert hears(somebody("dev"), about_dev) == own
    assert not hears(somebody("stranger"), about_dev)
    assert not hears(somebody("dev"), noted(topic, None))
    assert hears(somebody("auditor", everything=True), about_dev)


def test_a_refusal_is_heard_by_who_was_refused() -> None:
    refusal = noted(Topic.REQUEST, None, person="dev@example.com")
    assert hears(somebody("dev"), refusal)
    assert not hears(somebody("reviewer", "readers"), refusal)


def test_approvers_hear_of_policies_and_not_of_settings() -> None:
    for kind, wanted in (("policies.changed", True), ("settings.changed", False)):
        assert hears(somebody("reviewer", "readers"), noted(Topic.POLICY, None, kind)) == wanted
        assert not hears(somebody("dev"), noted(Topic.POLICY, None, kind))


def test_everybody_hears_of_the_stream_itself() -> None:
    assert all(hears(somebody("dev"), noted(each, None)) for each in STREAMS_OWN)
