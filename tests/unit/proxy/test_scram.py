"""Both sides of SCRAM-SHA-256, against RFC 7677's own example and against each other."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import suppress
from hashlib import pbkdf2_hmac, sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.credential import ClientKeys, client_keys, verifier_of
from proxy.scram import ClientExchange, Proved, ScramError, ServerExchange

PASSWORD = "pencil"
SALT = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
ITERATIONS = 4096
KEYS = client_keys(PASSWORD, SALT, ITERATIONS)
VERIFIER = verifier_of(KEYS, SALT, ITERATIONS)

CLIENT_NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
CLIENT_FIRST_BARE = f"n=user,r={CLIENT_NONCE}"
SERVER_FIRST = f"r={CLIENT_NONCE}{SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
WITHOUT_PROOF = f"c=biws,r={CLIENT_NONCE}{SERVER_NONCE}"
PROOF = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
SERVER_SIGNATURE = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

OUR_NONCE = b"server's 18 bytes."


def proof_and_signature(auth_message: str) -> tuple[str, str]:
    """RFC 5802, section 3, word by word: what both sides must say about PASSWORD."""
    salted = pbkdf2_hmac("sha256", PASSWORD.encode(), SALT, ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    stored_key = sha256(client_key).digest()
    client_signature = hmac.digest(stored_key, auth_message.encode(), "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, client_signature, strict=True))
    signature = hmac.digest(server_key, auth_message.encode(), "sha256")
    return b64encode(proof).decode(), b64encode(signature).decode()


def test_the_words_of_the_rfc_give_the_numbers_of_the_rfc() -> None:
    """Everything below is judged by this function, so it is judged first."""
    auth_message = f"{CLIENT_FIRST_BARE},{SERVER_FIRST},{WITHOUT_PROOF}"
    assert proof_and_signature(auth_message) == (PROOF, SERVER_SIGNATURE)


def test_the_server_plays_the_example_of_the_rfc() -> None:
    server = ServerExchange(VERIFIER, OUR_NONCE)
    server._nonce = SERVER_NONCE  # the example's is no base64, which ours always is
    assert server.first(f"n,,{CLIENT_FIRST_BARE}".encode()) == SERVER_FIRST.encode()
    proved = server.final(f"{WITHOUT_PROOF},p={PROOF}".encode())
    assert proved == Proved(KEYS.client_key, f"v={SERVER_SIGNATURE}".encode())


class TestClient:
    """Our side towards a target."""

    SERVER_FIRST = f"r={CLIENT_NONCE}more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"

    def client(self) -> ClientExchange:
        return ClientExchange(KEYS, b64decode(CLIENT_NONCE))

    def test_proves_the_keys_and_believes_who_proves_the_verifier(self) -> None:
        client = self.client()
        assert client.first() == f"n,,n=,r={CLIENT_NONCE}".encode()
        without_proof = f"c=biws,r={CLIENT_NONCE}more"
        proof, signature = proof_and_signature(
            f"n=,r={CLIENT_NONCE},{self.SERVER_FIRST},{without_proof}"
        )
        answer = client.final(self.SERVER_FIRST.encode())
        assert answer == f"{without_proof},p={proof}".encode()
        client.check(f"v={signature}".encode())

    @pytest.mark.parametrize(
        ("server_first", "why"),
        [
            ("r=other,s=W22Z,i=1", "the server's nonce does not extend ours"),
            (f"r={CLIENT_NONCE},s=W22Z,i=1", "the server's nonce does not extend ours"),
            (f"r=x{CLIENT_NONCE}x,s=W22Z,i=1", "the server's nonce does not extend ours"),
            ("r=,s=W22Z,i=1", "the nonce is empty"),
            (f"r={CLIENT_NONCE}more,s=W22Z", "unexpected attributes"),
            (f"r={CLIENT_NONCE}more,i=1,s=W22Z", "attribute s is missing"),
            (f"m=must,r={CLIENT_NONCE}more,s=W22Z,i=1", "unexpected attributes"),
            ("", "unexpected attributes"),
            (f"r={CLIENT_NONCE}m\u00f6re,s=W22Z,i=1", "the message is not printable ASCII"),
            (f"r={CLIENT_NONCE}more\n,s=W22Z,i=1", "the message is not printable ASCII"),
        ],
    )
    def test_refuses_a_server_that_breaks_the_exchange(self, server_first: str, why: str) -> None:
        with pytest.raises(ScramError, match=f"^{why}$"):
            self.client().final(server_first.encode())

    @pytest.mark.parametrize(
        ("server_final", "why"),
        [
            (f"v={SERVER_SIGNATURE}", "the server did not prove that it knows the verifier"),
            ("v=", "the server did not prove that it knows the verifier"),
            ("v=AAAA", "the server did not prove that it knows the verifier"),
            ("v=?", "the message is not valid base64"),
            ("v=AAA", "the message is not valid base64"),
            ("e=other-error", "attribute v is missing"),
            ("", "attribute v is missing"),
        ],
    )
    def test_refuses_a_server_that_does_not_prove_itself(self, server_final: str, why: str) -> None:
        """Whoever answers in the target's place must not see a single query."""
        client = self.client()
        client.final(self.SERVER_FIRST.encode())
        with pytest.raises(ScramError, match=f"^{why}$"):
            client.check(server_final.encode())

    @given(pieces=st.tuples(st.binary(), st.binary()))
    def test_never_fails_otherwise_on_random_bytes(self, pieces: tuple[bytes, bytes]) -> None:
        client = self.client()
        with suppress(ScramError):
            client.final(pieces[0])
        with pytest.raises(ScramError):
            client.check(pieces[1])

    @given(pieces=st.tuples(st.binary(), st.binary()))
    def test_never_fails_otherwise_on_well_formed_nonsense(
        self, pieces: tuple[bytes, bytes]
    ) -> None:
        client = self.client()
        with suppress(ScramError):
            client.final(f"r={CLIENT_NONCE}".encode() + pieces[0] + b",s=,i=" + pieces[1])
        with pytest.raises(ScramError):
            client.check(b"v=" + pieces[1])


