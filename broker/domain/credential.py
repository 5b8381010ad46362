"""Split-knowledge credentials: the user's secret alone, the proxy key alone and the ledger alone
each open nothing.

The user types a secret S. The ledger keeps a SCRAM verifier of S. The login on the target has a
verifier for keys that come from no password at all, but from S *and* the proxy key K:

    ClientKey_t = HMAC-SHA256(K, "pgcurfew client" ‖ grant id ‖ ClientKey_u)
    ServerKey_t = HMAC-SHA256(K, "pgcurfew server" ‖ grant id ‖ ClientKey_u)

A SCRAM server that verifies a proof learns ClientKey_u, so the proxy derives the target's keys
exactly when the user proves that they know S (RFC 5802, section 3; RFC 7677).
"""

import hashlib
import hmac
import re
from base64 import b64encode
from dataclasses import dataclass, field

from broker.domain.base32 import encode

SECRET_BYTES = 17  # 136 bits, of which the secret takes 130
SALT_BYTES = 16
PROXY_KEY_BYTES = 32
USER_ITERATIONS = 4096  # PostgreSQL's default: every client accepts it
# The target's keys come from no password, so there is nothing to slow a guesser down with, and
# PostgreSQL spends one PBKDF2 of this many rounds on every verifier it is given.
TARGET_ITERATIONS = 1
_SECRET_CHARS = 26

# PostgreSQL takes a malformed verifier for a plain password: check before sending.
VERIFIER_PATTERN = (
    r"^SCRAM-SHA-256\$[0-9]{1,7}:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$"
)


@dataclass(frozen=True, slots=True)
class Verifier:
    """What a SCRAM server keeps about a password (RFC 5802, section 3)."""

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """What a SCRAM client needs, without any password."""

    client_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    @property
    def stored_key(self) -> bytes:
        return _sha256(self.client_key)


@dataclass(frozen=True, slots=True)
class ProxyKey:
    """K, and the id it is known by, so that it can be rotated."""

    id: str
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != PROXY_KEY_BYTES:
            raise ValueError(f"a proxy key is {PROXY_KEY_BYTES} bytes, got {len(self.key)}")


def new_secret(random: bytes) -> str:
    """Return 26 characters of Crockford base32 (130 bits) from SECRET_BYTES random bytes."""
    if len(random) != SECRET_BYTES:
        raise ValueError(f"a secret needs {SECRET_BYTES} random bytes, got {len(random)}")
    return encode(int.from_bytes(random), _SECRET_CHARS)


def client_keys(password: str, salt: bytes, iterations: int) -> ClientKeys:
    """Return the keys of `password`, which must be printable ASCII: SASLprep is then the identity.

    Costs one PBKDF2, about 2 ms at 4096 iterations.
    """
    if not (password.isascii() and password.isprintable()):
        raise ValueError("only printable ASCII needs no SASLprep")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    return ClientKeys(_hmac(salted, b"Client Key"), _hmac(salted, b"Server Key"))


def verifier_of(keys: ClientKeys, salt: bytes, iterations: int) -> Verifier:
    return Verifier(salt, iterations, keys.stored_key, keys.server_key)


def target_keys(proxy_key: ProxyKey, grant_id: str, user_client_key: bytes) -> ClientKeys:
    """Return the keys that log in to the target. See the module docstring."""

    def derive(label: bytes) -> bytes:
        return _hmac(proxy_key.key, label + grant_id.encode() + user_client_key)

    return ClientKeys(derive(b"pgcurfew client"), derive(b"pgcurfew server"))


def verifier_text(verifier: Verifier) -> str:
    """Return the verifier as PostgreSQL stores it. Raises ValueError if that would be malformed.

    https://www.postgresql.org/docs/current/catalog-pg-authid.html
    """
    salt, stored, server = (
        b64encode(part).decode()
        for part in (verifier.salt, verifier.stored_key, verifier.server_key)
    )
    text = f"SCRAM-SHA-256${verifier.iterations}:{salt}${stored}:{server}"
    if not re.fullmatch(VERIFIER_PATTERN, text):
        raise ValueError("malformed verifier")
    return text


def password_verifier(password: str, salt: bytes) -> str:
    """Return what PostgreSQL keeps about `password`. Raises ValueError if it is not printable
    ASCII; `salt` is 16 random bytes."""
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt is {SALT_BYTES} bytes, got {len(salt)}")
    keys = client_keys(password, salt, USER_ITERATIONS)
    return verifier_text(verifier_of(keys, salt, USER_ITERATIONS))


def user_salt(proxy_key: ProxyKey, stable_name: str) -> bytes:
    """Return the salt of every secret handed out under this user name.

    A server names the salt before it sees a proof. As all secrets of one name share it, a proxy can
    tell an old one from a wrong one. They are random, so that the salt keeps nothing apart.
    """
    return _hmac(proxy_key.key, b"pgcurfew salt" + stable_name.encode())[:SALT_BYTES]


def mock_verifier(proxy_key: ProxyKey, user: str) -> Verifier:
    """Return a verifier that no password matches, always the same for the same name.

    It lets an unknown user go through the same exchange as a known one. The salt must not change
    between attempts or proxies, or it would tell the two apart (RFC 5802, section 9).
    """
    seed = _hmac(proxy_key.key, b"pgcurfew mock" + user.encode())
    stored, server = (_hmac(seed, part) for part in (b"stored", b"server"))
    return Verifier(seed[:SALT_BYTES], USER_ITERATIONS, stored, server)


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
