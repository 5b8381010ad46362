"""The certificate that a proxy makes for itself when it has none, and the root behind it."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=397)  # the longest that clients which follow the CA/B Forum accept
_RENEW_BEFORE = timedelta(days=30)
_BACKDATE = timedelta(hours=1)  # clients whose clock is late
# How reading files fails that are not ours, not whole, or not of one making.
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InvalidSignature,
    x509.ExtensionNotFound,
)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files. `root` vouches for `certificate`; only we read `key`."""

    certificate: Path
    key: Path
    root: Path


def ensure_certificate(files: CertificateFiles, names: Iterable[str], now: datetime) -> bool:
    """Make a certificate for `names` unless a fresh one for them is there. Returns whether it did.

    The root's private key is used once and thrown away, so nobody can make another certificate
    that clients who trust this root would accept.
    """
    wanted = _subject_names(names)
    files.key.parent.mkdir(parents=True, exist_ok=True)
    with _alone_in(files.key.parent):
        if _usable(files, wanted, now):
            return False
        _make_certificate(files, wanted, now)
        return True


def _make_certificate(
    files: CertificateFiles, wanted: list[x509.GeneralName], now: datetime
) -> None:
    root_key, leaf_key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pgcurfew proxy root")])
    leaf_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pgcurfew proxy")])
    root = (
        _builder(root_name, root_name, root_key.public_key(), root_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        _builder(leaf_name, root_name, leaf_key.public_key(), root_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(wanted), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    private = leaf_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(files.key, private, 0o600)
    _write(files.certificate, leaf.public_bytes(Encoding.PEM), 0o644)
    _write(files.root, root.public_bytes(Encoding.PEM), 0o644)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes of ours out of `folder`: workers may start at the same moment."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    now: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False
        )
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _subject_names(names: Iterable[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            found.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _usable(files: CertificateFiles, wanted: list[x509.GeneralName], now: datetime) -> bool:
    """Whether the files are there, fresh, for these names, and belong together: whoever wrote them
    may have died between two of them."""
    try:
        leaf = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        key = load_pem_private_key(files.key.read_bytes(), password=None)
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(files.root.read_bytes()))
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except _UNREADABLE:
        return False
    return (
        key.public_key() == leaf.public_key()
        and list(names) == wanted
        and leaf.not_valid_after_utc - _RENEW_BEFORE > now
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Put the whole file in place at once: a reader sees the old one or the new one."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)  # somebody died here; its mode may be another file's
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    fresh.replace(path)
