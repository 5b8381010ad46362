"""How sure we are of the servers that we log in to."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from broker.domain.server import ServerAddress, TlsMode
from broker.tls import tls_context


@pytest.fixture
def root(tmp_path: Path) -> str:
    """Return the file of a root certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root of a test")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = tmp_path / "root.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return str(path)


def context_for(mode: TlsMode, root_certificate: str | None = None) -> ssl.SSLContext:
    context = tls_context(ServerAddress("db.internal", 5432, "orders", mode, root_certificate))
    assert context is not None
    return context


def test_disabled_tls_is_in_the_clear() -> None:
    assert tls_context(ServerAddress("db.internal", 5432, "orders", TlsMode.DISABLE)) is None


def test_unless_told_otherwise_the_servers_name_and_certificate_are_checked() -> None:
    context = tls_context(ServerAddress("db.internal", 5432, "orders"))
    assert context is not None
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)


def test_a_root_certificate_is_the_only_one_trusted(root: str) -> None:
    context = context_for(TlsMode.VERIFY_FULL, root)
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    subjects = [each["subject"] for each in context.get_ca_certs()]
    assert subjects == [((("commonName", "root of a test"),),)]


def test_required_tls_checks_a_certificate_only_against_a_given_root(root: str) -> None:
    """As libpq's sslmode=require does."""
    blind, rooted = context_for(TlsMode.REQUIRE), context_for(TlsMode.REQUIRE, root)
    assert (blind.check_hostname, blind.verify_mode) == (False, ssl.CERT_NONE)
    assert (rooted.check_hostname, rooted.verify_mode) == (False, ssl.CERT_REQUIRED)


@pytest.mark.parametrize("mode", [TlsMode.VERIFY_FULL, TlsMode.REQUIRE])
def test_a_missing_root_certificate_is_an_error_and_never_a_weaker_check(
    tmp_path: Path, mode: TlsMode
) -> None:
    with pytest.raises(FileNotFoundError):
        context_for(mode, str(tmp_path / "absent.pem"))
