"""What browsers are told about every answer."""

from multidict import CIMultiDict

from api.guards.headers import add_vary, secure

HSTS = "Strict-Transport-Security"


def test_an_answer_without_a_word_of_its_own_may_do_nothing_in_a_browser() -> None:
    headers: CIMultiDict[str] = CIMultiDict()
    secure(headers, over_tls=True)
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["Cache-Control"] == "private, no-cache"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers[HSTS] == "max-age=31536000"


def test_what_a_page_says_itself_stays() -> None:
    own = {"Content-Security-Policy": "default-src 'self'", "Cache-Control": "no-store"}
    headers = CIMultiDict(own)
    secure(headers, over_tls=False)
    assert {name: headers[name] for name in own} == own
    assert HSTS not in headers


def test_what_an_answer_depends_on_is_said_once() -> None:
    headers: CIMultiDict[str] = CIMultiDict()
    for name in ("Origin", "Accept-Encoding", "origin"):
        add_vary(headers, name)
    assert headers["Vary"] == "Origin, Accept-Encoding"
