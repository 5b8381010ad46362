"""Secrets, SCRAM keys and the split-knowledge derivation, against the RFCs and plain hmac."""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.credential import (
    VERIFIER_PATTERN,
    ClientKeys,
    ProxyKey,
    Verifier,
    client_keys,
    mock_verifier,
    new_secret,
    target_keys,
    user_salt,
    verifier_of,
    verifier_text,
)

GRANT = "grt_06eajh8a00000000"
K = ProxyKey("k1", bytes(range(32)))

# RFC 7677, section 3: the exchange of user "user" with password "pencil".
RFC_SALT = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
RFC_AUTH_MESSAGE = (
    b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
)
RFC_PROOF = b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
RFC_SERVER_SIGNATURE = b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def test_the_keys_of_a_password_are_those_of_rfc_7677() -> None:
    keys = client_keys("pencil", RFC_SALT, 4096)
    assert xor(keys.client_key, hmac_sha256(keys.stored_key, RFC_AUTH_MESSAGE)) == RFC_PROOF
    assert hmac_sha256(keys.server_key, RFC_AUTH_MESSAGE) == RFC_SERVER_SIGNATURE


def test_a_verifier_recognises_the_proof_of_rfc_7677_and_holds_no_client_key() -> None:
    keys = client_keys("pencil", RFC_SALT, 4096)
    verifier = verifier_of(keys, RFC_SALT, 4096)
    recovered = xor(RFC_PROOF, hmac_sha256(verifier.stored_key, RFC_AUTH_MESSAGE))
    assert hashlib.sha256(recovered).digest() == verifier.stored_key
    assert verifier == Verifier(RFC_SALT, 4096, keys.stored_key, keys.server_key)
    assert keys.client_key not in (verifier.stored_key, verifier.server_key)


@pytest.mark.parametrize("password", ["pässword", "tab\there", "zero\0", "ünï", "soft\u00adhyphen"])
def test_a_password_that_saslprep_might_change_is_refused(password: str) -> None:
    with pytest.raises(ValueError, match=r"^only printable ASCII needs no SASLprep$"):
        client_keys(password, RFC_SALT, 4096)


def test_the_target_keys_are_derived_exactly_as_pinned() -> None:
    """A proxy and a broker of different versions must agree on every byte."""
    user_key = client_keys("pencil", RFC_SALT, 4096).client_key
    grant = b"grt_06eajh8a00000000"
    assert target_keys(K, GRANT, user_key) == ClientKeys(
        hmac_sha256(bytes(range(32)), b"pgcurfew client" + grant + user_key),
        hmac_sha256(bytes(range(32)), b"pgcurfew server" + grant + user_key),
    )


def test_the_target_keys_need_the_secret_the_proxy_key_and_the_grant() -> None:
    user_key = client_keys("pencil", RFC_SALT, 4096).client_key
    other_user_key = client_keys("pencil2", RFC_SALT, 4096).client_key
    derived = [
        target_keys(K, GRANT, user_key),
        target_keys(ProxyKey("k1", bytes(32)), GRANT, user_key),
        target_keys(K, "grt_06eajh8a00000001", user_key),
        target_keys(K, GRANT, other_user_key),
    ]
    assert len({key for keys in derived for key in (keys.client_key, keys.server_key)}) == 8


def test_the_name_of_a_proxy_key_changes_nothing() -> None:
    renamed = replace(K, id="k2")
    assert target_keys(renamed, GRANT, bytes(32)) == target_keys(K, GRANT, bytes(32))


def test_a_secret_is_the_low_130_bits_of_its_random_bytes() -> None:
    assert new_secret(bytes(17)) == "0" * 26
    assert new_secret(bytes([0xFF] * 17)) == "Z" * 26
    assert new_secret(bytes(16) + b"\x21") == "0" * 24 + "11"
    assert new_secret(b"\x03" + bytes(16)) == "R" + "0" * 25
    assert new_secret(b"\xfc" + bytes(16)) == "0" * 26


@given(st.binary(min_size=17, max_size=17))
def test_a_secret_can_be_typed_and_needs_no_saslprep(random: bytes) -> None:
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", new_secret(random))


@pytest.mark.parametrize("size", [0, 16, 18])
def test_a_secret_is_never_made_of_too_little_randomness(size: int) -> None:
    with pytest.raises(ValueError, match=rf"^a secret needs 17 random bytes, got {size}$"):
        new_secret(bytes(size))


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_proxy_key_of_another_size_is_refused(size: int) -> None:
    """64: somebody gave the hexadecimal text instead of the bytes."""
    with pytest.raises(ValueError, match=rf"^a proxy key is 32 bytes, got {size}$"):
        ProxyKey("k1", bytes(size))


