"""What we read means what its sender meant, or is refused; what we write, anyone can read."""

from collections.abc import Callable
from contextlib import suppress
from struct import pack

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.wire.errors import (
    MalformedMessage,
    UnexpectedMessage,
    UnsupportedProtocol,
    WireError,
)
from proxy.wire.framing import Frame, Frames
from proxy.wire.messages import (
    AUTHENTICATION_OK,
    PROTOCOL_3_0,
    SSL_REQUEST,
    TERMINATE,
    Authentication,
    AuthenticationOk,
    AuthenticationSasl,
    AuthenticationSaslContinue,
    AuthenticationSaslFinal,
    BackendKeyData,
    CancelRequest,
    FirstMessage,
    GssEncRequest,
    OtherAuthentication,
    SaslInitialResponse,
    ServerError,
    SslRequest,
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
    encode_statement_error,
)

SSL_BODY = pack("!I", 80877103)
CANCEL_CODE = pack("!I", 80877102)
V3 = pack("!I", PROTOCOL_3_0)

# What a client can put into a startup message: no name is empty, and nothing holds a zero byte.
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
names = words.filter(lambda name: name and not name.startswith("_pq_."))

# Random bytes alone would hardly ever get past a code.
codes = st.sampled_from([b"", V3, CANCEL_CODE, SSL_BODY, b"SCRAM-SHA-256\0", pack("!I", 10)])
bodies = st.builds(bytes.__add__, codes, st.binary(max_size=300))


def framed(data: bytes) -> Frame:
    frames = Frames(65_536)
    frames.feed(data)
    frame = frames.next_frame()
    assert frame is not None
    assert frames.take_rest() == b""
    return frame


def first_body(data: bytes) -> bytes:
    frames = Frames(65_536)
    frames.feed(data)
    body = frames.next_startup()
    assert body is not None
    assert frames.take_rest() == b""
    return body


class TestFirstMessage:
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (SSL_BODY, SslRequest()),
            (pack("!I", 80877104), GssEncRequest()),
            (CANCEL_CODE + pack("!I", 7) + b"4key", CancelRequest(7, b"4key")),
            (
                CANCEL_CODE + pack("!I", 2**32 - 1) + bytes(256),
                CancelRequest(2**32 - 1, bytes(256)),
            ),
            (V3 + b"user\0ada\0\0", StartupMessage(0, {"user": "ada"}, ())),
            (
                V3 + b"user\0ada\0database\0\0\0",
                StartupMessage(0, {"user": "ada", "database": ""}, ()),
            ),
            (V3 + b"\0", StartupMessage(0, {}, ())),
            (V3 + b"user\0J\xc3\xa9\0\0", StartupMessage(0, {"user": "J\u00e9"}, ())),
        ],
        ids=["tls", "gss", "cancel", "long cancel key", "startup", "empty value", "bare", "utf-8"],
    )
    def test_is_understood(self, body: bytes, message: FirstMessage) -> None:
        assert decode_first(body) == message

    def test_may_speak_a_newer_minor_version_with_options_of_its_own(self) -> None:
        body = pack("!I", PROTOCOL_3_0 + 9999) + b"_pq_.test\0on\0user\0ada\0_pq_.b\0\0\0"
        assert decode_first(body) == StartupMessage(9999, {"user": "ada"}, ("_pq_.test", "_pq_.b"))

    @pytest.mark.parametrize(
        ("minor", "options", "expected"),
        [
            (0, (), (0, False, 4)),
            (0, ("_pq_.a",), (0, True, 4)),
            (1, (), (1, False, 4)),
            (2, (), (2, False, 32)),
            (2, ("_pq_.a",), (2, True, 32)),
            (3, (), (2, True, 32)),
            (9999, ("_pq_.a",), (2, True, 32)),
        ],
    )
    def test_leads_to_the_newest_version_that_both_speak(
        self, minor: int, options: tuple[str, ...], expected: tuple[int, bool, int]
    ) -> None:
        """Which one, whether that must be said, and how long its cancel keys are."""
        startup = StartupMessage(minor, {"user": "ada"}, options)
        assert expected == (
            startup.spoken_minor,
            startup.needs_negotiation,
            startup.cancel_key_bytes,
        )

    def test_that_names_a_parameter_twice_means_the_last_one(self) -> None:
        """As PostgreSQL does: what we check must be what it would take."""
        assert decode_first(V3 + b"user\0ada\0user\0bob\0\0") == StartupMessage(
            0, {"user": "bob"}, ()
        )

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            SSL_BODY[:3],
            CANCEL_CODE + bytes(7),
            CANCEL_CODE + bytes(4 + 257),
            V3,
            V3 + b"user\0ada",
            V3 + b"user\0ada\0",
            V3 + b"user\0\0",
            V3 + b"user\0ada\0\0\0",
            V3 + b"\0ada\0\0",
            V3 + b"user\0\xff\0\0",
        ],
        ids=[
            "empty",
            "too short for a code",
            "cancel key of three bytes",
            "cancel key of 257 bytes",
            "no end",
            "cut in a value",
            "no final zero",
            "name without value",
            "something after the end",
            "empty name",
            "not UTF-8",
        ],
    )
    def test_that_is_malformed_is_refused(self, body: bytes) -> None:
        with pytest.raises(MalformedMessage) as caught:
            decode_first(body)
        assert caught.value.sqlstate == "08P01"

    @pytest.mark.parametrize(("major", "minor"), [(2, 0), (4, 0), (0, 0), (1234, 5681)])
    def test_of_another_protocol_is_refused_by_name(self, major: int, minor: int) -> None:
        with pytest.raises(UnsupportedProtocol, match=f"protocol {major}.{minor}: ") as caught:
            decode_first(pack("!HH", major, minor) + b"user\0ada\0\0")
        assert caught.value.sqlstate == "0A000"

    @given(parameters=st.dictionaries(names, words))
    def test_that_we_send_is_what_we_would_read(self, parameters: dict[str, str]) -> None:
        sent = first_body(encode_startup(parameters))
        assert decode_first(sent) == StartupMessage(0, parameters, ())

    def test_asking_for_tls_is_what_we_would_read(self) -> None:
        assert decode_first(first_body(SSL_REQUEST)) == SslRequest()

    @given(pid=st.integers(0, 2**32 - 1), key=st.binary(min_size=4, max_size=256))
    def test_asking_to_cancel_is_what_we_would_read(self, pid: int, key: bytes) -> None:
        body = first_body(encode_cancel(BackendKeyData(pid, key)))
        assert decode_first(body) == CancelRequest(pid, key)


