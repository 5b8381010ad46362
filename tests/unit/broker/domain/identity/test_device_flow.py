"""Signing in from a command line: what providers say, and what is made of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.domain.errors import ProviderUnreachable, SignInFailed
from broker.domain.identity.device_flow import (
    DeviceCode,
    read_answer,
    read_device_code,
    slower,
)
from broker.domain.identity.relying import Answered

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
ANSWER = {
    "device_code": "the-device-code",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://login.example.com/device",
    "verification_uri_complete": "https://login.example.com/device?user_code=WDJB-MJHT",
    "expires_in": 600,
    "interval": 2,
}
CODE = read_device_code(ANSWER, NOW, "company")
SECOND = timedelta(seconds=1)


def test_what_the_person_has_to_do_is_read() -> None:
    assert (CODE.user_code, CODE.page) == ("WDJB-MJHT", "https://login.example.com/device")
    assert CODE.page_with_code == ANSWER["verification_uri_complete"]
    assert (CODE.interval, CODE.until) == (2 * SECOND, NOW + 600 * SECOND)
    assert "the-device-code" not in repr(CODE)


@pytest.mark.parametrize("interval", [None, 0, -1, "soon", 1e9])
def test_a_provider_that_names_no_interval_is_asked_every_five_seconds(interval: Any) -> None:
    assert read_device_code(ANSWER | {"interval": interval}, NOW, "company").interval == 5 * SECOND


def test_nobody_is_waited_for_for_ever() -> None:
    code = read_device_code(ANSWER | {"expires_in": 10**9}, NOW, "company")
    assert code.until == NOW + timedelta(minutes=30)


@pytest.mark.parametrize(
    "page", [None, "javascript:alert(1)", "https://a\x1b[2J", 7, "https://a b"]
)
def test_a_page_that_no_terminal_should_show_is_left_out(page: Any) -> None:
    answer = ANSWER | {"verification_uri_complete": page}
    assert read_device_code(answer, NOW, "company").page_with_code is None


@pytest.mark.parametrize(
    "change",
    [
        {"device_code": None},
        {"user_code": None},
        {"user_code": "a\x1b[2Jb"},
        {"user_code": "x" * 2001},
        {"verification_uri": "ftp://login.example.com"},
        {"verification_uri": "https://login.example.com/\u202e"},
    ],
)
def test_an_answer_that_nobody_could_act_on_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ProviderUnreachable, match="company does not answer as it should"):
        read_device_code(ANSWER | change, NOW, "company")


def _read(answer: dict[str, Any]) -> DeviceCode | Answered:
    return read_answer(answer, CODE, "company")


def test_while_the_person_has_not_decided_we_go_on_asking() -> None:
    assert _read({"error": "authorization_pending"}) == CODE


def test_a_provider_that_wants_to_be_asked_less_is() -> None:
    once = _read({"error": "slow_down"})
    assert isinstance(once, DeviceCode)
    assert once.interval == 7 * SECOND
    again = read_answer({"error": "slow_down"}, once, "company")
    assert isinstance(again, DeviceCode)
    assert again.interval == 12 * SECOND
    assert again.until == CODE.until
    assert slower(CODE) == once


def test_the_id_token_is_the_end_of_it() -> None:
    assert _read({"id_token": "the.id.token"}) == Answered("the.id.token", None)
    end = _read({"access_token": "the-access-token", "id_token": "the.id.token"})
    assert end == Answered("the.id.token", "the-access-token")
    assert "the" not in repr(end)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"error": "expired_token"}, "company waited too long for you; run pgcurfew login again"),
        ({"error": "access_denied"}, "company says no: you were not let in"),
        ({"error": "invalid_client"}, "company says no: invalid_client"),
        ({"error": "\x1b[2J"}, "company says no: an error that has no name"),
        ({"error": "x" * 101}, "company says no: an error that has no name"),
        ({"error": 7}, "company says no: an error that has no name"),
        ({"access_token": "a"}, "company gave no ID token; an operator adds openid to its scopes"),
        ({"id_token": ""}, "company gave no ID token"),
        ({}, "company gave no ID token"),
    ],
)
def test_every_other_answer_ends_it_with_one_line(answer: dict[str, Any], said: str) -> None:
    with pytest.raises(SignInFailed, match=said):
        _read(answer)
