"""TLS towards clients: the contexts, the certificate in them, and those that clients show.

A `CertificateWatch` serves new files without a restart, and the old ones while the new do not fit.
"""

import errno
import logging
import ssl
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
)
from cryptography.x509.oid import NameOID

from proxy.channel_binding import tls_server_end_point

# TLS 1.2 only with forward secrecy and authenticated encryption; 1.3 has nothing else.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_SUBJECT_CHARS = 100  # for logs and errors


_log = logging.getLogger(__name__)


class ClientCertificates(StrEnum):
    """Whether clients are asked for a certificate, and let in without."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class ClientTlsFiles:
    """PEM files. `certificate` is ours, with its chain; only we read `key`; `client_ca` vouches for
    the certificates of clients."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    client_certificates: ClientCertificates = ClientCertificates.NONE

    def __post_init__(self) -> None:
        if self.client_ca is None and self.client_certificates is not ClientCertificates.NONE:
            raise ValueError("certificates of clients need a CA that vouches for them")

    def digests(self) -> tuple[str | None, ...]:
        """Return what tells these contents from others; None for a file that cannot be read."""
        paths = (self.certificate, self.key, self.client_ca)
        return tuple(_digest(path) for path in paths if path is not None)


@dataclass(frozen=True, slots=True)
class ClientTls:
    """How we speak TLS to clients. `channel_binding` is the tls-server-end-point of the certificate
    in `context`, None if it has none."""

    context: ssl.SSLContext = field(repr=False)
    channel_binding: bytes | None = field(repr=False)


def load_client_tls(files: ClientTlsFiles) -> ClientTls:
    """Raises OSError for files that are unusable (ssl.SSLError is one) or just being replaced."""
    before = files.digests()
    context = client_context(files.certificate, files.key)
    match files.client_certificates:
        case ClientCertificates.NONE:
            pass
        case ClientCertificates.OPTIONAL:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(files.client_ca)
        case ClientCertificates.REQUIRED:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(files.client_ca)
    channel_binding = _channel_binding_of(files.certificate.read_bytes())
    # Each file is read on its own: the hash must be that of the certificate in the context.
    if files.digests() != before:
        raise OSError(errno.EAGAIN, "the files changed while they were read")
    return ClientTls(context, channel_binding)


def client_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return how we speak TLS to clients. Raises OSError or ssl.SSLError for unusable files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # libpq never resumes a session, so that tickets after each handshake would only cost time.
    context.num_tickets = 0
    # Required for direct TLS, and protects every client against cross-protocol attacks.
    # https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
    context.set_alpn_protocols(["postgresql"])
    context.load_cert_chain(certificate, key, password=_no_passphrase)
    return context


class CertificateWatch:
    """The newest usable certificate of `files`. Reads them, some 10 KB, whenever it is asked to."""

    def __init__(self, files: ClientTlsFiles) -> None:
        """Raises OSError when the files cannot be used."""
        self._files = files
        self._seen = files.digests()
        self._current = load_client_tls(files)

    @property
    def current(self) -> ClientTls:
        """What the next client is to be shown. Open connections keep what they began with."""
        return self._current

    def refresh(self) -> bool:
        """Take up new files, and return whether that happened.

        Files that cannot be used leave everything as it was, and are complained about once.
        """
        found = self._files.digests()
        if found == self._seen:
            return False
        self._seen = found
        try:
            self._current = load_client_tls(self._files)
        except OSError as error:
            why = error.strerror or str(error)
            _log.error(
                "the new certificate %s is unusable, the old one stays in use: %s",
                self._files.certificate,
                why,
            )
            return False
        _log.info("serves the new certificate %s", self._files.certificate)
        return True


@dataclass(frozen=True, slots=True)
class CertificateHolder:
    """Who a client's certificate says it is. `subject` is for people to read, and cut."""

    emails: tuple[str, ...]
    subject: str


def certificate_holder(certificate_der: bytes) -> CertificateHolder:
    """Return the e-mail addresses of a verified certificate, in lower case, and its subject.

    A certificate that cannot be read names nobody.
    """
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        subject, extensions = certificate.subject, certificate.extensions
        found = [str(each.value) for each in subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)]
        for extension in extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                found += extension.value.get_values_for_type(x509.RFC822Name)
        text = subject.rfc4514_string()
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return CertificateHolder((), "an unreadable certificate")
    printable = "".join(char if char.isprintable() else "?" for char in text)
    emails = dict.fromkeys(address.lower() for address in found if address)
    return CertificateHolder(tuple(emails), printable[:_SUBJECT_CHARS] or "an empty subject")


def _no_passphrase() -> str:
    """OpenSSL would ask at the terminal, and wait."""
    raise OSError(errno.EINVAL, "the private key has a passphrase, which nobody can type here")


def _channel_binding_of(certificate_pem: bytes) -> bytes | None:
    try:
        leaf = x509.load_pem_x509_certificate(certificate_pem)
    except ValueError:
        return None  # OpenSSL takes it; clients would compute who knows what
    return tls_server_end_point(leaf.public_bytes(Encoding.DER))


def _digest(path: Path) -> str | None:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
