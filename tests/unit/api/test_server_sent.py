"""Server-sent events, held against the standard's own words and examples."""

import pytest

from api.server_sent import EventParser, Malformed, SentEvent, frame, retry_after, sign_of_life


def parse(stream: str | bytes) -> list[SentEvent]:
    return EventParser().feed(stream.encode() if isinstance(stream, str) else stream)


def datas(stream: str | bytes) -> list[str]:
    return [each.data for each in parse(stream)]


# https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
@pytest.mark.parametrize(
    ("stream", "wanted"),
    [
        ("data: YHOO\ndata: +2\ndata: 10\n\n", ["YHOO\n+2\n10"]),
        ("data\n\ndata\ndata\n\ndata:", ["", "\n"]),
        ("data:test\n\ndata: test\n\n", ["test", "test"]),
        ("data:  two blanks\n\n", [" two blanks"]),
        (": test stream\n\ndata: a\n:\n: b\ndata: c\n\n", ["a\nc"]),
        ("data: a\r\rdata: b\r\n\r\ndata: c\n\n", ["a", "b", "c"]),
        ("\ufeffdata: first\n\n", ["first"]),
        ("\ufeff\ufeffdata: no field\n\n", []),
        ("event: nothing\nid: 7\n\n", []),
        ("unknown: field\nDATA: a\ndata : b\n\n", []),
        ("data: cut off", []),
        ("data: cut off\n", []),
        ("data: a:b: c\n\n", ["a:b: c"]),
        (b"data: \xff\n\n", ["\ufffd"]),
    ],
)
def test_streams_mean_what_the_standard_says(stream: str | bytes, wanted: list[str]) -> None:
    assert datas(stream) == wanted


def test_an_id_stays_until_there_is_another_and_an_empty_one_takes_it_back() -> None:
    stream = ": test\n\ndata: first\nid: 1\n\ndata: second\nid\n\ndata:  third\n\n"
    assert [each.id for each in parse(stream)] == ["1", "", ""]
    assert [each.id for each in parse("id: 1\ndata: a\n\ndata: b\n\n")] == ["1", "1"]
    assert parse("id: 1\nid: 2\0\ndata: a\n\n")[0].id == "1"


def test_an_event_has_its_name_alone() -> None:
    named = [each.event for each in parse("event: x\ndata: a\n\ndata: b\n\nevent: y\ndata:\n\n")]
    assert named == ["x", "message", "y"]


def test_a_sign_of_life_says_where_to_go_on_and_nothing_else() -> None:
    parser = EventParser()
    assert parser.feed((retry_after(1500) + sign_of_life("1.2-3.4")).encode()) == []
    assert (parser.last_id, parser.retry_ms) == ("1.2-3.4", 1500)
    parser.feed(b"retry: soon\nid: 5")
    assert (parser.last_id, parser.retry_ms) == ("1.2-3.4", 1500)


def test_what_is_framed_is_parsed_cut_at_every_byte() -> None:
    text = frame("request", '{"a": "ä"}', "1.0-0.0") + frame("target", "{}") + "data: x\r\n\r\n"
    stream = text.encode()
    wanted = [
        SentEvent("request", '{"a": "ä"}', "1.0-0.0"),
        SentEvent("target", "{}", "1.0-0.0"),
        SentEvent("message", "x", "1.0-0.0"),
    ]
    for cut in range(len(stream) + 1):
        parser = EventParser()
        found = parser.feed(stream[:cut]) + parser.feed(stream[cut:])
        # Whether a "\n" belongs to the last "\r" only what follows could tell.
        assert found + parser.feed(b"\n") == wanted


@pytest.mark.parametrize(
    "piece", [b"x" * 400_000, b"data: " + b"x" * 400_000 + b"\n", b"data\n" * 400_000]
)
def test_what_never_ends_takes_no_memory(piece: bytes) -> None:
    parser = EventParser()
    assert parser.feed(piece) == parser.feed(piece) == []
    with pytest.raises(Malformed):
        parser.feed(piece)
