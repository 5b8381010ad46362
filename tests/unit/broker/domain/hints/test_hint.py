"""What a hint says to look at again."""

from broker.domain.events import Event
from broker.domain.hints.hint import Topic, topic_of

STREAMS_OWN = {Topic.HELLO, Topic.RESET, Topic.STATEMENTS, Topic.OTHER}


def test_every_event_has_a_topic_and_every_topic_an_event() -> None:
    kinds = {each.kind: topic_of(each.kind) for each in Event.__subclasses__()}
    assert not {kind for kind, topic in kinds.items() if topic in STREAMS_OWN}
    assert set(kinds.values()) == set(Topic) - STREAMS_OWN


def test_what_a_newer_pgcurfew_writes_is_still_something() -> None:
    assert topic_of("moon.landed") is Topic.OTHER


def test_that_somebody_read_statements_is_about_the_record_not_about_new_ones() -> None:
    assert topic_of("statements.read") is Topic.RECORD
