"""SCRAM-SHA-256 and its -PLUS, both sides, without I/O: the nonce and the hash of the server's
certificate are arguments (RFC 5802, RFC 7677; RFC 5929, section 4).

As a server we verify the user's secret and thereby learn their ClientKey. As a client we log in to
the target with keys that were derived from it, without any password or PBKDF2.

Optional extensions are ignored and mandatory ones refused, as RFC 5802, section 5.1, wants it.
"""

import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from broker.domain.credential import ClientKeys, Verifier
from proxy.wire.messages import SCRAM_SHA_256, SCRAM_SHA_256_PLUS

NONCE_BYTES = 18
_BINDING_FLAG = "p=tls-server-end-point"  # the only type that PostgreSQL and its clients know
_KEY_BYTES = 32
# How many verifiers are tried at least, so that the time tells nothing about how many there are.
_LEAST_TRIES = 4
# Clients send 24 to 32 characters. The RFC knows no limit; PostgreSQL's is that of the message.
_NONCE = re.compile(r"[!-+\--~]{1,256}")
_EXTENSION = re.compile(r"[A-Za-z]=.+", re.DOTALL)
_ITERATIONS = re.compile(r"[1-9][0-9]{0,9}")


class ScramError(Exception):
    """The other side broke the exchange, or failed to prove itself. Says nothing about secrets."""


@dataclass(frozen=True, slots=True)
class Proved:
    """The client knows the secret of verifier `verifier_index`. `client_key` is what it proved
    with."""

    client_key: bytes = field(repr=False)
    server_final: bytes = field(repr=False)
    verifier_index: int = 0


@dataclass(frozen=True, slots=True)
class _Challenge:
    """What the client must repeat or sign in its last message."""

    binding: str = field(repr=False)
    nonce: str = field(repr=False)
    messages: str = field(repr=False)


class ServerExchange:
    """Our side towards a client. Call `first`, then `final`.

    `verifiers` share salt and iterations, since only one challenge can be sent. All of them are
    tried, whichever matches. `channel_binding` is the tls-server-end-point of our certificate, or
    None without TLS and for certificates that have none.
    """

    def __init__(
        self, verifiers: Sequence[Verifier], nonce: bytes, channel_binding: bytes | None
    ) -> None:
        if len({(each.salt, each.iterations) for each in verifiers}) != 1:
            raise ValueError("verifiers need one salt and one number of iterations in common")
        self._verifiers = tuple(verifiers)
        self._nonce = b64encode(nonce).decode()
        self._channel_binding = channel_binding
        self._challenge: _Challenge | None = None

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """What to offer, the best first."""
        if self._channel_binding is None:
            return (SCRAM_SHA_256,)
        return (SCRAM_SHA_256_PLUS, SCRAM_SHA_256)

    def first(self, mechanism: str, client_first: bytes) -> bytes:
        """Return server-first-message (RFC 5802, section 7). Raises ScramError."""
        parts = _decode(client_first).split(",", 2)
        if len(parts) != 3:
            raise ScramError("a part of the message is missing")
        flag, authzid, bare = parts
        self._check_flag(mechanism, flag)
        if authzid:
            raise ScramError("an authorisation identity is not supported")
        # The name is not read, as in PostgreSQL: the startup message said who it is.
        _, client_nonce = _attributes(bare, "nr")
        _check_nonce(client_nonce)
        nonce = client_nonce + self._nonce
        salt, iterations = self._verifiers[0].salt, self._verifiers[0].iterations
        server_first = f"r={nonce},s={_base64(salt)},i={iterations}"
        header = f"{flag},,".encode()
        bound = self._channel_binding if mechanism == SCRAM_SHA_256_PLUS else None
        binding = _base64(header + (bound or b""))
        self._challenge = _Challenge(binding, nonce, f"{bare},{server_first}")
        return server_first.encode()

    def _check_flag(self, mechanism: str, flag: str) -> None:
        if mechanism not in self.mechanisms:
            raise ScramError("the mechanism was not offered")
        if mechanism == SCRAM_SHA_256_PLUS:
            if flag != _BINDING_FLAG:
                raise ScramError("the client does not bind to its channel by tls-server-end-point")
        elif flag == "y" and self._channel_binding is not None:
            # The client would have bound itself: somebody took our offer out on the way.
            raise ScramError("the offer of channel binding did not reach the client")
        elif flag not in ("n", "y"):
            raise ScramError("channel binding does not belong to this mechanism")

    def final(self, client_final: bytes) -> Proved:
        """Return what proves us to the client. Raises ScramError if it did not prove itself."""
        challenge = self._challenge
        if challenge is None:
            raise ScramError("the exchange has not begun")
        without_proof, mark, proof_text = _decode(client_final).rpartition(",p=")
        if not mark:
            raise ScramError("the proof is missing")
        binding, nonce = _attributes(without_proof, "cr")
        if binding != challenge.binding:
            raise ScramError("the channel binding does not match")
        if nonce != challenge.nonce:
            raise ScramError("the nonce does not match")
        proof = _bytes(proof_text)
        if len(proof) != _KEY_BYTES:
            raise ScramError("the proof has the wrong length")
        auth_message = f"{challenge.messages},{without_proof}".encode()
        index, client_key = self._find(proof, auth_message)
        server_signature = hmac.digest(self._verifiers[index].server_key, auth_message, "sha256")
        return Proved(client_key, b"v=" + b64encode(server_signature), index)

    def _find(self, proof: bytes, auth_message: bytes) -> tuple[int, bytes]:
        """Return which verifier the proof is for, the first of equals, and the key behind it."""
        found: list[tuple[int, bytes]] = []
        for attempt in range(max(len(self._verifiers), _LEAST_TRIES)):
            index = attempt % len(self._verifiers)
            stored_key = self._verifiers[index].stored_key
            client_key = _xor(proof, hmac.digest(stored_key, auth_message, "sha256"))
            if hmac.compare_digest(sha256(client_key).digest(), stored_key):
                found.append((index, client_key))
        if not found:
            raise ScramError("the proof is wrong")
        return found[0]


