"""Whatever a client says, and however it is answered: the record says what was run.

A model of the server tells what it has run. Messages are said and answered in pieces, in any order
that a network may bring about; clients do not wait, clash names, and end copies that never began.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.domain.statement.statement import Ending, Protocol
from proxy.wire.errors import WireError
from tests.support import messages as m
from tests.support.model_server import ModelServer
from tests.support.record import MemorySpool, transcript

NAMES = ("", "s", "t", "n" * 63 + "a", "n" * 63 + "b")
TEXTS = ("one", "two", "fail", "bad", "begin", "commit", "copy", "copy raises")

names = st.sampled_from(NAMES)
texts = st.sampled_from(TEXTS)
client_messages = st.one_of(
    st.builds(m.query, texts),
    st.builds(m.parse, names, texts),
    st.builds(lambda name, portal: m.bind(name, portal=portal), names, names),
    st.builds(m.execute, names),
    st.builds(m.close, names),
    st.sampled_from((m.SYNC, m.SYNC, m.SYNC, m.FLUSH, m.COPY_DONE, m.COPY_FAIL, m.copy_data())),
    st.just(m.copy_data(b"wrong")),
)
# Several that make sense together.
flights = st.one_of(
    st.builds(
        lambda name, text, sync: (
            m.parse(name, text) + m.bind(name) + m.execute() + (m.SYNC if sync else b"")
        ),
        names,
        texts,
        st.booleans(),
    ),
    st.builds(lambda name: m.bind(name) + m.execute() + m.SYNC, names),
    st.builds(lambda name, text: m.close(name) + m.parse(name, text), names, texts),
    client_messages,
    st.lists(client_messages, max_size=5).map(b"".join),
)


class Conversation:
    """A client, the record, and the server that it is about."""

    def __init__(self) -> None:
        self.spool = MemorySpool()
        self.transcript = transcript(self.spool)
        self.server = ModelServer()
        self.unsaid = b""
        self.on_the_way = b""
        self.is_broken = False

    def say(self, data: bytes) -> None:
        """The client says something; nothing of it is passed on while something waits."""
        waits = bool(self.unsaid)
        self.unsaid += data
        if not waits:
            self._pass_on()

    def answer(self, size: int) -> None:
        """So much of the server's answers arrives."""
        data, self.on_the_way = self.on_the_way[:size], self.on_the_way[size:]
        self.transcript.server_says(data)
        if self.unsaid and self.transcript.has_caught_up:
            self._pass_on()

    def _pass_on(self) -> None:
        if self.is_broken:
            return
        try:
            passed = self.transcript.client_says(self.unsaid)
        except WireError:
            self.is_broken = True
            return
        self.server.take(self.unsaid[:passed])
        self.on_the_way += self.server.give()
        self.unsaid = self.unsaid[passed:]


def assert_is_on_record(conversation: Conversation) -> None:
    ran = conversation.server.ran
    begun = [
        (each.text.decode(), conversation.spool.ends[each.seq].ending)
        for each in conversation.spool.begun
        if each.protocol is not Protocol.PARSE
    ]
    if conversation.is_broken or conversation.server.is_dead:
        rest = iter(begun)
        assert all(any(text == each.text for text, _ in rest) for each in ran), (ran, begun)
        return
    done = [text for text, ending in begun if ending is Ending.DONE]
    assert done == [each.text for each in ran if each.well], (ran, begun)
    rest = iter(begun)
    for each in ran:
        wanted = (each.text, Ending.DONE if each.well else Ending.FAILED)
        assert any(found == wanted for found in rest), (wanted, ran, begun)


def talk(said: list[bytes], choices: "st.DataObject | None") -> Conversation:
    conversation = Conversation()
    for flight in said:
        left = flight
        while left:
            size = choices.draw(st.integers(1, len(left))) if choices else len(left)
            conversation.say(left[:size])
            left = left[size:]
            waiting = len(conversation.on_the_way)
            if choices and waiting:
                conversation.answer(choices.draw(st.integers(0, waiting)))
    while conversation.on_the_way:
        size = len(conversation.on_the_way)
        conversation.answer(choices.draw(st.integers(1, size)) if choices else size)
    if not conversation.is_broken and not conversation.server.is_dead:
        assert not conversation.unsaid, "the client waits for nothing"
    conversation.transcript.close()
    return conversation


@settings(max_examples=150)
@given(said=st.lists(flights, max_size=8), data=st.data())
def test_the_record_says_what_was_run(said: list[bytes], data: st.DataObject) -> None:
    assert_is_on_record(talk([*said, m.SYNC], data))


