"""Transcripts of our login to a target: what it says, and what we do about it."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from struct import pack

import pytest

from broker.domain.credential import ClientKeys, Verifier, verifier_of
from proxy.scram import ScramError, ServerExchange
from proxy.upstream import LoggedIn, Refused, Send, UpstreamLogin, Wait
from proxy.wire.errors import MalformedMessage, UnexpectedMessage, WireError
from proxy.wire.framing import Frame, Frames
from proxy.wire.messages import (
    AUTHENTICATION_OK,
    BackendKeyData,
    ServerError,
    decode_sasl_initial,
    encode_authentication_sasl,
    encode_backend_key,
    encode_error,
    encode_frame,
    encode_negotiate_protocol,
    encode_sasl_continue,
    encode_sasl_final,
)

KEYS = ClientKeys(bytes(range(32)), bytes(range(32, 64)))
VERIFIER = verifier_of(KEYS, b"sixteen of salt.", 1)

PLAIN, PLUS = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"
BINDING = sha256(b"the target's certificate").digest()
OFFER = encode_authentication_sasl([PLUS, PLAIN])
NOTICE = encode_frame(b"N", b"SWARNING\0C01000\0Mcollation\0\0")
ENCODING = encode_frame(b"S", b"client_encoding\0UTF8\0")
VERSION = encode_frame(b"S", b"server_version\x0018.1\0")
KEY, NO_KEY = BackendKeyData(4711, bytes(32)), BackendKeyData(0, bytes(4))
READY = encode_frame(b"Z", b"I")


def frame(data: bytes) -> Frame:
    frames = Frames(65_536)
    frames.feed(data)
    found = frames.next_frame()
    assert found is not None
    return found


class Target:
    """A PostgreSQL that has a verifier for the login."""

    def __init__(self, verifier: Verifier = VERIFIER, channel_binding: bytes | None = None) -> None:
        self._exchange = ServerExchange([verifier], b"target's nonce", channel_binding)

    def challenge(self, answer: object, mechanism: str = "SCRAM-SHA-256") -> bytes:
        assert isinstance(answer, Send)
        initial = decode_sasl_initial(frame(answer.data).body)
        assert initial.mechanism == mechanism
        return encode_sasl_continue(self._exchange.first(mechanism, initial.data))

    def proof(self, answer: object) -> bytes:
        assert isinstance(answer, Send)
        return encode_sasl_final(self._exchange.final(frame(answer.data).body).server_final)


def new_login(channel_binding: bytes | None = None) -> UpstreamLogin:
    return UpstreamLogin(KEYS, b"proxy's nonce", channel_binding)


def authenticated() -> UpstreamLogin:
    login, target = new_login(), Target()
    challenge = target.challenge(login.receive(frame(OFFER)))
    login.receive(frame(target.proof(login.receive(frame(challenge)))))
    login.receive(frame(AUTHENTICATION_OK))
    return login


def test_a_login_from_the_first_offer_to_ready() -> None:
    login, target = new_login(), Target()
    asked = login.receive(frame(OFFER))
    proved = login.receive(frame(target.challenge(asked)))
    assert login.receive(frame(target.proof(proved))) == Wait()
    assert login.receive(frame(AUTHENTICATION_OK)) == Wait()
    assert login.receive(frame(ENCODING)) == Wait()
    assert login.receive(frame(VERSION)) == Wait()
    assert login.receive(frame(encode_backend_key(KEY))) == Wait()
    assert login.receive(frame(READY)) == LoggedIn(ENCODING + VERSION, KEY, READY, PLAIN)


def test_a_login_binds_to_the_certificate_of_a_target_that_offers_it() -> None:
    login, target = new_login(BINDING), Target(channel_binding=BINDING)
    proved = login.receive(frame(target.challenge(login.receive(frame(OFFER)), PLUS)))
    assert login.receive(frame(target.proof(proved))) == Wait()
    assert login.receive(frame(AUTHENTICATION_OK)) == Wait()
    assert login.receive(frame(READY)) == LoggedIn(b"", NO_KEY, READY, PLUS)


def test_a_target_hears_that_its_offer_of_channel_binding_was_taken_out() -> None:
    """Somebody in between with a certificate that we trust, who cannot bind for us."""
    login, target = new_login(BINDING), Target(channel_binding=BINDING)
    asked = login.receive(frame(encode_authentication_sasl([PLAIN])))
    with pytest.raises(ScramError, match=r"^the offer of channel binding did not reach"):
        target.challenge(asked)


def test_a_login_bound_to_another_certificate_gets_nowhere() -> None:
    login, target = new_login(bytes(32)), Target(channel_binding=BINDING)
    proved = login.receive(frame(target.challenge(login.receive(frame(OFFER)), PLUS)))
    with pytest.raises(ScramError, match=r"^the channel binding does not match$"):
        target.proof(proved)


def test_a_target_without_a_cancel_key_can_still_be_used() -> None:
    """Some poolers send none."""
    assert authenticated().receive(frame(READY)) == LoggedIn(b"", NO_KEY, READY, PLAIN)


@pytest.mark.parametrize(
    "aside",
    [NOTICE, encode_negotiate_protocol(0, ["_pq_.new"])],
    ids=["a notice", "its version of the protocol"],
)
def test_what_is_said_aside_before_authentication_changes_nothing(aside: bytes) -> None:
    login, target = new_login(), Target()
    assert login.receive(frame(aside)) == Wait()
    asked = login.receive(frame(OFFER))
    assert login.receive(frame(aside)) == Wait()
    proved = login.receive(frame(target.challenge(asked)))
    assert login.receive(frame(target.proof(proved))) == Wait()
    assert login.receive(frame(AUTHENTICATION_OK)) == Wait()
    assert login.receive(frame(READY)) == LoggedIn(b"", NO_KEY, READY, PLAIN)


def test_a_notice_to_the_person_reaches_them_among_the_parameters() -> None:
    """For example that a collation has changed."""
    login = authenticated()
    for message in (ENCODING, NOTICE, VERSION):
        assert login.receive(frame(message)) == Wait()
    ready = login.receive(frame(READY))
    assert ready == LoggedIn(ENCODING + NOTICE + VERSION, NO_KEY, READY, PLAIN)


def test_a_greeting_without_end_is_not_kept() -> None:
    """It waits in memory until the target is ready."""
    login = authenticated()
    notice = frame(encode_frame(b"N", b"M" + bytes(60_000)))
    for _ in range(17):
        login.receive(notice)
    with pytest.raises(WireError, match=r"^the target's greeting does not end$"):
        login.receive(notice)


class TestUnprovenTarget:
    """Whoever answers in the target's place must not see a single query."""

    def test_that_trusts_everybody_is_refused(self) -> None:
        with pytest.raises(ScramError, match=r"^the target let us in without proving itself$"):
            new_login().receive(frame(AUTHENTICATION_OK))

    def test_that_stops_asking_half_way_is_refused(self) -> None:
        login, target = new_login(), Target()
        login.receive(frame(target.challenge(login.receive(frame(OFFER)))))
        with pytest.raises(ScramError, match=r"^the target let us in without proving itself$"):
            login.receive(frame(AUTHENTICATION_OK))

    def test_that_does_not_know_the_verifier_is_refused(self) -> None:
        """It knows StoredKey, so that it can check our proof, but not ServerKey."""
        login = new_login()
        target = Target(replace(VERIFIER, server_key=bytes(32)))
        proved = login.receive(frame(target.challenge(login.receive(frame(OFFER)))))
        with pytest.raises(ScramError, match=r"^the server did not prove that it knows"):
            login.receive(frame(target.proof(proved)))

    def test_that_answers_with_a_nonce_of_its_own_is_refused(self) -> None:
        login = new_login()
        login.receive(frame(OFFER))
        with pytest.raises(ScramError, match=r"^the server's nonce does not extend ours$"):
            login.receive(frame(encode_sasl_continue(b"r=mine,s=c2FsdA==,i=1")))

    @pytest.mark.parametrize("done", range(4))
    def test_that_says_things_out_of_order_is_refused(self, done: int) -> None:
        """It gets no second proof, and none before it has asked."""
        login, target = new_login(), Target()
        said: list[bytes] = []
        for step in (lambda _: OFFER, target.challenge, target.proof)[:done]:
            said.append(step(login.receive(frame(said[-1])) if said else None))
        if said:
            login.receive(frame(said[-1]))
        messages = [OFFER, encode_sasl_continue(b"r=x,s=c2E=,i=1"), encode_sasl_final(b"v=")]
        for message in messages[:done] + messages[done + 1 :]:
            with pytest.raises(ScramError, match=r"^the target's SCRAM messages are out of order$"):
                login.receive(frame(message))


