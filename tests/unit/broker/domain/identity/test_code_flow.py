"""Coming back from a provider: only the answer to this browser's own question counts."""

from base64 import urlsafe_b64decode

import pytest

from broker.domain.errors import SignInFailed
from broker.domain.identity.code_flow import RANDOM_BYTES, Transaction, begin, code_in

ISSUER = "https://login.example.com"
ATTEMPT = begin("company", "/me", bytes(range(RANDOM_BYTES)))
ANSWER = {"state": ATTEMPT.state, "code": "the-code"}


def _code(answer: dict[str, str], *, always_says_issuer: bool = False) -> str:
    return code_in(answer, ATTEMPT, ISSUER, always_says_issuer=always_says_issuer)


def test_an_attempt_has_three_parts_that_nobody_can_guess() -> None:
    parts = {ATTEMPT.state, ATTEMPT.nonce, ATTEMPT.verifier}
    assert len(parts) == 3
    assert all(len(urlsafe_b64decode(each + "=")) == 32 for each in parts)
    assert all(43 <= len(each) <= 128 for each in parts)  # RFC 7636, 4.1
    assert not [each for each in parts if each in repr(ATTEMPT)]


def test_an_attempt_needs_all_its_randomness() -> None:
    with pytest.raises(ValueError, match="96 random bytes"):
        begin("company", "/me", bytes(32))


def test_an_attempt_survives_being_kept() -> None:
    assert Transaction.unpack(ATTEMPT.pack()) == ATTEMPT


@pytest.mark.parametrize("more", [{}, {"iss": ISSUER}, {"session_state": "x"}])
def test_the_answer_to_the_question_has_the_code(more: dict[str, str]) -> None:
    assert _code(ANSWER | more) == "the-code"


def test_an_issuer_that_always_names_itself_must() -> None:
    assert _code(ANSWER | {"iss": ISSUER}, always_says_issuer=True) == "the-code"
    with pytest.raises(SignInFailed, match="does not come from company"):
        _code(ANSWER, always_says_issuer=True)


@pytest.mark.parametrize("issuer", ["", "https://evil.example", ISSUER + "/"])
def test_an_answer_from_another_issuer_is_none(issuer: str) -> None:
    with pytest.raises(SignInFailed, match="does not come from company"):
        _code(ANSWER | {"iss": issuer})


@pytest.mark.parametrize("state", [None, "", "é", ATTEMPT.state[:-1], ATTEMPT.nonce])
def test_an_answer_to_another_question_is_none(state: str | None) -> None:
    answer = {"code": "the-code", "error": "access_denied"}
    with pytest.raises(SignInFailed, match="not to the sign-in that this browser began"):
        _code(answer if state is None else answer | {"state": state})


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("access_denied", "company says no: you were not let in there, or did not want to be"),
        ("temporarily_unavailable", "company says no: it is too busy; try again later"),
        ("unauthorized_client", "company says no: it does not take our question"),
        ("<b>", "company says no: it does not take our question"),
    ],
)
def test_an_error_is_told_in_our_own_words(error: str, said: str) -> None:
    with pytest.raises(SignInFailed, match=said):
        _code({"state": ATTEMPT.state, "error": error, "error_description": "<script>"})


@pytest.mark.parametrize("answer", [{}, {"code": ""}])
def test_an_answer_that_says_nothing_is_none(answer: dict[str, str]) -> None:
    with pytest.raises(SignInFailed, match="without an answer"):
        _code({"state": ATTEMPT.state} | answer)
