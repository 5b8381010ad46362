"""Our handshake towards a target: messages in, commands out. Pure; `dial.py` obeys.

We are a SCRAM client that starts from keys. Any method that wants a password cannot be answered,
and is refused: a server that asks for one is not the server we made the login on.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from broker.domain.credential import ClientKeys
from proxy.scram import ClientExchange, ScramError
from proxy.wire.errors import UnexpectedMessage, WireError
from proxy.wire.framing import Frame
from proxy.wire.messages import (
    AuthenticationOk,
    AuthenticationSasl,
    AuthenticationSaslContinue,
    AuthenticationSaslFinal,
    BackendKeyData,
    OtherAuthentication,
    ServerError,
    decode_authentication,
    decode_backend_key,
    decode_error,
    encode_frame,
    encode_sasl_initial,
    encode_sasl_response,
)


@dataclass(frozen=True, slots=True)
class Send:
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to say; read the next message."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The target is ready. `greeting` is what the client must hear of it, in order, without the
    cancel key, which is replaced by one of ours. `mechanism` is how we logged in."""

    greeting: bytes = field(repr=False)
    cancel_key: BackendKeyData
    ready: bytes = field(repr=False)
    mechanism: str


@dataclass(frozen=True, slots=True)
class Refused:
    error: ServerError


Command = Send | Wait | LoggedIn | Refused

_NO_KEY = BackendKeyData(0, bytes(4))
_MAX_GREETING = 1_048_576  # bytes; parameters and notices take about 1,000


class _Step(Enum):
    """What the target has to say next."""

    OFFER = auto()
    CHALLENGE = auto()
    PROOF = auto()
    WELCOME = auto()
    GREETING = auto()


class UpstreamLogin:
    """One login, from the answer to our startup message to ReadyForQuery.

    `channel_binding` is the tls-server-end-point of the target's certificate, or None without TLS
    and for certificates that have none.
    """

    def __init__(self, keys: ClientKeys, nonce: bytes, channel_binding: bytes | None) -> None:
        self._exchange = ClientExchange(keys, nonce, channel_binding)
        self._mechanism = ""
        self._step = _Step.OFFER
        self._greeting = bytearray()
        self._cancel_key = _NO_KEY

    def receive(self, frame: Frame) -> Command:
        """Raises WireError, or ScramError when the target did not prove itself."""
        if frame.kind == b"E":
            return Refused(decode_error(frame.body))
        if self._step is _Step.GREETING:
            return self._greet(frame)
        match frame.kind:
            case b"R":
                return self._authenticate(frame)
            case b"N" | b"v":  # a notice, or its opinion of our protocol version
                return Wait()
            case _:
                raise UnexpectedMessage(frame.kind, "an authentication message")

    def _authenticate(self, frame: Frame) -> Command:
        match self._step, decode_authentication(frame.body):
            case _Step.OFFER, AuthenticationSasl(mechanisms):
                self._step = _Step.CHALLENGE
                first = self._exchange.first(mechanisms)
                self._mechanism = first.mechanism
                return Send(encode_sasl_initial(first.mechanism, first.data))
            case _Step.CHALLENGE, AuthenticationSaslContinue(data):
                self._step = _Step.PROOF
                return Send(encode_sasl_response(self._exchange.final(data)))
            case _Step.PROOF, AuthenticationSaslFinal(data):
                self._step = _Step.WELCOME
                self._exchange.check(data)
                return Wait()
            case _Step.WELCOME, AuthenticationOk():
                self._step = _Step.GREETING
                return Wait()
            case _, AuthenticationOk():
                # pg_hba says trust, or this is not the target: it let us in unproved.
                raise ScramError("the target let us in without proving itself")
            case _, OtherAuthentication(code):
                raise WireError(f"the target asks for authentication method {code}, not SCRAM")
            case _:
                raise ScramError("the target's SCRAM messages are out of order")

    def _greet(self, frame: Frame) -> Command:
        match frame.kind:
            case b"S" | b"N":  # parameters, and notices such as a collation that changed
                self._greeting += encode_frame(frame.kind, frame.body)
                if len(self._greeting) > _MAX_GREETING:
                    raise WireError("the target's greeting does not end")
                return Wait()
            case b"K":
                self._cancel_key = decode_backend_key(frame.body)
                return Wait()
            case b"Z":
                ready = encode_frame(b"Z", frame.body)
                return LoggedIn(bytes(self._greeting), self._cancel_key, ready, self._mechanism)
            case _:
                raise UnexpectedMessage(frame.kind, "a parameter, a key or ReadyForQuery")
