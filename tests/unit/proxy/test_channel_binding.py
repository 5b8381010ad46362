"""What a certificate binds a login to, for every kind of signature that servers have."""

from datetime import UTC, datetime
from functools import partial
from hashlib import new, sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from proxy.channel_binding import tls_server_end_point

# The last byte of an OID of RSA with PKCS #1 v1.5 names the hash (RFC 8017, appendix A.2.4).
RSA_SIGNATURE = bytes.fromhex("2a864886f70d0101")
RSA_HASHES = {"md5": 4, "sha1": 5, "sha256": 11, "sha384": 12, "sha512": 13, "sha224": 14}

new_rsa_key = partial(rsa.generate_private_key, 65_537, 2048)


def builder(
    key: rsa.RSAPublicKey
    | ec.EllipticCurvePublicKey
    | ed25519.Ed25519PublicKey
    | ed448.Ed448PublicKey,
) -> x509.CertificateBuilder:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "db.example.com")])
    return (
        x509.CertificateBuilder(name, name, key, 1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
    )


def rsa_certificate(hash_oid: int) -> bytes:
    """Return a certificate that says it is signed with this hash: nobody checks that here, and
    nobody signs with the oldest any more."""
    key = new_rsa_key()
    made = builder(key.public_key()).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    said = RSA_SIGNATURE + bytes([RSA_HASHES["sha256"]])
    assert made.count(said) == 2
    return made.replace(said, RSA_SIGNATURE + bytes([hash_oid]))


@pytest.mark.parametrize("name", ["sha224", "sha256", "sha384", "sha512"])
def test_rsa_binds_by_the_hash_of_its_signature(name: str) -> None:
    certificate = rsa_certificate(RSA_HASHES[name])
    assert tls_server_end_point(certificate) == new(name, certificate).digest()


@pytest.mark.parametrize("name", ["md5", "sha1"])
def test_broken_hashes_are_replaced_by_sha_256(name: str) -> None:
    certificate = rsa_certificate(RSA_HASHES[name])
    assert tls_server_end_point(certificate) == sha256(certificate).digest()


@pytest.mark.parametrize(
    ("algorithm", "name"), [(hashes.SHA256(), "sha256"), (hashes.SHA512(), "sha512")]
)
def test_rsa_pss_binds_by_the_hash_in_its_parameters(
    algorithm: hashes.SHA256 | hashes.SHA512, name: str
) -> None:
    key = new_rsa_key()
    pss = padding.PSS(padding.MGF1(algorithm), padding.PSS.DIGEST_LENGTH)
    made = builder(key.public_key()).sign(key, algorithm, rsa_padding=pss)
    certificate = made.public_bytes(Encoding.DER)
    assert tls_server_end_point(certificate) == new(name, certificate).digest()


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [(hashes.SHA256(), "sha256"), (hashes.SHA384(), "sha384"), (hashes.SHA512(), "sha512")],
)
def test_ecdsa_binds_by_the_hash_of_its_signature(
    algorithm: hashes.SHA256 | hashes.SHA384 | hashes.SHA512, name: str
) -> None:
    """Whatever the curve is."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = builder(key.public_key()).sign(key, algorithm).public_bytes(Encoding.DER)
    assert tls_server_end_point(certificate) == new(name, certificate).digest()


@pytest.mark.parametrize("kind", [ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey])
def test_edwards_curves_bind_to_nothing(
    kind: type[ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey],
) -> None:
    """Libpq ends the connection if channel binding is offered with such a certificate."""
    key = kind.generate()
    certificate = builder(key.public_key()).sign(key, None).public_bytes(Encoding.DER)
    assert tls_server_end_point(certificate) is None


def test_a_signature_that_nobody_knows_binds_to_nothing() -> None:
    assert tls_server_end_point(rsa_certificate(99)) is None


@given(data=st.binary())
def test_what_is_no_certificate_binds_to_nothing(data: bytes) -> None:
    assert tls_server_end_point(data) is None