class TestSaslInitialResponse:
    @given(data=st.binary(max_size=60))
    def test_that_we_send_is_what_we_would_read(self, data: bytes) -> None:
        frame = framed(encode_sasl_initial("SCRAM-SHA-256", data))
        assert frame.kind == b"p"
        assert decode_sasl_initial(frame.body) == SaslInitialResponse("SCRAM-SHA-256", data)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"SCRAM-SHA-256",
            b"SCRAM-SHA-256\0\0\0\0",
            b"SCRAM-SHA-256\0\0\0\0\x02a",
            b"SCRAM-SHA-256\0\0\0\0\x01ab",
            b"SCRAM-SHA-256\0\xff\xff\xff\xff",
            b"SCRAM-\xe9\0\0\0\0\x01a",
        ],
        ids=["empty", "no zero", "no length", "too short", "too long", "no data", "not ASCII"],
    )
    def test_that_is_malformed_is_refused(self, body: bytes) -> None:
        with pytest.raises(MalformedMessage):
            decode_sasl_initial(body)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (AUTHENTICATION_OK, AuthenticationOk()),
        (
            encode_authentication_sasl(["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]),
            AuthenticationSasl(("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")),
        ),
        (encode_authentication_sasl([]), AuthenticationSasl(())),
        (encode_sasl_continue(b"r=..."), AuthenticationSaslContinue(b"r=...")),
        (encode_sasl_final(b"v=..."), AuthenticationSaslFinal(b"v=...")),
        (encode_frame(b"R", pack("!I", 3)), OtherAuthentication(3)),
        (encode_frame(b"R", pack("!I", 5) + b"salt"), OtherAuthentication(5)),
    ],
    ids=["ok", "sasl", "no mechanism", "continue", "final", "cleartext", "md5"],
)
def test_a_servers_step_of_authentication_is_understood(
    data: bytes, message: Authentication
) -> None:
    frame = framed(data)
    assert frame.kind == b"R"
    assert decode_authentication(frame.body) == message


@pytest.mark.parametrize("body", [b"", b"\0\0\0", pack("!I", 10) + b"SCRAM-\xe9\0\0"])
def test_a_servers_malformed_authentication_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_authentication(body)


@given(pid=st.integers(0, 2**32 - 1), key=st.binary(min_size=4, max_size=256))
def test_a_cancel_key_of_any_length_survives(pid: int, key: bytes) -> None:
    """Four bytes in protocol 3.0, 32 from PostgreSQL 18 in 3.2."""
    frame = framed(encode_backend_key(BackendKeyData(pid, key)))
    assert frame.kind == b"K"
    assert decode_backend_key(frame.body) == BackendKeyData(pid, key)


@pytest.mark.parametrize("size", range(8))
def test_a_cancel_key_that_is_cut_is_refused(size: int) -> None:
    with pytest.raises(MalformedMessage):
        decode_backend_key(bytes(size))


class TestServerError:
    def test_gives_its_fields_by_their_letter(self) -> None:
        error = decode_error(b"SFATAL\0VFATAL\0C53300\0Mtoo many\0Hwait\0\0")
        assert error == ServerError(
            {"S": "FATAL", "V": "FATAL", "C": "53300", "M": "too many", "H": "wait"}
        )
        assert (error.sqlstate, error.message) == ("53300", "too many")

    def test_without_fields_is_an_internal_error(self) -> None:
        error = decode_error(b"\0")
        assert (error.sqlstate, error.message) == ("XX000", "")

    def test_in_another_encoding_is_still_readable(self) -> None:
        """A server that fails before it knows the client's encoding answers in its own."""
        assert decode_error(b"Macc\xe8s refus\xe9\0\0").message == "acc\ufffds refus\ufffd"