@pytest.mark.parametrize(
    ("code", "rest"),
    [(3, b""), (5, b"salt"), (7, b""), (9, b"")],
    ids=["cleartext", "md5", "gss", "sspi"],
)
def test_a_target_that_wants_a_password_gets_nothing(code: int, rest: bytes) -> None:
    """There is none, and a server that asks is not the one the login was made on."""
    with pytest.raises(WireError, match=f"^the target asks for authentication method {code}, "):
        new_login().receive(frame(encode_frame(b"R", pack("!I", code) + rest)))


def test_a_target_that_only_binds_to_channels_is_refused() -> None:
    """In the clear there is no channel to bind to, and a certificate may have no hash."""
    with pytest.raises(ScramError, match=r"^the server offers no SCRAM-SHA-256 that can be used"):
        new_login().receive(frame(encode_authentication_sasl([PLUS])))


def test_an_authentication_message_that_is_cut_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        new_login().receive(Frame(b"R", b"abc"))


@pytest.mark.parametrize("login", [new_login, authenticated])
def test_an_error_of_the_target_is_passed_on_whole(login: Callable[[], UpstreamLogin]) -> None:
    """Before and after authentication: the caller decides what the client may read of it."""
    error = encode_error("53300", "too many connections", hint="wait")
    assert login().receive(frame(error)) == Refused(
        ServerError(
            {"S": "FATAL", "V": "FATAL", "C": "53300", "M": "too many connections", "H": "wait"}
        )
    )


