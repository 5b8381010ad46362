"""The messages that we read or write ourselves; all others are passed on unread.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from struct import pack, unpack_from

from proxy.wire.errors import MalformedMessage, UnsupportedProtocol

PROTOCOL_MAJOR = 3
NEWEST_MINOR = 2
PROTOCOL_3_0 = PROTOCOL_MAJOR << 16
_CANCEL_CODE = 80877102
_SSL_CODE = 80877103
_GSSENC_CODE = 80877104

SSL_REQUEST = pack("!II", 8, _SSL_CODE)
TERMINATE = b"X" + pack("!I", 4)
AUTHENTICATION_OK = b"R" + pack("!II", 8, 0)
SCRAM_SHA_256 = "SCRAM-SHA-256"
SCRAM_SHA_256_PLUS = "SCRAM-SHA-256-PLUS"

_SHORT_KEY, _LONG_KEY = 4, 32  # as PostgreSQL has them

_AUTH_SASL, _AUTH_SASL_CONTINUE, _AUTH_SASL_FINAL = 10, 11, 12


@dataclass(frozen=True, slots=True)
class SslRequest:
    """The client asks for TLS."""


@dataclass(frozen=True, slots=True)
class GssEncRequest:
    """The client asks for GSSAPI encryption, which we never speak."""


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """The client asks to cancel the query of another connection, which `key` proves to be its."""

    pid: int
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StartupMessage:
    """`minor` is the protocol's minor version as the client asks for it. `_pq_.` options are in
    `protocol_options`."""

    minor: int
    parameters: Mapping[str, str]
    protocol_options: tuple[str, ...]

    @property
    def spoken_minor(self) -> int:
        """The minor version that both sides know."""
        return min(self.minor, NEWEST_MINOR)

    @property
    def needs_negotiation(self) -> bool:
        """Whether the client asks for more than we know, and has to be told what we do."""
        return self.minor > NEWEST_MINOR or bool(self.protocol_options)

    @property
    def cancel_key_bytes(self) -> int:
        """How long the key of a cancel request is: short up to 3.1, up to 256 bytes from 3.2 on."""
        return _SHORT_KEY if self.spoken_minor < NEWEST_MINOR else _LONG_KEY


FirstMessage = SslRequest | GssEncRequest | CancelRequest | StartupMessage


def decode_first(body: bytes) -> FirstMessage:
    """Read a message without a type byte. Raises WireError."""
    if len(body) < 4:
        raise MalformedMessage("first message")
    (code,) = unpack_from("!I", body)
    match code:
        case _ if code == _SSL_CODE:
            return SslRequest()
        case _ if code == _GSSENC_CODE:
            return GssEncRequest()
        case _ if code == _CANCEL_CODE:
            # 4 bytes of key in protocol 3.0, up to 256 in 3.2
            if not 12 <= len(body) <= 264:
                raise MalformedMessage("cancel request")
            return CancelRequest(unpack_from("!I", body, 4)[0], body[8:])
        case _:
            return _decode_startup(code, body[4:])


@dataclass(frozen=True, slots=True)
class SaslInitialResponse:
    mechanism: str
    data: bytes = field(repr=False)


def decode_sasl_initial(body: bytes) -> SaslInitialResponse:
    name, zero, rest = body.partition(b"\0")
    if not zero or len(rest) < 4 or unpack_from("!i", rest)[0] != len(rest) - 4:
        raise MalformedMessage("SASL response")
    return SaslInitialResponse(_ascii(name, "SASL mechanism"), rest[4:])


@dataclass(frozen=True, slots=True)
class AuthenticationOk:
    pass


@dataclass(frozen=True, slots=True)
class AuthenticationSasl:
    mechanisms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuthenticationSaslContinue:
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthenticationSaslFinal:
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OtherAuthentication:
    """A method that keys without a password cannot answer (md5, cleartext, GSSAPI …)."""

    code: int


Authentication = (
    AuthenticationOk
    | AuthenticationSasl
    | AuthenticationSaslContinue
    | AuthenticationSaslFinal
    | OtherAuthentication
)


def decode_authentication(body: bytes) -> Authentication:
    if len(body) < 4:
        raise MalformedMessage("authentication message")
    (code,) = unpack_from("!I", body)
    rest = body[4:]
    match code:
        case 0:
            return AuthenticationOk()
        case _ if code == _AUTH_SASL:
            names = rest.split(b"\0")
            return AuthenticationSasl(tuple(_ascii(name, "mechanism") for name in names if name))
        case _ if code == _AUTH_SASL_CONTINUE:
            return AuthenticationSaslContinue(rest)
        case _ if code == _AUTH_SASL_FINAL:
            return AuthenticationSaslFinal(rest)
        case _:
            return OtherAuthentication(code)


@dataclass(frozen=True, slots=True)
class BackendKeyData:
    pid: int
    key: bytes = field(repr=False)


def decode_backend_key(body: bytes) -> BackendKeyData:
    if len(body) < 8:
        raise MalformedMessage("backend key data")
    return BackendKeyData(unpack_from("!I", body)[0], body[4:])


@dataclass(frozen=True, slots=True)
class ServerError:
    """An ErrorResponse. `fields` by their type letter: S, V, C, M, D, H …"""

    fields: Mapping[str, str]

    @property
    def sqlstate(self) -> str:
        return self.fields.get("C", "XX000")

    @property
    def message(self) -> str:
        return self.fields.get("M", "")


def decode_error(body: bytes) -> ServerError:
    fields = {}
    for part in body.split(b"\0"):
        if part:
            fields[chr(part[0])] = part[1:].decode(errors="replace")
    return ServerError(fields)


def encode_frame(kind: bytes, body: bytes) -> bytes:
    return kind + pack("!I", len(body) + 4) + body


def encode_error(
    sqlstate: str,
    message: str,
    *,
    detail: str | None = None,
    hint: str | None = None,
) -> bytes:
    """Return a FATAL ErrorResponse: the session ends after it."""
    return _encode_report(b"E", "FATAL", sqlstate, message, detail, hint)


def encode_statement_error(sqlstate: str, message: str, *, hint: str | None = None) -> bytes:
    """Return an ErrorResponse after which the session goes on."""
    return _encode_report(b"E", "ERROR", sqlstate, message, None, hint)


def encode_notice(message: str, *, hint: str | None = None) -> bytes:
    """Return a NoticeResponse, which may come between any two messages once a client is in."""
    return _encode_report(b"N", "NOTICE", "00000", message, None, hint)


def _encode_report(
    kind: bytes,
    severity: str,
    sqlstate: str,
    message: str,
    detail: str | None,
    hint: str | None,
) -> bytes:
    fields = [("S", severity), ("V", severity), ("C", sqlstate), ("M", message)]
    fields += [(letter, text) for letter, text in (("D", detail), ("H", hint)) if text]
    body = b"".join(letter.encode() + _text(text) for letter, text in fields)
    return encode_frame(kind, body + b"\0")


def encode_authentication_sasl(mechanisms: Iterable[str]) -> bytes:
    names = b"".join(_text(name) for name in mechanisms)
    return encode_frame(b"R", pack("!I", _AUTH_SASL) + names + b"\0")


def encode_sasl_continue(data: bytes) -> bytes:
    return encode_frame(b"R", pack("!I", _AUTH_SASL_CONTINUE) + data)


def encode_sasl_final(data: bytes) -> bytes:
    return encode_frame(b"R", pack("!I", _AUTH_SASL_FINAL) + data)


def encode_negotiate_protocol(minor: int, unsupported: Iterable[str]) -> bytes:
    """Say which minor version we speak, and which of the client's options we do not know."""
    names = tuple(unsupported)
    body = pack("!II", PROTOCOL_3_0 | minor, len(names)) + b"".join(_text(name) for name in names)
    return encode_frame(b"v", body)


