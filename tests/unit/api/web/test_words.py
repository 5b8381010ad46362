from datetime import UTC, datetime, timedelta, timezone

import pytest

from api.web.words import FILTERS

AT = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("word", "value", "said"),
    [
        ("moment", AT.astimezone(timezone(timedelta(hours=5))), "2026-03-01 12:30 UTC"),
        ("machine_time", AT, "2026-03-01T12:30:15.250Z"),
        ("stretch", timedelta(seconds=-1), "0 s"),
        ("stretch", timedelta(seconds=59), "59 s"),
        ("stretch", timedelta(minutes=59, seconds=59), "59 min"),
        ("stretch", timedelta(hours=8), "8 h"),
        ("stretch", timedelta(hours=8, minutes=5), "8 h 5 min"),
        ("stretch", timedelta(days=2, hours=3), "2 d 3 h"),
        ("seconds", 61.2, "1 min"),
        ("took", 999, "999 µs"),
        ("took", 12_345, "12.3 ms"),
        ("took", 61_250_000, "61.2 s"),
        ("offset", timedelta(minutes=61, seconds=2.25), "61:02.2"),
        ("number", 1234567, "1,234,567"),
        ("rough_size", 1536, "1.5kB"),
        ("state_kind", "approved", "good"),
        ("state_kind", "something new", ""),
        ("quoted", "address 2001:db8::/64", "address%202001%3Adb8%3A%3A%2F64"),
        ("as_choice", "jsonl", ("jsonl", "jsonl")),
    ],
)
def test_pages_say(word: str, value: object, said: object) -> None:
    assert FILTERS[word](value) == said


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (AT + timedelta(minutes=5), "in 5 min"),
        (AT, "just now"),
        (AT - timedelta(seconds=59), "just now"),
        (AT - timedelta(hours=3), "3 h ago"),
    ],
)
def test_how_far_a_time_is(at: datetime, said: str) -> None:
    assert FILTERS["since"](at, AT) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("it is pending", "It is pending."),
        ("why?", "Why?"),
        ("It ended.", "It ended."),
        ("log_statement is none", "log_statement is none."),
        ("", "."),
    ],
)
def test_a_line_becomes_a_sentence_and_names_stay_as_they_are(text: str, said: str) -> None:
    assert FILTERS["sentence"](text) == said


def test_what_is_to_be_copied_or_broken_is_escaped() -> None:
    assert FILTERS["breakable"]("<a>@b") == "&lt;a&gt;@<wbr>b"
    assert FILTERS["unbroken"]("a  <b>") == "<span>a</span>  <span>&lt;b&gt;</span>"


def test_long_text_is_cut_and_short_text_is_not() -> None:
    assert FILTERS["cut"]("abc", 3) == "abc"
    assert FILTERS["cut"]("abcd", 3) == "abc…"


def test_data_is_told_without_what_says_nothing() -> None:
    data = {"why": ["a", "b"], "reason": "", "pin_address": True, "count": 0, "left": None}
    assert FILTERS["in_words"](data) == "why: a, b; pin address: yes"
