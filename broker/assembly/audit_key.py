"""The key that checkpoints are signed with: the operator's, or one that we make and keep.

Its public half is put beside the others in state_dir/audit.pub, so that checkpoints of keys that
were replaced since can still be told from forged ones. Proxies open neither.
"""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from broker.assembly.kept_file import read_or_make
from broker.config.faults import SettingsError
from broker.config.settings import Settings, read_secret
from broker.domain.statement.checkpoint import Checkpoint, key_id
from broker.endpoints import state_dir
from broker.service.offline import PublicKeys, UnusableKeys, read_public_keys


class AuditKey:
    """Opens the private key when something is to be signed, and not before: whoever only checks
    signatures need not be able to make them."""

    def __init__(self, settings: Settings, config: Path) -> None:
        self._reference = settings.keys.audit_key
        self._config = config
        self._own = state_dir(settings, config) / "audit.key"
        self._ring = state_dir(settings, config) / "audit.pub"
        self._key: Ed25519PrivateKey | None = None

    def open(self) -> None:
        """Open the key, made now if there is none. Raises SettingsError."""
        key = self._read()
        self._remember(key.public_key())
        self._key = key

    def sign(self, body: str) -> tuple[str, bytes]:
        """Return the key's id and the signature. Raises SettingsError."""
        if self._key is None:
            self.open()
        assert self._key is not None
        return _id(self._key.public_key()), self._key.sign(body.encode())

    def is_genuine(self, checkpoint: Checkpoint) -> bool:
        """Say whether one of our keys signed it. Raises SettingsError."""
        keys = self._public_keys()
        return keys is not None and keys.is_genuine(checkpoint)

    def public_pem(self) -> str:
        """Return every public key that was ever used here, as PEM, one after the other; nothing
        before the first. Raises SettingsError."""
        try:
            return self._ring.read_text()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise self._unusable(str(error)) from None

    def _read(self) -> Ed25519PrivateKey:
        if self._reference is not None:
            text = read_secret(self._reference, "keys.audit_key", self._config)
            return _private_key(text, "keys.audit_key", self._config)
        text = read_or_make(self._own, _new, self._config)
        return _private_key(text, f"state_dir: file {self._own}", self._config)

    def _public_keys(self) -> PublicKeys | None:
        pem = self.public_pem()
        try:
            return read_public_keys(pem.encode()) if pem else None
        except UnusableKeys as error:
            raise self._unusable(str(error)) from None

    def _remember(self, key: Ed25519PublicKey) -> None:
        known = self._public_keys()
        if known is not None and _id(key) in known.by_id:
            return
        try:
            self._ring.parent.mkdir(parents=True, exist_ok=True)
            with self._ring.open("ab") as file:
                file.write(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        except OSError as error:
            raise self._unusable(str(error)) from None

    def _unusable(self, why: str) -> SettingsError:
        return SettingsError(
            str(self._config), [f"  state_dir: file {self._ring} cannot be used ({why})"]
        )


def _private_key(text: str, name: str, config: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it is encrypted
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        why = "must be the PEM of an Ed25519 private key, without a passphrase"
        example = "for example: openssl genpkey -algorithm ed25519 -out audit.key"
        raise SettingsError(str(config), [f"  {name}: {why}; {example}"])
    return key


def _new() -> str:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _id(key: Ed25519PublicKey) -> str:
    return key_id(key.public_bytes(Encoding.Raw, PublicFormat.Raw))
