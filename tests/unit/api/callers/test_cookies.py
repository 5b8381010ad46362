"""Cookies that browsers keep for us, and can neither read nor make."""

from datetime import UTC, datetime, timedelta
from http.cookies import Morsel

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from api.callers.cookies import SealedCookie, Sealer

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)
OLD, NEW = bytes(32), bytes([1] * 32)


def test_what_was_sealed_can_be_opened_and_does_not_show() -> None:
    sealed = Sealer([NEW], "sign-in").seal(b"sgn_1", NOW)
    assert "sgn" not in sealed
    assert Sealer([NEW], "sign-in").open(sealed, NOW, DAY) == b"sgn_1"


def test_whatever_is_changed_is_not_opened() -> None:
    sealer = Sealer([NEW], "sign-in")
    sealed = sealer.seal(b"sgn_1", NOW)
    for place in range(len(sealed.rstrip("=")) - 1):  # the last one has bits that nobody reads
        changed = "A" if sealed[place] != "A" else "B"
        assert sealer.open(sealed[:place] + changed + sealed[place + 1 :], NOW, DAY) is None


@pytest.mark.parametrize("text", ["", "x", "é", "gAAAAA==", "\0" * 200])
def test_what_nobody_sealed_is_not_opened(text: str) -> None:
    sealer = Sealer([NEW], "sign-in")
    assert sealer.open(text, NOW, DAY) is None
    assert not sealer.is_of_the_newest_key(text)


def test_what_was_sealed_for_one_purpose_is_nothing_for_another() -> None:
    sealed = Sealer([NEW], "login").seal(b"sgn_1", NOW)
    assert Sealer([NEW], "sign-in").open(sealed, NOW, DAY) is None


def test_it_is_opened_for_so_long_only() -> None:
    sealer = Sealer([NEW], "login")
    sealed = sealer.seal(b"x", NOW)
    assert sealer.open(sealed, NOW + DAY, DAY) == b"x"
    assert sealer.open(sealed, NOW + DAY + timedelta(seconds=1), DAY) is None


def test_a_new_key_seals_while_the_old_one_still_opens() -> None:
    before = Sealer([OLD], "sign-in").seal(b"x", NOW)
    both = Sealer([NEW, OLD], "sign-in")
    assert both.open(before, NOW, DAY) == b"x"
    assert not both.is_of_the_newest_key(before)
    after = both.seal(b"x", NOW)
    assert both.is_of_the_newest_key(after)
    assert Sealer([OLD], "sign-in").open(after, NOW, DAY) is None


def test_an_old_key_that_is_dropped_opens_nothing() -> None:
    before = Sealer([OLD], "sign-in").seal(b"x", NOW)
    assert Sealer([NEW], "sign-in").open(before, NOW, DAY) is None


@pytest.mark.parametrize(("name", "is_secure"), [("__Host-pgcurfew", True), ("pgcurfew", False)])
def test_a_cookie_is_for_this_host_alone_and_for_no_script(name: str, *, is_secure: bool) -> None:
    response = web.Response()
    cookie = SealedCookie("pgcurfew", [NEW], secure=is_secure)
    cookie.give(response, b"x", NOW, DAY)
    _check(response.cookies[name], is_secure=is_secure, age=86400)
    cookie.take_back(response)
    _check(response.cookies[name], is_secure=is_secure, age=0)
    assert response.cookies[name].value == ""


def _check(morsel: Morsel[str], *, is_secure: bool, age: int) -> None:
    assert (morsel["path"], morsel["domain"], morsel["samesite"]) == ("/", "", "Lax")
    assert (morsel["httponly"], bool(morsel["secure"])) == (True, is_secure)
    assert int(morsel["max-age"]) == age


def test_what_a_browser_brings_is_read_under_its_own_name_alone() -> None:
    """A page on a neighbouring host can plant a cookie, but none that begins with __Host-."""
    response = web.Response()
    secure = SealedCookie("pgcurfew", [NEW], secure=True)
    secure.give(response, b"x", NOW, DAY)
    sealed = response.cookies["__Host-pgcurfew"].value

    def read(name: str) -> bytes | None:
        return secure.read(
            make_mocked_request("GET", "/", {"Cookie": f"{name}={sealed}"}), NOW, DAY
        )

    assert read("__Host-pgcurfew") == b"x"
    assert read("pgcurfew") is None