def encode_backend_key(key: BackendKeyData) -> bytes:
    return encode_frame(b"K", pack("!I", key.pid) + key.key)


def encode_startup(parameters: Mapping[str, str]) -> bytes:
    pairs = b"".join(_text(name) + _text(value) for name, value in parameters.items())
    body = pack("!I", PROTOCOL_3_0) + pairs + b"\0"
    return pack("!I", len(body) + 4) + body


def encode_sasl_initial(mechanism: str, data: bytes) -> bytes:
    return encode_frame(b"p", _text(mechanism) + pack("!i", len(data)) + data)


def encode_sasl_response(data: bytes) -> bytes:
    return encode_frame(b"p", data)


def encode_cancel(key: BackendKeyData) -> bytes:
    body = pack("!II", _CANCEL_CODE, key.pid) + key.key
    return pack("!I", len(body) + 4) + body


def _decode_startup(code: int, body: bytes) -> StartupMessage:
    major, minor = code >> 16, code & 0xFFFF
    if major != PROTOCOL_MAJOR:
        raise UnsupportedProtocol(major, minor)
    if not body.endswith(b"\0"):
        raise MalformedMessage("startup message")
    parts = body[:-1].split(b"\0")
    if parts.pop() or len(parts) % 2:
        raise MalformedMessage("startup message")
    try:
        words = [part.decode() for part in parts]
    except UnicodeDecodeError:
        raise MalformedMessage("startup message: it is not UTF-8") from None
    pairs = list(zip(words[::2], words[1::2], strict=True))
    if any(not name for name, _ in pairs):
        raise MalformedMessage("startup message")
    return StartupMessage(
        minor,
        {name: value for name, value in pairs if not name.startswith("_pq_.")},
        tuple(name for name, _ in pairs if name.startswith("_pq_.")),
    )


def _text(text: str) -> bytes:
    return text.replace("\0", "").encode() + b"\0"


def _ascii(data: bytes, what: str) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise MalformedMessage(what) from None