ALL_AT_ONCE = [
    # An error skips a Close and a Parse, and what comes after the Sync runs what was there before.
    [
        m.parse("s", "one") + m.SYNC,
        m.bind("nothing") + m.close("s") + m.parse("s", "two") + m.SYNC + m.bind("s"),
        m.execute() + m.SYNC,
    ],
    # The same with portals, in a transaction.
    [
        m.query("begin") + m.parse("s", "one") + m.parse("t", "two") + m.bind("s", portal="p"),
        m.SYNC + m.execute("p") + m.SYNC,
    ],
    # A name that is there already.
    [
        m.parse("s", "one") + m.SYNC + m.parse("s", "two") + m.SYNC + m.bind("s") + m.execute(),
        m.SYNC,
    ],
    # Names that are one for the server.
    [
        m.parse("n" * 63 + "a", "one") + m.close("n" * 63 + "b"),
        m.parse("n" * 63 + "c", "two") + m.bind("n" * 63 + "a") + m.execute() + m.SYNC,
    ],
    # Syncs in the middle of a COPY, then an error whose answer must not be taken for another's.
    [
        m.parse("s", "one") + m.parse("c", "copy") + m.bind("c") + m.execute() + m.SYNC,
        m.copy_data() + m.SYNC + m.copy_data() + m.COPY_DONE + m.SYNC,
        m.bind("nothing") + m.close("s") + m.parse("s", "two") + m.SYNC + m.bind("s"),
        m.execute() + m.SYNC,
    ],
    [
        m.query("copy") + m.SYNC + m.copy_data() + m.COPY_DONE,
        m.query("fail") + m.query("two"),
    ],
    # A COPY that fails before it has read what was said within it.
    [
        m.parse("c", "copy raises") + m.bind("c") + m.execute() + m.SYNC,
        m.copy_data() + m.COPY_DONE + m.SYNC + m.query("fail") + m.query("two"),
    ],
    # And one that fails in the middle.
    [
        m.parse("c", "copy") + m.bind("c") + m.execute() + m.SYNC + m.copy_data(b"wrong"),
        m.SYNC + m.copy_data() + m.COPY_FAIL + m.SYNC + m.query("fail") + m.query("two"),
    ],
    # Data for what is no COPY.
    [
        m.parse("s", "one") + m.bind("s") + m.execute() + m.copy_data() + m.SYNC + m.copy_data(),
        m.SYNC + m.COPY_DONE + m.bind("s") + m.execute() + m.SYNC,
    ],
]


@pytest.mark.parametrize("said", ALL_AT_ONCE)
def test_of_a_client_that_does_not_wait(said: list[bytes]) -> None:
    conversation = talk(said, None)
    assert not conversation.is_broken
    assert_is_on_record(conversation)
    assert conversation.server.ran


@pytest.mark.parametrize("said", ALL_AT_ONCE)
@given(data=st.data())
def test_however_the_network_brings_it(said: list[bytes], data: st.DataObject) -> None:
    assert_is_on_record(talk(said, data))


@pytest.mark.parametrize("said", ALL_AT_ONCE)
def test_the_record_is_the_same_wherever_the_stream_is_cut(said: list[bytes]) -> None:
    stream = b"".join(said)
    whole = talk([stream], None).spool
    for cut in range(1, len(stream)):
        spool = talk([stream[:cut], stream[cut:]], None).spool
        assert spool.texts == whole.texts
        assert [spool.ends[each.seq].ending for each in spool.begun] == [
            whole.ends[each.seq].ending for each in whole.begun
        ]


AS_IF_THEY_KNEW = [
    # A statement within a COPY.
    [m.query("copy"), m.query("two")],
    # After a COPY that failed nobody knows which Sync was answered.
    [
        m.parse("c", "copy") + m.bind("c") + m.execute() + m.SYNC + m.copy_data(b"wrong"),
        m.parse("s", "two") + m.SYNC,
    ],
    # A COPY that ends without a Sync, and has one in it.
    [
        m.parse("c", "copy") + m.bind("c") + m.execute() + m.SYNC + m.copy_data(),
        m.COPY_DONE + m.parse("s", "two") + m.SYNC,
    ],
]


@pytest.mark.parametrize("said", AS_IF_THEY_KNEW)
def test_who_goes_on_as_if_it_knew_is_stopped(said: list[bytes]) -> None:
    conversation = Conversation()
    for flight in said:
        conversation.say(flight)
        conversation.answer(len(conversation.on_the_way))
    assert conversation.is_broken
    conversation.transcript.close()
    assert_is_on_record(conversation)