@pytest.mark.parametrize("data", [ENCODING, READY, encode_backend_key(KEY)])
def test_nothing_counts_before_authentication(data: bytes) -> None:
    with pytest.raises(UnexpectedMessage, match="an authentication message was expected"):
        new_login().receive(frame(data))


@pytest.mark.parametrize(
    "data",
    [OFFER, AUTHENTICATION_OK, encode_frame(b"D", b"row"), encode_frame(b"C", b"SELECT 1\0")],
    ids=["asks again", "welcomes again", "a row", "a tag"],
)
def test_nothing_but_the_greeting_comes_after_authentication(data: bytes) -> None:
    with pytest.raises(UnexpectedMessage, match="a parameter, a key or ReadyForQuery was expected"):
        authenticated().receive(frame(data))


def test_a_cancel_key_that_is_cut_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        authenticated().receive(Frame(b"K", bytes(7)))


def test_no_secret_shows_when_a_command_is_logged() -> None:
    sent = new_login().receive(frame(OFFER))
    assert repr(sent) == "Send()"
    logged_in = LoggedIn(b"greeting", BackendKeyData(1, b"secret"), b"ready", PLAIN)
    shown = "LoggedIn(cancel_key=BackendKeyData(pid=1), mechanism='SCRAM-SHA-256')"
    assert repr(logged_in) == shown