class Login:
    """Our client logs in to our server; what it says last may be changed on the way."""

    def __init__(self, keys: ClientKeys = KEYS, gs2_header: str = "n,,") -> None:
        self.server = ServerExchange(VERIFIER, OUR_NONCE)
        self.client = ClientExchange(keys, b64decode(CLIENT_NONCE))
        first = self.client.first().decode().replace("n,,", gs2_header, 1)
        self.client_final = self.client.final(self.server.first(first.encode())).decode()

    def finish(self, change: Callable[[str], str] = str) -> Proved:
        return self.server.final(change(self.client_final).encode())


def test_the_two_sides_understand_each_other() -> None:
    login = Login()
    proved = login.finish()
    login.client.check(proved.server_final)


def test_the_server_learns_the_client_key_and_only_that() -> None:
    """The target's keys are derived from it."""
    assert Login().finish().client_key == KEYS.client_key


def test_a_client_that_knows_channel_binding_is_let_in_without() -> None:
    """It says `y`: it would, had we offered it. We do not, so nobody has downgraded it."""
    login = Login(gs2_header="y,,")
    binding = b64encode(b"y,,").decode()

    def bound(client_final: str) -> str:
        nonce = client_final.split(",")[1].removeprefix("r=")
        without_proof = f"c={binding},r={nonce}"
        server_first = login.server._server_first
        proof, _ = proof_and_signature(f"n=,r={CLIENT_NONCE},{server_first},{without_proof}")
        return f"{without_proof},p={proof}"

    assert login.finish(bound).client_key == KEYS.client_key


@pytest.mark.parametrize(
    ("client_first", "why"),
    [
        ("p=tls-server-end-point,,n=,r=abc", "channel binding was not offered"),
        ("p=,,n=,r=abc", "channel binding was not offered"),
        ("x,,n=,r=abc", "channel binding was not offered"),
        (",,n=,r=abc", "channel binding was not offered"),
        ("N,,n=,r=abc", "channel binding was not offered"),
        ("n,a=postgres,n=,r=abc", "an authorisation identity is not supported"),
        ("n,,n=,r=", "the nonce is empty"),
        ("n,,n=", "unexpected attributes"),
        ("n,,r=abc,n=", "attribute n is missing"),
        ("n,,n=,x=abc", "attribute r is missing"),
        ("n,,m=must,n=,r=abc", "unexpected attributes"),
        ("n,", "a part of the message is missing"),
        ("", "a part of the message is missing"),
        ("n,,n=\u00e9,r=abc", "the message is not printable ASCII"),
        ("n,,n=,r=a\0c", "the message is not printable ASCII"),
    ],
)
def test_a_client_that_breaks_the_exchange_at_once_is_refused(client_first: str, why: str) -> None:
    with pytest.raises(ScramError, match=f"^{why}$"):
        ServerExchange(VERIFIER, OUR_NONCE).first(client_first.encode())


def other_nonce(client_final: str) -> str:
    return client_final.replace(CLIENT_NONCE, CLIENT_NONCE[::-1])