@dataclass(frozen=True, slots=True)
class ClientFirst:
    """The mechanism that we choose, and our first message in it."""

    mechanism: str
    data: bytes = field(repr=False)


class ClientExchange:
    """Our side towards a server, starting from keys. Call `first`, `final`, then `check`.

    `channel_binding` is the tls-server-end-point of the server's certificate, or None without TLS
    and for certificates that have none.
    """

    def __init__(self, keys: ClientKeys, nonce: bytes, channel_binding: bytes | None) -> None:
        self._keys = keys
        self._nonce = b64encode(nonce).decode()
        self._channel_binding = channel_binding
        self._binding = ""
        self._auth_message = b""

    def first(self, offered: Collection[str]) -> ClientFirst:
        """Choose among the mechanisms that the server offers. Raises ScramError."""
        bound = self._channel_binding
        if bound is not None and SCRAM_SHA_256_PLUS in offered:
            mechanism, header = SCRAM_SHA_256_PLUS, f"{_BINDING_FLAG},,"
            self._binding = _base64(header.encode() + bound)
        elif SCRAM_SHA_256 in offered:
            # With "y" a server that did offer channel binding learns that its offer was lost.
            mechanism, header = SCRAM_SHA_256, "n,," if bound is None else "y,,"
            self._binding = _base64(header.encode())
        else:
            raise ScramError("the server offers no SCRAM-SHA-256 that can be used here")
        return ClientFirst(mechanism, f"{header}n=,r={self._nonce}".encode())

    def final(self, server_first: bytes) -> bytes:
        """Return client-final-message. Raises ScramError."""
        text = _decode(server_first)
        nonce, salt, iterations = _attributes(text, "rsi")
        _check_nonce(nonce)
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce):
            raise ScramError("the server's nonce does not extend ours")
        # Our keys need neither, but a server that sends nonsense is no server to go on with.
        if not _bytes(salt):
            raise ScramError("the salt is empty")
        if not _ITERATIONS.fullmatch(iterations):
            raise ScramError("the number of iterations is not one")
        without_proof = f"c={self._binding},r={nonce}"
        self._auth_message = f"n=,r={self._nonce},{text},{without_proof}".encode()
        signature = hmac.digest(self._keys.stored_key, self._auth_message, "sha256")
        return f"{without_proof},p={_base64(_xor(self._keys.client_key, signature))}".encode()

    def check(self, server_final: bytes) -> None:
        """Raise ScramError unless the server proved that it knows our verifier."""
        signature = hmac.digest(self._keys.server_key, self._auth_message, "sha256")
        (proved,) = _attributes(_decode(server_final), "v")
        if not hmac.compare_digest(_bytes(proved), signature):
            raise ScramError("the server did not prove that it knows the verifier")


def _attributes(text: str, names: str) -> list[str]:
    """Read `a=…,b=…` with these names, in this order; optional extensions may follow."""
    parts = text.split(",")
    if any(part.startswith("m=") for part in parts):
        raise ScramError("a mandatory extension is not supported")
    if len(parts) < len(names):
        raise ScramError("an attribute is missing")
    wanted, extensions = parts[: len(names)], parts[len(names) :]
    for name, part in zip(names, wanted, strict=True):
        if not part.startswith(f"{name}="):
            raise ScramError(f"attribute {name} is missing")
    if not all(_EXTENSION.fullmatch(part) for part in extensions):
        raise ScramError("an extension is malformed")
    return [part[2:] for part in wanted]


def _check_nonce(nonce: str) -> None:
    if not _NONCE.fullmatch(nonce):
        raise ScramError("the nonce is empty, too long or not printable")


def _decode(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ScramError("the message is not UTF-8") from None
    if "\0" in text:
        raise ScramError("the message has a zero byte")
    return text


def _base64(data: bytes) -> str:
    return b64encode(data).decode()


def _bytes(text: str) -> bytes:
    """Read the one base64 text that these bytes have: no other padding, no stray bits."""
    try:
        data = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise ScramError("the message is not valid base64") from None
    if _base64(data) != text:
        raise ScramError("the message is not valid base64")
    return data


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(_KEY_BYTES)