class TestOurError:
    def test_ends_the_session_and_says_all_that_a_person_needs(self) -> None:
        frame = framed(
            encode_error("28000", "no live grant", detail="It ended.", hint="Ask again.")
        )
        assert frame.kind == b"E"
        assert frame.body == (
            b"SFATAL\0VFATAL\0C28000\0Mno live grant\0DIt ended.\0HAsk again.\0\0"
        )

    @pytest.mark.parametrize("nothing", [None, ""])
    def test_leaves_out_what_it_has_nothing_to_say_about(self, nothing: str | None) -> None:
        """An empty field would be printed as an empty line."""
        frame = framed(encode_error("57P01", "over", detail=nothing, hint=nothing))
        assert frame.body == b"SFATAL\0VFATAL\0C57P01\0Mover\0\0"

    def test_may_be_about_a_statement_after_which_the_session_goes_on(self) -> None:
        frame = framed(encode_statement_error("42501", "not this one", hint="Another."))
        assert frame.body == b"SERROR\0VERROR\0C42501\0Mnot this one\0HAnother.\0\0"

    def test_cannot_be_cut_short_or_extended_by_a_zero_byte_in_its_text(self) -> None:
        """The text may carry a name that a client chose."""
        frame = framed(encode_error("28P01", "user a\0Hvisit evil.example\0"))
        assert frame.body == b"SFATAL\0VFATAL\0C28P01\0Muser aHvisit evil.example\0\0"

    @given(message=words, detail=words.filter(bool), hint=words.filter(bool))
    def test_is_what_a_client_reads(self, message: str, detail: str, hint: str) -> None:
        frame = framed(encode_error("08006", message, detail=detail, hint=hint))
        assert decode_error(frame.body).fields == {
            "S": "FATAL",
            "V": "FATAL",
            "C": "08006",
            "M": message,
            "D": detail,
            "H": hint,
        }


def test_a_notice_is_told_like_an_error_and_ends_nothing() -> None:
    notice = encode_notice("access ends soon", hint="Ask for more.")
    assert notice[:1] == b"N"
    assert int.from_bytes(notice[1:5]) == len(notice) - 1
    assert decode_error(notice[5:]).fields == {
        "S": "NOTICE",
        "V": "NOTICE",
        "C": "00000",
        "M": "access ends soon",
        "H": "Ask for more.",
    }


@pytest.mark.parametrize(
    ("data", "bytes_on_the_wire"),
    [
        (encode_sasl_response(b"c=biws"), b"p\0\0\0\x0ac=biws"),
        (encode_negotiate_protocol(0, []), b"v\0\0\0\x0c\0\x03\0\0\0\0\0\0"),
        (
            encode_negotiate_protocol(2, ["_pq_.a", "_pq_.b"]),
            b"v\0\0\0\x1a\0\x03\0\x02\0\0\0\x02_pq_.a\0_pq_.b\0",
        ),
        (AUTHENTICATION_OK, b"R\0\0\0\x08\0\0\0\0"),
        (TERMINATE, b"X\0\0\0\x04"),
        (SSL_REQUEST, b"\0\0\0\x08\x04\xd2\x16\x2f"),
    ],
    ids=["SASL response", "speak 3.0", "unknown options", "welcome", "goodbye", "ask for TLS"],
)
def test_what_we_write_is_byte_for_byte_what_the_protocol_says(
    data: bytes, bytes_on_the_wire: bytes
) -> None:
    assert data == bytes_on_the_wire


@pytest.mark.parametrize(
    "decode",
    [decode_first, decode_sasl_initial, decode_authentication, decode_backend_key, decode_error],
)
@given(body=bodies)
@example(body=b"")
@example(body=pack("!I", 10) + b"\xff\0")
@example(body=V3 + b"user\0\xff\0\0")
def test_random_bytes_break_nothing(decode: Callable[[bytes], object], body: bytes) -> None:
    """A peer hears of a protocol violation, and nobody of an accident of ours."""
    with suppress(WireError):
        decode(body)


def test_a_message_out_of_turn_is_told_what_was_expected() -> None:
    error = UnexpectedMessage(b"Q", "a SASL response")
    assert str(error) == "unexpected message type b'Q': a SASL response was expected"
    assert error.sqlstate == "08P01"


@pytest.mark.parametrize(
    "message",
    [
        CancelRequest(7, b"secret"),
        SaslInitialResponse("SCRAM-SHA-256", b"secret"),
        AuthenticationSaslContinue(b"secret"),
        AuthenticationSaslFinal(b"secret"),
        BackendKeyData(7, b"secret"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_no_secret_shows_when_a_message_is_logged(message: object) -> None:
    assert "secret" not in repr(message)
