"""Signatures checked with Python alone, against the RFC's and a library's."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from broker.domain.statement.ed25519 import is_signature

# Secret key, public key, message and signature of RFC 8032, section 7.1, tests 1 to 3.
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
]
ORDER = 2**252 + 27742317777372353535851937790883648493


def signed(message: bytes, seed: int = 1) -> tuple[bytes, bytes]:
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw), key.sign(message)


@pytest.mark.parametrize(("key", "message", "signature"), RFC_8032)
def test_the_signatures_of_the_rfc_are_genuine(key: str, message: str, signature: str) -> None:
    parts = [bytes.fromhex(each) for each in (key, message, signature)]
    assert is_signature(*parts)


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_librarys_signatures_are_genuine_and_only_of_what_was_signed(seed: int) -> None:
    message = bytes([seed]) * 100 * seed
    key, signature = signed(message, seed)
    assert is_signature(key, message, signature)
    assert not is_signature(key, message + b"x", signature)
    assert not is_signature(signed(message, seed + 1)[0], message, signature)


def test_a_signature_with_one_bit_turned_is_none() -> None:
    key, signature = signed(b"checkpoint")
    for bit in range(0, 512, 37):
        turned = (int.from_bytes(signature) ^ 1 << bit).to_bytes(64)
        assert not is_signature(key, b"checkpoint", turned)


def test_what_is_no_key_and_no_signature_is_not_genuine() -> None:
    key, signature = signed(b"checkpoint")
    assert not is_signature(key[:-1], b"checkpoint", signature)
    assert not is_signature(key, b"checkpoint", signature + b"\0")
    assert not is_signature(b"\xff" * 32, b"checkpoint", signature), "no number of the field"
    assert not is_signature((2).to_bytes(32, "little"), b"checkpoint", signature), "no point"
    minus_zero = (1 | 1 << 255).to_bytes(32, "little")
    assert not is_signature(minus_zero, b"checkpoint", signature)


def test_the_same_signature_written_otherwise_is_none() -> None:
    key, signature = signed(b"checkpoint")
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    assert not is_signature(key, b"checkpoint", signature[:32] + scalar.to_bytes(32, "little"))


def test_the_neutral_point_is_a_point() -> None:
    """Its signatures are everybody's: what matters is which keys are trusted."""
    neutral = (1).to_bytes(32, "little")
    assert is_signature(neutral, b"anything", neutral + bytes(32))