def cut_nonce(client_final: str) -> str:
    binding, nonce, proof = client_final.split(",")
    return f"{binding},{nonce[:-1]},{proof}"


def other_binding(client_final: str) -> str:
    """Says `y` where it said `n` before: somebody took an offer out on the way."""
    return client_final.replace("c=biws", "c=" + b64encode(b"y,,").decode())


def bound_to_a_channel(client_final: str) -> str:
    binding = b64encode(b"p=tls-server-end-point,," + bytes(32)).decode()
    return client_final.replace("c=biws", f"c={binding}")


def proof_of(length: int) -> Callable[[str], str]:
    proof = b64encode(bytes(length)).decode()
    return lambda client_final: client_final.rpartition(",p=")[0] + f",p={proof}"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (other_nonce, "the nonce does not match"),
        (cut_nonce, "the nonce does not match"),
        (other_binding, "the channel binding does not match"),
        (bound_to_a_channel, "the channel binding does not match"),
        (lambda final: final.replace("c=biws", "c="), "the channel binding does not match"),
        (lambda final: final.replace("c=biws", "c=?"), "the message is not valid base64"),
        (lambda final: final.replace("c=biws,", ""), "unexpected attributes"),
        (lambda final: final.replace("c=biws", "c=biws,x=1"), "unexpected attributes"),
        (lambda final: final.rpartition(",p=")[0], "the proof is missing"),
        (lambda final: final + ",x=1", "the message is not valid base64"),
        (lambda final: final + "\u00e9", "the message is not printable ASCII"),
        (lambda _: "", "the proof is missing"),
        (proof_of(0), "the proof has the wrong length"),
        (proof_of(31), "the proof has the wrong length"),
        (proof_of(33), "the proof has the wrong length"),
        (proof_of(32), "the proof is wrong"),
    ],
)
def test_a_client_final_message_that_was_tampered_with_is_refused(
    change: Callable[[str], str], why: str
) -> None:
    with pytest.raises(ScramError, match=f"^{why}$"):
        Login().finish(change)


@given(position=st.integers(0, 31), mask=st.integers(1, 255))
def test_no_bit_of_a_proof_may_change(position: int, mask: int) -> None:
    def flip(client_final: str) -> str:
        without_proof, _, proof = client_final.rpartition(",p=")
        raw = bytearray(b64decode(proof))
        raw[position] ^= mask
        return f"{without_proof},p={b64encode(raw).decode()}"

    with pytest.raises(ScramError, match=r"^the proof is wrong$"):
        Login().finish(flip)


def test_a_proof_from_another_exchange_is_refused() -> None:
    """What was overheard once opens nothing: the server's nonce is new each time."""
    overheard = Login().client_final
    server = ServerExchange(VERIFIER, OUR_NONCE[::-1])
    server.first(f"n,,n=,r={CLIENT_NONCE}".encode())
    with pytest.raises(ScramError, match=r"^the nonce does not match$"):
        server.final(overheard.encode())


@pytest.mark.parametrize("secret", ["Pencil", "pencil ", ""])
def test_a_wrong_secret_is_refused(secret: str) -> None:
    with pytest.raises(ScramError, match=r"^the proof is wrong$"):
        Login(client_keys(secret, SALT, ITERATIONS)).finish()


def test_knowing_the_verifier_is_not_knowing_the_secret() -> None:
    """Whoever reads the ledger has StoredKey and ServerKey, and cannot log in with them."""
    with pytest.raises(ScramError, match=r"^the proof is wrong$"):
        Login(ClientKeys(VERIFIER.stored_key, VERIFIER.server_key)).finish()


@given(first=st.binary(), final=st.binary())
def test_the_server_never_fails_otherwise_on_random_bytes(first: bytes, final: bytes) -> None:
    server = ServerExchange(VERIFIER, OUR_NONCE)
    with suppress(ScramError):
        server.first(first)
    with pytest.raises(ScramError):
        server.final(final)


@given(middle=st.binary(), end=st.binary())
def test_the_server_never_fails_otherwise_on_well_formed_nonsense(
    middle: bytes, end: bytes
) -> None:
    login = Login()
    nonce = login.client_final.split(",")[1].encode()
    for final in (b"c=biws," + nonce + b",p=" + end, b"c=" + middle + b"," + nonce + b",p=" + end):
        with pytest.raises(ScramError):
            login.server.final(final)


def test_no_secret_shows_when_something_is_logged() -> None:
    proved = Login().finish()
    assert repr(proved) == "Proved()"
