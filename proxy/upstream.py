"""Our handshake towards a target: messages in, commands out. Pure; `dial.py` obeys.

We are a SCRAM client that starts from keys. Any method that wants a password cannot be answered,
and is refused: a server that asks for one is not the server we made the login on.
"""

from dataclasses import dataclass, field
from typing import assert_never

from broker.domain.credential import ClientKeys
from proxy.scram import ClientExchange, ScramError
from proxy.wire.errors import UnexpectedMessage, WireError
from proxy.wire.framing import Frame
from proxy.wire.messages import (
    SCRAM_SHA_256,
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
    cancel key, which is replaced by one of ours."""

    greeting: bytes = field(repr=False)
    cancel_key: BackendKeyData
    ready: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    error: ServerError


Command = Send | Wait | LoggedIn | Refused

_NO_KEY = BackendKeyData(0, bytes(4))


class UpstreamLogin:
    """One login, from the answer to our startup message to ReadyForQuery."""

    def __init__(self, keys: ClientKeys, nonce: bytes) -> None:
        self._exchange = ClientExchange(keys, nonce)
        self._proved = False
        self._authenticated = False
        self._greeting = b""
        self._cancel_key = _NO_KEY

    def receive(self, frame: Frame) -> Command:
        """Raises WireError, or ScramError when the target did not prove itself."""
        if frame.kind == b"E":
            return Refused(decode_error(frame.body))
        if frame.kind == b"R" and not self._authenticated:
            return self._authenticate(frame)
        if not self._authenticated:
            if frame.kind in (b"N", b"v"):
                return Wait()  # a notice, or its opinion of our protocol version
            raise UnexpectedMessage(frame.kind, "an authentication message")
        match frame.kind:
            case b"S" | b"N":  # parameters, and notices such as a collation that changed
                self._greeting += encode_frame(frame.kind, frame.body)
                return Wait()
            case b"K":
                self._cancel_key = decode_backend_key(frame.body)
                return Wait()
            case b"Z":
                ready = encode_frame(b"Z", frame.body)
                return LoggedIn(self._greeting, self._cancel_key, ready)
            case _:
                raise UnexpectedMessage(frame.kind, "a parameter, a key or ReadyForQuery")

    def _authenticate(self, frame: Frame) -> Command:
        match decode_authentication(frame.body):
            case AuthenticationSasl(mechanisms):
                if SCRAM_SHA_256 not in mechanisms:
                    raise WireError("the target does not offer SCRAM-SHA-256")
                return Send(encode_sasl_initial(SCRAM_SHA_256, self._exchange.first()))
            case AuthenticationSaslContinue(data):
                return Send(encode_sasl_response(self._exchange.final(data)))
            case AuthenticationSaslFinal(data):
                self._exchange.check(data)
                self._proved = True
                return Wait()
            case AuthenticationOk():
                if not self._proved:
                    # pg_hba says trust, or this is not the target: it let us in unproved.
                    raise ScramError("the target let us in without proving itself")
                self._authenticated = True
                return Wait()
            case OtherAuthentication(code):
                raise WireError(f"the target asks for authentication method {code}, not SCRAM")
            case other:
                assert_never(other)