def test_postgresql_reads_the_verifier_in_its_own_form() -> None:
    verifier = verifier_of(client_keys("pencil", RFC_SALT, 4096), RFC_SALT, 4096)
    stored, server = (b64encode(key).decode() for key in (verifier.stored_key, verifier.server_key))
    assert verifier_text(verifier) == (
        f"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==${stored}:{server}"
    )


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32))
def test_every_well_formed_verifier_can_be_sent(salt: bytes, key: bytes) -> None:
    text = verifier_text(Verifier(salt, 1, key, key))
    assert re.fullmatch(VERIFIER_PATTERN, text)
    assert text == (
        f"SCRAM-SHA-256$1:{b64encode(salt).decode()}"
        f"${b64encode(key).decode()}:{b64encode(key).decode()}"
    )


@pytest.mark.parametrize(
    "verifier",
    [
        Verifier(bytes(15), 1, bytes(32), bytes(32)),
        Verifier(bytes(16), 1, bytes(31), bytes(32)),
        Verifier(bytes(16), 1, bytes(32), bytes(33)),
        Verifier(bytes(16), -1, bytes(32), bytes(32)),
        Verifier(bytes(16), 10_000_000, bytes(32), bytes(32)),
    ],
    ids=["salt", "stored key", "server key", "negative iterations", "absurd iterations"],
)
def test_a_malformed_verifier_is_never_sent_to_become_a_plain_password(verifier: Verifier) -> None:
    with pytest.raises(ValueError, match=r"^malformed verifier$"):
        verifier_text(verifier)


@pytest.mark.parametrize(
    "text",
    [
        "pencil",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$short:short",
        "SCRAM-SHA-1$1:AAAAAAAAAAAAAAAAAAAAAA==$" + "A" * 43 + "=:" + "A" * 43 + "=",
        "xSCRAM-SHA-256$1:AAAAAAAAAAAAAAAAAAAAAA==$" + "A" * 43 + "=:" + "A" * 43 + "=",
        "SCRAM-SHA-256$1:AAAAAAAAAAAAAAAAAAAAAA==$" + "A" * 43 + "=:" + "A" * 43 + "=x",
        "SCRAM-SHA-256$1:AAAAAAAAAAAAAAAAAAAAAA==$" + "A" * 43 + "=:" + "'" * 43 + "=",
    ],
)
def test_what_only_resembles_a_verifier_does_not_match_the_pattern(text: str) -> None:
    assert re.search(VERIFIER_PATTERN, text) is None


def test_an_unknown_user_meets_the_same_salt_at_every_attempt_and_every_proxy() -> None:
    """A salt that changed would tell unknown users from known ones (RFC 5802, section 9)."""
    seed = hmac_sha256(bytes(range(32)), b"pgcurfew mockjit_nobody")
    assert mock_verifier(K, "jit_nobody") == Verifier(
        seed[:16], 4096, hmac_sha256(seed, b"stored"), hmac_sha256(seed, b"server")
    )
    assert mock_verifier(replace(K, id="k2"), "jit_nobody") == mock_verifier(K, "jit_nobody")


def test_all_secrets_of_one_user_name_share_a_salt_that_only_the_proxy_key_tells() -> None:
    """So that one challenge serves the newest secret and the ones before it."""
    name = "alice.orders.orders_reader"
    assert user_salt(K, name) == hmac_sha256(K.key, f"pgcurfew salt{name}".encode())[:16]
    others = {
        user_salt(ProxyKey("k1", bytes(32)), name),
        user_salt(K, "bob.orders.orders_reader"),
        mock_verifier(K, name).salt,
    }
    assert user_salt(K, name) not in others


def test_an_unknown_user_looks_like_a_known_one_from_outside() -> None:
    known = verifier_of(client_keys("pencil", RFC_SALT, 4096), RFC_SALT, 4096)
    mock = mock_verifier(K, "jit_nobody")
    assert (len(mock.salt), mock.iterations) == (len(known.salt), known.iterations)


def test_different_unknown_users_have_different_salts() -> None:
    salts = {mock_verifier(K, f"jit_{number}").salt for number in range(100)}
    assert len(salts) == 100


def test_without_the_proxy_key_nobody_can_tell_a_mock_salt() -> None:
    other = ProxyKey("k1", bytes(32))
    assert mock_verifier(other, "jit_nobody").salt != mock_verifier(K, "jit_nobody").salt


@pytest.mark.parametrize(
    ("holder", "shown"),
    [
        (ProxyKey("k1", b"\x01" * 32), "ProxyKey(id='k1')"),
        (ClientKeys(b"\x01" * 32, b"\x02" * 32), "ClientKeys()"),
        (
            Verifier(b"salt", 4096, b"\x01" * 32, b"\x02" * 32),
            "Verifier(salt=b'salt', iterations=4096)",
        ),
    ],
)
def test_no_log_or_traceback_shows_a_key(holder: object, shown: str) -> None:
    assert repr(holder) == shown
    assert str(holder) == shown
