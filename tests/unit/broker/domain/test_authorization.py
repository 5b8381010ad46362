"""Who may do what, and how far they reach."""

import pytest

from broker.domain.authorization import (
    Action,
    Actor,
    Authority,
    Reach,
    Standing,
    may,
    may_make_token,
    reach,
)
from broker.domain.person import Person, PersonKind
from broker.domain.policy.people import People
from broker.domain.verdict import Allow, Deny

DEV = Person("per_1", "dev@example.com", "A developer")
OPERATOR = Person("per_2", "operator@example.com", "An operator", frozenset({"platform"}))
AUDITOR = Person("per_3", "auditor@example.com", "An auditor")
BOTH = Person("per_4", "both@example.com", "Both", frozenset({"platform", "audit"}))
JOB = Person(
    "per_5", "deploy@ci.machine", "A job", frozenset({"platform"}), None, PersonKind.MACHINE
)

AUTHORITY = Authority(
    operators=People(groups=frozenset({"platform"})),
    auditors=People(emails=frozenset({AUDITOR.email}), groups=frozenset({"audit"})),
)
READ_ONLY = frozenset({Action.READ})


def actor(person: Person, *scopes: str) -> Actor:
    return AUTHORITY.actor(person, frozenset(scopes) if scopes else None)


def allowed(person: Person, *scopes: str) -> set[str]:
    who = actor(person, *scopes)
    return {action.value for action in Action if isinstance(may(who, action), Allow)}


def reached(who: Actor, through: dict[Reach, Action]) -> set[str]:
    found = reach(who, through)
    return set() if isinstance(found, Deny) else {each.value for each in found}


def code(verdict: object) -> str:
    assert isinstance(verdict, Deny), verdict
    return verdict.error.code


@pytest.mark.parametrize(
    ("person", "actions"),
    [
        (DEV, {"read", "ask", "give_back", "decide", "tokens", "sign"}),
        (OPERATOR, {"read", "ask", "give_back", "decide", "operate", "tokens", "sign"}),
        (AUDITOR, {"read", "tokens", "sign"}),
        (BOTH, {"read", "tokens", "sign"}),
        (JOB, {"read", "ask", "give_back"}),
    ],
)
def test_where_somebody_stands_says_what_they_do(person: Person, actions: set[str]) -> None:
    assert allowed(person) == actions


def test_nobody_is_an_operator_or_an_auditor_unless_named() -> None:
    assert Authority().standings(BOTH) == {Standing.REQUESTER, Standing.REVIEWER}


def test_a_machine_is_a_requester_whatever_its_groups() -> None:
    assert AUTHORITY.standings(JOB) == {Standing.REQUESTER}


@pytest.mark.parametrize("person", [AUDITOR, BOTH])
@pytest.mark.parametrize("action", [Action.ASK, Action.DECIDE, Action.OPERATE])
def test_an_auditor_is_told_that_auditors_change_nothing(person: Person, action: Action) -> None:
    assert code(may(actor(person), action)) == "auditor-changes-nothing"


def test_who_is_no_operator_is_told_that_one_is_needed() -> None:
    verdict = may(actor(DEV), Action.OPERATE)
    assert isinstance(verdict, Deny)
    assert verdict.error.code == "standing-needed"
    assert verdict.reason == "this is for operators"


@pytest.mark.parametrize("action", [Action.DECIDE, Action.OPERATE, Action.TOKENS, Action.SIGN])
def test_a_machine_is_told_that_this_is_for_people(action: Action) -> None:
    assert code(may(actor(JOB), action)) == "not-for-machines"


@pytest.mark.parametrize(
    ("person", "scopes", "actions"),
    [
        (DEV, ("read",), {"read"}),
        (DEV, ("read", "operate"), {"read"}),
        (OPERATOR, ("operate",), {"operate"}),
        (AUDITOR, ("read", "ask", "decide"), {"read"}),
        (JOB, ("ask", "decide"), {"ask", "give_back"}),
        (JOB, ("give_back",), {"give_back"}),
        (DEV, ("everything",), set()),
    ],
)
def test_a_token_only_ever_takes_away(
    person: Person, scopes: tuple[str, ...], actions: set[str]
) -> None:
    assert allowed(person, *scopes) == actions


def test_a_token_for_nothing_allows_nothing() -> None:
    who = AUTHORITY.actor(DEV, frozenset())
    verdict = may(who, Action.READ)
    assert isinstance(verdict, Deny)
    assert verdict.reason == "this takes a token for 'read'; yours is good for nothing"


