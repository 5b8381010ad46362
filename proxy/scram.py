"""SCRAM-SHA-256, both sides, without I/O: the nonce is an argument (RFC 5802, RFC 7677).

As a server we verify the user's secret and thereby learn their ClientKey. As a client we log in to
the target with keys that were derived from it, without any password or PBKDF2.
"""

import hmac
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from hashlib import sha256

from broker.domain.credential import ClientKeys, Verifier

NONCE_BYTES = 18


class ScramError(Exception):
    """The other side broke the exchange, or failed to prove itself. Says nothing about secrets."""


@dataclass(frozen=True, slots=True)
class Proved:
    """The client knows the secret. `client_key` is what it proved with."""

    client_key: bytes = field(repr=False)
    server_final: bytes = field(repr=False)


class ServerExchange:
    """Our side towards a client. Call `first`, then `final`."""

    def __init__(self, verifier: Verifier, nonce: bytes) -> None:
        self._verifier = verifier
        self._nonce = b64encode(nonce).decode()
        self._gs2_header = ""
        self._client_first_bare = ""
        self._server_first = ""

    def first(self, client_first: bytes) -> bytes:
        """Return server-first-message (RFC 5802, section 7). Raises ScramError."""
        text = _printable(client_first)
        flag, authzid, bare = _split(text, ",", 3)
        if flag not in ("n", "y"):
            raise ScramError("channel binding was not offered")
        if authzid:
            raise ScramError("an authorisation identity is not supported")
        client_nonce = _attributes(bare, "nr")["r"]
        self._gs2_header = f"{flag},{authzid},"
        self._client_first_bare = bare
        self._nonce = client_nonce + self._nonce
        salt = b64encode(self._verifier.salt).decode()
        self._server_first = f"r={self._nonce},s={salt},i={self._verifier.iterations}"
        return self._server_first.encode()

    def final(self, client_final: bytes) -> Proved:
        """Return what proves us to the client. Raises ScramError if it did not prove itself."""
        without_proof, mark, proof_text = _printable(client_final).rpartition(",p=")
        if not mark:
            raise ScramError("the proof is missing")
        attributes = _attributes(without_proof, "cr")
        if _base64(attributes["c"]) != self._gs2_header.encode():
            raise ScramError("the channel binding does not match")
        if attributes["r"] != self._nonce:
            raise ScramError("the nonce does not match")
        proof = _base64(proof_text)
        auth_message = f"{self._client_first_bare},{self._server_first},{without_proof}".encode()
        signature = hmac.digest(self._verifier.stored_key, auth_message, "sha256")
        if len(proof) != len(signature):
            raise ScramError("the proof has the wrong length")
        client_key = _xor(proof, signature)
        if not hmac.compare_digest(sha256(client_key).digest(), self._verifier.stored_key):
            raise ScramError("the proof is wrong")
        server_signature = hmac.digest(self._verifier.server_key, auth_message, "sha256")
        return Proved(client_key, b"v=" + b64encode(server_signature))


class ClientExchange:
    """Our side towards a server, starting from keys. Call `first`, `final`, then `check`."""

    def __init__(self, keys: ClientKeys, nonce: bytes) -> None:
        self._keys = keys
        self._nonce = b64encode(nonce).decode()
        self._gs2_header = "n,,"  # we bind to no channel, and say so
        self._auth_message = b""

    def first(self) -> bytes:
        return f"{self._gs2_header}n=,r={self._nonce}".encode()

    def final(self, server_first: bytes) -> bytes:
        """Return client-final-message. Raises ScramError."""
        text = _printable(server_first)
        nonce = _attributes(text, "rsi")["r"]
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce):
            raise ScramError("the server's nonce does not extend ours")
        without_proof = f"c={b64encode(self._gs2_header.encode()).decode()},r={nonce}"
        self._auth_message = f"n=,r={self._nonce},{text},{without_proof}".encode()
        signature = hmac.digest(self._keys.stored_key, self._auth_message, "sha256")
        proof = b64encode(_xor(self._keys.client_key, signature)).decode()
        return f"{without_proof},p={proof}".encode()

    def check(self, server_final: bytes) -> None:
        """Raise ScramError unless the server proved that it knows our verifier."""
        signature = hmac.digest(self._keys.server_key, self._auth_message, "sha256")
        proved = _base64(_attributes(_printable(server_final), "v")["v"])
        if not hmac.compare_digest(proved, signature):
            raise ScramError("the server did not prove that it knows the verifier")


def _attributes(text: str, names: str) -> dict[str, str]:
    """Read `a=…,b=…` with exactly these names, in this order."""
    parts = text.split(",")
    if len(parts) != len(names):
        raise ScramError("unexpected attributes")
    values = {}
    for name, part in zip(names, parts, strict=True):
        if not part.startswith(f"{name}="):
            raise ScramError(f"attribute {name} is missing")
        values[name] = part[2:]
    if "r" in values and not values["r"]:
        raise ScramError("the nonce is empty")
    return values


def _split(text: str, separator: str, count: int) -> list[str]:
    parts = text.split(separator, count - 1)
    if len(parts) != count:
        raise ScramError("a part of the message is missing")
    return parts


def _printable(data: bytes) -> str:
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        raise ScramError("the message is not printable ASCII") from None
    if not text.isprintable():
        raise ScramError("the message is not printable ASCII")
    return text


def _base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise ScramError("the message is not valid base64") from None


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
