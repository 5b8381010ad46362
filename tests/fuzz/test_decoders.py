"""Every decoder, given anything: a result or its declared error, and the same in any pieces.

What a peer may send is either nonsense, or a valid message that was changed in a few places: the
second gets further.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import islice, pairwise
from struct import pack
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.config.network_file import read_allowed, read_networks
from broker.domain.credential import ClientKeys, verifier_of
from broker.domain.statement.conditions import CommitGate, Conditions, Recorded, StatementKind
from broker.domain.statement.statement import Ending, Protocol
from broker.sql.kinds import statements_of
from proxy.scram import ClientExchange, ScramError, ServerExchange
from proxy.spool.records import Begin, Closed, DamagedRecord, End, encode_record, read_record
from proxy.startup import (
    Authenticate,
    Startup,
    application_name,
    client_name,
    upstream_parameters,
    wanted_database,
)
from proxy.upstream import LoggedIn, Refused, Send, UpstreamLogin
from proxy.watch import Watch
from proxy.wire.boundary import Boundary, Notable
from proxy.wire.errors import WireError
from proxy.wire.framing import Frame, Frames
from proxy.wire.messages import (
    AUTHENTICATION_OK,
    SCRAM_SHA_256,
    SCRAM_SHA_256_PLUS,
    SSL_REQUEST,
    TERMINATE,
    BackendKeyData,
    StartupMessage,
    decode_authentication,
    decode_backend_key,
    decode_error,
    decode_first,
    decode_sasl_initial,
    encode_authentication_sasl,
    encode_backend_key,
    encode_cancel,
    encode_error,
    encode_frame,
    encode_negotiate_protocol,
    encode_notice,
    encode_sasl_continue,
    encode_sasl_final,
    encode_sasl_initial,
    encode_sasl_response,
    encode_startup,
)
from proxy.wire.proxy_header import (
    MAX_HEADER_LENGTH,
    Header,
    MalformedProxyHeader,
    crc32c,
    looks_like_header,
    read_header,
)
from proxy.wire.requests import Requests
from tests.support import messages as m
from tests.support.record import SESSION, MemorySpool, transcript

KEYS = ClientKeys(bytes(range(32)), bytes(range(32, 64)))
VERIFIER = verifier_of(KEYS, b"sixteen of salt.", 1)
BINDING = bytes(32)
NONCE = b"eighteen of nonce."
KEY = BackendKeyData(4711, bytes(range(32)))


def _options(text: str) -> bytes:
    return encode_startup({"user": "dev.orders.reader", "database": "orders", "options": text})


FIRST_MESSAGES = [
    SSL_REQUEST,
    pack("!II", 8, 80877104),
    encode_cancel(KEY),
    encode_startup({"user": "dev.orders.reader", "database": "orders", "client_encoding": "UTF8"}),
    encode_startup({"user": "jit_dev", "_pq_.command_tag": "on", "Application_Name": "psql"}),
    encode_startup({"user": "jit_dev", "replication": "off", "search_path": "shop"}),
    _options("-c role=x"),
    _options(r"-crole\=x --session-authorization=y -ec statement_timeout=1\ s"),
]
CHALLENGE = b"r=cHJveHk=server,s=c2l4dGVlbiBvZiBzYWx0Lg==,i=4096"
SERVER_MESSAGES = [
    encode_authentication_sasl([SCRAM_SHA_256_PLUS, SCRAM_SHA_256]),
    encode_sasl_continue(CHALLENGE),
    encode_sasl_final(b"v=" + b"A" * 43 + b"="),
    AUTHENTICATION_OK,
    encode_frame(b"S", b"client_encoding\0UTF8\0"),
    encode_backend_key(KEY),
    encode_negotiate_protocol(2, ["_pq_.x"]),
    encode_error("28P01", "no", detail="at all", hint="none"),
    encode_notice("two minutes left"),
    encode_frame(b"Z", b"I"),
    encode_frame(b"R", pack("!I", 5) + b"salt"),
]
CLIENT_MESSAGES = [
    encode_sasl_initial(SCRAM_SHA_256, b"n,,n=,r=abcdefghijkl"),
    encode_sasl_response(b"c=biws,r=abc,p=AAAA"),
    encode_frame(b"Q", b"SELECT 1\0"),
    TERMINATE,
]
V1_HEADERS = [
    b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
    b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n",
    b"PROXY UNKNOWN\r\n",
    b"PROXY UNKNOWN ffff::1 whatever\r\n",
]


def _v2(command: int, family: int, addresses: bytes, tlvs: bytes = b"") -> bytes:
    block = addresses + tlvs
    return b"\r\n\r\n\0\r\nQUIT\n" + pack("!BBH", 0x20 + command, family, len(block)) + block


def _with_checksum(header: bytes) -> bytes:
    """Fill in the checksum of a header that ends with room for it."""
    return header[:-4] + crc32c(header).to_bytes(4)


V2_HEADERS = [
    _v2(1, 0x11, bytes(12)),
    _v2(1, 0x21, bytes(36), b"\x04\0\x02ok"),
    _v2(0, 0x00, b"a health check"),
    _v2(1, 0x31, bytes(216)),
    _with_checksum(_v2(1, 0x11, bytes(12), b"\x01\0\x0apostgresql\x03\0\x04" + bytes(4))),
]


@st.composite
def changed(draw: st.DrawFn, valid: Sequence[bytes]) -> bytes:
    """A valid message with some pieces replaced, taken out or put in, and maybe its end missing."""
    data = draw(st.sampled_from(valid))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(start + 8, len(data))))
        data = data[:start] + draw(st.binary(max_size=8)) + data[end:]
    return data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data


def anything_like(valid: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=200) | changed(valid)


def bodies(messages: Sequence[bytes], header: int = 5) -> list[bytes]:
    return [message[header:] for message in messages]


@st.composite
def pieces_of(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[start:end] for start, end in pairwise([0, *cuts, len(stream)])]


def single_bytes(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


@pytest.mark.parametrize(
    ("decode", "valid"),
    [
        (decode_first, bodies(FIRST_MESSAGES, 4)),
        (decode_sasl_initial, bodies(CLIENT_MESSAGES)),
        (decode_authentication, bodies(SERVER_MESSAGES)),
        (decode_backend_key, bodies(SERVER_MESSAGES)),
        (decode_error, bodies(SERVER_MESSAGES)),
    ],
)
@given(data=st.data())
def test_a_body_is_a_message_or_a_breach_of_the_protocol(
    decode: Callable[[bytes], object], valid: list[bytes], data: st.DataObject
) -> None:
    with suppress(WireError):
        decode(data.draw(anything_like(valid)))


class TestFrames:
    """Whatever comes, and however it is cut."""

    LONGEST = 256

    def read(self, pieces: Sequence[bytes]) -> list[Frame | str]:
        """Return the messages, then what is wrong with the stream, or what is left of it."""
        frames, found = Frames(self.LONGEST), list[Frame | str]()
        try:
            for piece in pieces:
                frames.feed(piece)
                while (frame := frames.next_frame()) is not None:
                    assert len(frame.body) <= self.LONGEST
                    found.append(frame)
        except WireError as error:
            return [*found, str(error)]
        return [*found, repr(frames.take_rest())]

    @given(data=st.data())
    def test_the_same_stream_is_the_same_in_any_pieces(self, data: st.DataObject) -> None:
        parts = st.lists(anything_like(SERVER_MESSAGES + CLIENT_MESSAGES), max_size=5)
        stream = b"".join(data.draw(parts))
        whole = self.read([stream])
        assert self.read(data.draw(pieces_of(stream))) == whole
        assert self.read(single_bytes(stream)) == whole

    @given(data=st.data())
    def test_a_first_message_is_the_same_in_any_pieces(self, data: st.DataObject) -> None:
        stream = data.draw(anything_like(FIRST_MESSAGES))
        whole = self.first([stream])
        assert self.first(data.draw(pieces_of(stream))) == whole
        assert self.first(single_bytes(stream)) == whole

    def first(self, pieces: Sequence[bytes]) -> bytes | str | None:
        frames, body = Frames(self.LONGEST), None
        try:
            for piece in pieces:
                frames.feed(piece)
                body = frames.next_startup() if body is None else body
        except WireError as error:
            return str(error)
        return body and body + b"|" + frames.take_rest()


@given(data=st.data())
def test_the_place_in_a_stream_is_the_same_in_any_pieces(data: st.DataObject) -> None:
    """Also in a stream with lengths that no server sends."""
    parts = st.lists(changed(SERVER_MESSAGES) | st.sampled_from(SERVER_MESSAGES), max_size=6)
    stream = b"".join(data.draw(parts))

    def place(pieces: Sequence[bytes]) -> tuple[bool, int]:
        boundary = Boundary()
        for piece in pieces:
            boundary.advance(piece)
        return boundary.between_messages, boundary.last_kind

    lengths = [message[1:5] for message in SERVER_MESSAGES]
    assert all(int.from_bytes(length) >= 4 for length in lengths)
    place(single_bytes(stream))
    place(data.draw(pieces_of(stream)))
    valid = b"".join(data.draw(st.lists(st.sampled_from(SERVER_MESSAGES), max_size=6)))
    assert place(data.draw(pieces_of(valid))) == place([valid]) == place(single_bytes(valid))


class TestProxyHeader:
    VALID = V1_HEADERS + V2_HEADERS

    def read(self, stream: bytes, *, by_bytes: bool = False) -> tuple[Header | str | None, int]:
        """Read like `read_source`, as much as is asked for or byte by byte. Return what came of it
        (None: the stream ended) and how many bytes were taken."""
        taken = 0
        while True:
            try:
                step = read_header(stream[:taken])
            except MalformedProxyHeader as error:
                return str(error), taken
            if isinstance(step, Header):
                assert step.consumed == taken
                return step, taken
            assert 1 <= step.at_least <= MAX_HEADER_LENGTH - taken
            if taken == len(stream):
                return None, taken
            taken = min(taken + (1 if by_bytes else step.at_least), len(stream))

    @pytest.mark.parametrize("header", VALID)
    @given(following=st.binary(max_size=20))
    def test_takes_not_one_byte_of_what_follows(self, header: bytes, following: bytes) -> None:
        for by_bytes in (False, True):
            step, taken = self.read(header + following, by_bytes=by_bytes)
            assert isinstance(step, Header)
            assert taken == len(header)

    @given(data=st.data())
    def test_anything_is_a_header_or_malformed(self, data: st.DataObject) -> None:
        stream = data.draw(anything_like(self.VALID))
        step, _taken = self.read(stream)
        slow, _taken = self.read(stream, by_bytes=True)
        if isinstance(step, Header):
            assert slow == step
        assert isinstance(slow, Header) == isinstance(step, Header)
        looks_like_header(stream)


@pytest.mark.parametrize("bound", [None, BINDING])
@given(data=st.data())
def test_a_client_in_scram_proves_itself_or_fails(bound: bytes | None, data: st.DataObject) -> None:
    server = ServerExchange([VERIFIER], NONCE, bound)
    mechanism = data.draw(st.sampled_from([SCRAM_SHA_256, SCRAM_SHA_256_PLUS, "SCRAM"]))
    client = ClientExchange(KEYS, b"client's", bound)
    valid = client.first(server.mechanisms).data
    with suppress(ScramError):
        said = server.first(mechanism, data.draw(anything_like([valid, b"n,,n=,r=abc,x=y"])))
        answer = b"c=biws,r=abc,p=" + b"A" * 43 + b"="
        with suppress(ScramError):
            answer = client.final(said)
        server.final(data.draw(anything_like([answer])))


@pytest.mark.parametrize("bound", [None, BINDING])
@given(data=st.data())
def test_a_server_in_scram_proves_itself_or_fails(bound: bytes | None, data: st.DataObject) -> None:
    server, client = ServerExchange([VERIFIER], NONCE, bound), ClientExchange(KEYS, NONCE, bound)
    first = client.first(server.mechanisms)
    challenge = server.first(first.mechanism, first.data)
    with suppress(ScramError):
        client.final(data.draw(anything_like([challenge])))
    proved = server.final(client.final(challenge))
    said = data.draw(anything_like([proved.server_final]))
    with suppress(ScramError):
        client.check(said)
        assert said.startswith(proved.server_final)  # nothing else proves it


class TestUpstream:
    """What a target, or whoever answers in its place, may say at every step of a login."""

    def transcript(self) -> Iterator[tuple[UpstreamLogin, bytes]]:
        """Yield the login at each step, with what PostgreSQL would say next."""
        login, server = UpstreamLogin(KEYS, NONCE, None), ServerExchange([VERIFIER], NONCE, None)
        offer = encode_authentication_sasl(server.mechanisms)
        yield login, offer
        asked = login.receive(_frame(offer))
        assert isinstance(asked, Send)
        initial = decode_sasl_initial(_frame(asked.data).body)
        challenge = encode_sasl_continue(server.first(initial.mechanism, initial.data))
        yield login, challenge
        proved = login.receive(_frame(challenge))
        assert isinstance(proved, Send)
        final = encode_sasl_final(server.final(_frame(proved.data).body).server_final)
        for message in (final, AUTHENTICATION_OK, encode_backend_key(KEY)):
            yield login, message
            login.receive(_frame(message))
        yield login, encode_frame(b"Z", b"I")

    @pytest.mark.parametrize("step", range(6))
    @given(data=st.data())
    def test_anything_is_understood_or_refused(self, step: int, data: st.DataObject) -> None:
        login, following = next(islice(self.transcript(), step, None))
        nonsense = st.builds(Frame, st.binary(min_size=1, max_size=1), st.binary(max_size=100))
        likely = changed([following]) | changed(SERVER_MESSAGES)
        with suppress(WireError, ScramError):
            for frame in data.draw(st.lists(nonsense | likely.map(_frame_or_none), max_size=4)):
                if frame and isinstance(login.receive(frame), LoggedIn | Refused):
                    break

    def test_no_greeting_fills_memory(self) -> None:
        *_, (login, _ready) = self.transcript()
        notice = Frame(b"N", bytes(60_000))
        for _ in range(1_048_576 // 60_005):
            login.receive(notice)
        with pytest.raises(WireError, match="does not end"):
            login.receive(notice)


def _frame(message: bytes) -> Frame:
    frame = _frame_or_none(message)
    assert frame is not None
    return frame


def _frame_or_none(message: bytes) -> Frame | None:
    frames = Frames(65_536)
    frames.feed(message)
    try:
        return frames.next_frame()
    except WireError:
        return None


@st.composite
def startups(draw: st.DrawFn) -> StartupMessage:
    """Startup messages with names that PostgreSQL knows, in any case, and with others."""
    known = ("user", "database", "options", "replication", "role", "application_name", "TimeZone")
    name = st.sampled_from(known).flatmap(
        lambda known: st.sampled_from([known, known.upper(), known.title()])
    ) | st.text(st.characters(blacklist_characters="\0", codec="utf-8"), min_size=1, max_size=9)
    value = st.text(st.characters(blacklist_characters="\0", codec="utf-8"), max_size=30) | st.text(
        r"-cCe= \role_sionauhz" + "\t\v", max_size=40
    )
    parameters = {"user": draw(value), **draw(st.dictionaries(name, value, max_size=5))}
    message = decode_first(encode_startup(parameters)[4:])
    assert isinstance(message, StartupMessage)
    return message


class TestStartup:
    @given(data=st.data())
    def test_any_first_messages_are_answered_or_refused(self, data: st.DataObject) -> None:
        startup = Startup(
            tls_available=data.draw(st.booleans()), tls_required=data.draw(st.booleans())
        )
        if data.draw(st.booleans()):
            startup.encrypted_from_the_start()
        with suppress(WireError):
            for message in data.draw(st.lists(changed(FIRST_MESSAGES), max_size=4)):
                startup.receive(decode_first(message[4:]))

    @given(startup=startups())
    def test_nothing_that_is_passed_on_changes_who_acts(self, startup: StartupMessage) -> None:
        """As PostgreSQL will read it: names in any case, the last of two."""
        if not isinstance(
            Startup(tls_available=False, tls_required=False).receive(startup), Authenticate
        ):
            return
        shown = application_name(startup, grant_id="grt_1", address="192.0.2.1")
        parameters = upstream_parameters(
            startup, user="jit_dev", database="orders", application=shown
        )
        sent = decode_first(encode_startup(parameters)[4:])
        assert isinstance(sent, StartupMessage)
        heard = {name.lower(): value for name, value in sent.parameters.items()}
        assert (heard["user"], heard["database"]) == ("jit_dev", "orders")
        assert heard["application_name"] == shown
        assert not {"role", "session_authorization", "replication"} & set(heard)
        assert shown.isascii()
        assert shown.isprintable()
        assert client_name(startup).isprintable()
        wanted_database(startup, granted="orders")


@given(data=st.data())
def test_a_network_file_is_read_or_its_first_fault_is_named(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "networks.txt"
    valid = [b"10.1.2.0/24 # here\n2001:db8::/32\n", b"\xef\xbb\xbf::ffff:0:0/96\r\n192.0.2.1\n#\n"]
    path.write_bytes(data.draw(anything_like(valid)))
    for read in (read_networks, read_allowed):
        with suppress(ValueError):
            read(path)


SAID = [
    m.query("SELECT 1"),
    m.query("BEGIN; UPDATE t SET a = 1"),
    m.parse("s", "DELETE FROM t WHERE a = $1", 23),
    m.bind("s", b"1", None, portal="p", formats=(1, 0)),
    m.execute("p"),
    m.close("s"),
    m.call(1_299),
    m.copy_data() + m.COPY_DONE,
    m.SYNC,
]
HEARD = [
    m.PARSED + m.BOUND,
    m.ROW + m.complete("SELECT 1"),
    m.failed() + m.ready(b"E"),
    m.SUSPENDED + m.EMPTY + m.CLOSED + m.CALLED,
    m.COPY_IN,
    m.ready(),
]
RECORDS = [
    encode_record(each)
    for each in (
        Begin(
            session_id=SESSION,
            seq=1,
            started_at_us=1,
            protocol=Protocol.EXTENDED,
            text=b"SELECT $1",
            text_bytes=5_000,
            text_sha256=bytes(32),
            parameter_types=(23,),
            parameters=(b"1", None),
        ),
        End(
            session_id=SESSION,
            seq=1,
            ending=Ending.DONE,
            duration_us=1,
            rows=None,
            tag=b"SELECT 1",
            sqlstate=b"00000",
            bytes_from_client=1,
            bytes_to_client=1,
        ),
        Closed(SESSION),
    )
]


class TestRecord:
    """What both sides may say to a session that is on record, and what may be in a spool."""

    @given(data=st.data())
    def test_what_a_client_says_is_the_same_in_any_pieces(self, data: st.DataObject) -> None:
        stream = b"".join(data.draw(st.lists(anything_like(SAID), max_size=5)))

        def read(pieces: Sequence[bytes]) -> list[object]:
            requests, found = Requests(32), list[object]()
            with suppress(WireError):
                for piece in pieces:
                    position = 0
                    while position < len(piece):
                        position, request = requests.next_in(piece, position)
                        found += [] if request is None else [request]
            return found

        whole = read([stream])
        assert read(data.draw(pieces_of(stream))) == whole
        assert read(single_bytes(stream)) == whole

    @given(data=st.data())
    def test_what_is_notable_is_the_same_in_any_pieces(self, data: st.DataObject) -> None:
        stream = b"".join(data.draw(st.lists(st.sampled_from(HEARD), max_size=6)))

        def read(pieces: Sequence[bytes]) -> list[Notable]:
            boundary = Boundary()
            for piece in pieces:
                boundary.advance(piece)
            return boundary.notable

        assert read(data.draw(pieces_of(stream))) == read([stream]) == read(single_bytes(stream))

    @given(data=st.data())
    def test_a_spool_has_records_or_is_damaged(self, data: st.DataObject) -> None:
        payload = data.draw(anything_like([each[8:] for each in RECORDS]))
        framed = pack("<II", len(payload), crc32(payload)) + payload
        for stored in (data.draw(anything_like(RECORDS)), framed):
            with suppress(DamagedRecord):
                read = read_record(stored, 0)
                assert read is None or read[1] <= len(stored)

    @pytest.mark.parametrize("gated", [False, True])
    @given(data=st.data())
    def test_a_session_is_recorded_and_judged_whatever_is_said(
        self, data: st.DataObject, *, gated: bool
    ) -> None:
        spool = MemorySpool()
        record = transcript(spool, longest_text=1_024, recorded=Recorded.VALUES)
        gate = CommitGate(rows=1, within=timedelta(minutes=1)) if gated else None
        refused = frozenset({StatementKind.DELETE})
        watch = Watch(Conditions(commit_gate=gate, refused=refused), record, statements_of)
        said = st.tuples(st.just(value=True), anything_like(SAID))
        heard = st.tuples(st.just(value=False), anything_like(HEARD))
        with suppress(WireError):
            for from_client, message in data.draw(st.lists(said | heard, max_size=10)):
                if not from_client:
                    record.server_says(message)
                    continue
                watch.judge(message[0] if message else 0, message[5:])
                record.client_says(message)
        record.close()
        assert len(spool.ends) == len(spool.begun)