def test_a_token_that_does_not_allow_it_is_told_what_it_allows() -> None:
    verdict = may(actor(DEV, "read", "ask"), Action.DECIDE)
    assert isinstance(verdict, Deny)
    assert verdict.error.code == "out-of-scope"
    assert (
        verdict.reason == "this takes a token for 'decide'; yours is only for: ask, give_back, read"
    )


SEEING = {Reach.OWN: Action.READ, Reach.APPROVED: Action.READ, Reach.EVERYTHING: Action.READ}
ENDING = {Reach.OWN: Action.ASK, Reach.APPROVED: Action.DECIDE, Reach.EVERYTHING: Action.OPERATE}


@pytest.mark.parametrize(
    ("person", "reaches"),
    [
        (DEV, {"own", "approved"}),
        (OPERATOR, {"own", "approved", "everything"}),
        (AUDITOR, {"own", "approved", "everything"}),
        (JOB, {"own"}),
    ],
)
def test_operators_and_auditors_see_everything(person: Person, reaches: set[str]) -> None:
    assert reached(actor(person), SEEING) == reaches


@pytest.mark.parametrize(
    ("person", "scopes", "reaches"),
    [
        (DEV, (), {"own", "approved"}),
        (DEV, ("ask",), {"own"}),
        (DEV, ("decide",), {"approved"}),
        (OPERATOR, (), {"own", "approved", "everything"}),
        (OPERATOR, ("ask", "decide"), {"own", "approved"}),
        (OPERATOR, ("operate",), {"everything"}),
        (JOB, (), {"own"}),
    ],
)
def test_a_token_takes_away_what_its_actions_reach(
    person: Person, scopes: tuple[str, ...], reaches: set[str]
) -> None:
    assert reached(actor(person, *scopes), ENDING) == reaches


@pytest.mark.parametrize(
    ("who", "refusal"),
    [
        (actor(AUDITOR), "auditor-changes-nothing"),
        (actor(BOTH), "auditor-changes-nothing"),
        (actor(DEV, "read"), "out-of-scope"),
        (actor(JOB, "read"), "out-of-scope"),
    ],
)
def test_who_reaches_nothing_is_told_why(who: Actor, refusal: str) -> None:
    assert code(reach(who, ENDING)) == refusal


@pytest.mark.parametrize(
    ("person", "through", "reason"),
    [
        (DEV, {Reach.EVERYTHING: Action.READ}, "this is for operators and auditors"),
        (JOB, {Reach.APPROVED: Action.DECIDE}, "this is for reviewers"),
    ],
)
def test_what_is_for_others_says_for_whom(
    person: Person, through: dict[Reach, Action], reason: str
) -> None:
    verdict = reach(actor(person), through)
    assert isinstance(verdict, Deny)
    assert (verdict.error.code, verdict.reason) == ("standing-needed", reason)


def test_operators_and_auditors_see_everything_and_only_operators_act_on_it() -> None:
    everybody = (DEV, OPERATOR, AUDITOR, BOTH, JOB)
    assert [each for each in everybody if AUTHORITY.sees_everything(each)] == [
        OPERATOR,
        AUDITOR,
        BOTH,
    ]
    assert [each for each in everybody if AUTHORITY.operates(each)] == [OPERATOR]


def test_people_make_tokens_of_their_own_and_operators_those_of_machines() -> None:
    assert may_make_token(actor(DEV), DEV, None) == Allow()
    assert may_make_token(actor(OPERATOR), JOB, None) == Allow()
    assert code(may_make_token(actor(DEV, "read"), DEV, READ_ONLY)) == "out-of-scope"
    assert code(may_make_token(actor(DEV), JOB, READ_ONLY)) == "standing-needed"
    assert code(may_make_token(actor(BOTH), JOB, READ_ONLY)) == "auditor-changes-nothing"
    assert code(may_make_token(actor(JOB), JOB, READ_ONLY)) == "not-for-machines"
    assert code(may_make_token(actor(OPERATOR), DEV, READ_ONLY)) == "not-your-token"


def test_an_auditor_makes_only_tokens_that_read() -> None:
    assert may_make_token(actor(AUDITOR), AUDITOR, READ_ONLY) == Allow()
    for scopes in (None, frozenset({Action.READ, Action.ASK})):
        verdict = may_make_token(actor(BOTH), BOTH, scopes)
        assert isinstance(verdict, Deny)
        assert (
            verdict.reason == "auditors see everything and change nothing: their tokens only read"
        )
    assert AUTHORITY.usual_scopes(BOTH) == READ_ONLY
    assert AUTHORITY.usual_scopes(OPERATOR) is None
