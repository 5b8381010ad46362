"""Both sides of SCRAM-SHA-256 and its -PLUS, against RFC 7677's own example and each other."""

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from hashlib import pbkdf2_hmac, sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.credential import ClientKeys, Verifier, client_keys, verifier_of
from proxy import scram
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
PLAIN, PLUS = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"
BINDING = sha256(b"our certificate").digest()


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
    server = ServerExchange([VERIFIER], OUR_NONCE, None)
    server._nonce = SERVER_NONCE  # the example's is no base64, which ours always is
    assert server.first(PLAIN, f"n,,{CLIENT_FIRST_BARE}".encode()) == SERVER_FIRST.encode()
    proved = server.final(f"{WITHOUT_PROOF},p={PROOF}".encode())
    assert proved == Proved(KEYS.client_key, f"v={SERVER_SIGNATURE}".encode())


BAD_NONCE = "the nonce is empty, too long or not printable"


class TestClient:
    """Our side towards a target."""

    SERVER_FIRST = f"r={CLIENT_NONCE}more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"

    def client(self, channel_binding: bytes | None = None) -> ClientExchange:
        return ClientExchange(KEYS, b64decode(CLIENT_NONCE), channel_binding)

    @pytest.mark.parametrize(
        ("channel_binding", "offered", "mechanism", "header", "bound"),
        [
            (None, [PLAIN], PLAIN, "n,,", b""),
            # A certificate that has no hash, under TLS or a server that lies.
            (None, [PLUS, PLAIN], PLAIN, "n,,", b""),
            (BINDING, [PLAIN], PLAIN, "y,,", b""),
            (BINDING, [PLUS, PLAIN], PLUS, "p=tls-server-end-point,,", BINDING),
            (BINDING, ["X", PLAIN, PLUS], PLUS, "p=tls-server-end-point,,", BINDING),
            (BINDING, [PLUS], PLUS, "p=tls-server-end-point,,", BINDING),
        ],
    )
    def test_proves_the_keys_and_believes_who_proves_the_verifier(
        self,
        channel_binding: bytes | None,
        offered: list[str],
        mechanism: str,
        header: str,
        bound: bytes,
    ) -> None:
        """It never says `y` to a server that offers channel binding."""
        client = self.client(channel_binding)
        first = client.first(offered)
        assert first.mechanism == mechanism
        assert first.data == f"{header}n=,r={CLIENT_NONCE}".encode()
        binding = b64encode(header.encode() + bound).decode()
        without_proof = f"c={binding},r={CLIENT_NONCE}more"
        proof, signature = proof_and_signature(
            f"n=,r={CLIENT_NONCE},{self.SERVER_FIRST},{without_proof}"
        )
        answer = client.final(self.SERVER_FIRST.encode())
        assert answer == f"{without_proof},p={proof}".encode()
        client.check(f"v={signature}".encode())

    @pytest.mark.parametrize(
        ("channel_binding", "offered"),
        [
            (None, []),
            (None, [PLUS]),
            (BINDING, []),
            (BINDING, ["SCRAM-SHA-1", "PLAIN", "scram-sha-256", "OAUTHBEARER"]),
        ],
    )
    def test_leaves_when_nothing_is_offered_that_it_can_do(
        self, channel_binding: bytes | None, offered: list[str]
    ) -> None:
        with pytest.raises(ScramError, match=r"^the server offers no SCRAM-SHA-256 that can be"):
            self.client(channel_binding).first(offered)

    def test_ignores_what_it_need_not_understand(self) -> None:
        client = self.client()
        client.first([PLAIN])
        server_first = f"{self.SERVER_FIRST},x=new,Y=a=b"
        client.final(server_first.encode())
        _, signature = proof_and_signature(
            f"n=,r={CLIENT_NONCE},{server_first},c=biws,r={CLIENT_NONCE}more"
        )
        client.check(f"v={signature},z=1".encode())

    @pytest.mark.parametrize(
        ("server_first", "why"),
        [
            ("r=other,s=W22Z,i=1", "the server's nonce does not extend ours"),
            (f"r={CLIENT_NONCE},s=W22Z,i=1", "the server's nonce does not extend ours"),
            (f"r=x{CLIENT_NONCE}x,s=W22Z,i=1", "the server's nonce does not extend ours"),
            ("r=,s=W22Z,i=1", BAD_NONCE),
            (f"r={CLIENT_NONCE}m ore,s=W22Z,i=1", BAD_NONCE),
            (f"r={CLIENT_NONCE}m\u00f6re,s=W22Z,i=1", BAD_NONCE),
            (f"r={CLIENT_NONCE}more\n,s=W22Z,i=1", BAD_NONCE),
            (f"r={CLIENT_NONCE:x<257},s=W22Z,i=1", BAD_NONCE),
            (f"r={CLIENT_NONCE}more,s=W22Z", "an attribute is missing"),
            (f"r={CLIENT_NONCE}more,i=1,s=W22Z", "attribute s is missing"),
            (f"r={CLIENT_NONCE}more,s=W22Z,I=1", "attribute i is missing"),
            (f"m=must,r={CLIENT_NONCE}more,s=W22Z,i=1", "a mandatory extension is not supported"),
            (f"r={CLIENT_NONCE}more,s=W22Z,i=1,m=1", "a mandatory extension is not supported"),
            (f"r={CLIENT_NONCE}more,s=W22Z,i=1,", "an extension is malformed"),
            (f"r={CLIENT_NONCE}more,s=W22Z,i=1,x=", "an extension is malformed"),
            (f"r={CLIENT_NONCE}more,s=W22Z,i=1,7=x", "an extension is malformed"),
            (f"r={CLIENT_NONCE}more,s=,i=1", "the salt is empty"),
            (f"r={CLIENT_NONCE}more,s=W2?Z,i=1", "the message is not valid base64"),
            (f"r={CLIENT_NONCE}more,s=W22Z,i=0", "the number of iterations is not one"),
            (f"r={CLIENT_NONCE}more,s=W22Z,i=01", "the number of iterations is not one"),
            (f"r={CLIENT_NONCE}more,s=W22Z,i=-1", "the number of iterations is not one"),
            (f"r={CLIENT_NONCE}more,s=W22Z,i=\u0661", "the number of iterations is not one"),
            (f"r={CLIENT_NONCE}more,s=W22Z,i=10000000000", "the number of iterations is not one"),
            (f"r={CLIENT_NONCE}more,s=W22Z,i=", "the number of iterations is not one"),
            (f"r={CLIENT_NONCE}mo\0re,s=W22Z,i=1", "the message has a zero byte"),
            (f"r={CLIENT_NONCE}more,s=W22Z,i=1,x=\udcff", "the message is not UTF-8"),
            ("", "an attribute is missing"),
        ],
    )
    def test_refuses_a_server_that_breaks_the_exchange(self, server_first: str, why: str) -> None:
        client = self.client()
        client.first([PLAIN])
        with pytest.raises(ScramError, match=f"^{why}$"):
            client.final(server_first.encode(errors="surrogateescape"))

    @pytest.mark.parametrize(
        ("server_final", "why"),
        [
            (f"v={SERVER_SIGNATURE}", "the server did not prove that it knows the verifier"),
            ("v=", "the server did not prove that it knows the verifier"),
            ("v=AAAA", "the server did not prove that it knows the verifier"),
            ("v=?", "the message is not valid base64"),
            ("v=AAA", "the message is not valid base64"),
            ("v=AAB=", "the message is not valid base64"),
            ("v=AAAA=", "the message is not valid base64"),
            (f"v={SERVER_SIGNATURE},m=1", "a mandatory extension is not supported"),
            ("e=other-error", "attribute v is missing"),
            ("", "attribute v is missing"),
        ],
    )
    def test_refuses_a_server_that_does_not_prove_itself(self, server_final: str, why: str) -> None:
        """Whoever answers in the target's place must not see a single query."""
        client = self.client()
        client.first([PLAIN])
        client.final(self.SERVER_FIRST.encode())
        with pytest.raises(ScramError, match=f"^{why}$"):
            client.check(server_final.encode())

    @given(pieces=st.tuples(st.binary(), st.binary()))
    def test_never_fails_otherwise_on_random_bytes(self, pieces: tuple[bytes, bytes]) -> None:
        client = self.client()
        client.first([PLAIN])
        with suppress(ScramError):
            client.final(pieces[0])
        with pytest.raises(ScramError):
            client.check(pieces[1])

    @given(pieces=st.tuples(st.binary(), st.binary()))
    def test_never_fails_otherwise_on_well_formed_nonsense(
        self, pieces: tuple[bytes, bytes]
    ) -> None:
        client = self.client()
        client.first([PLAIN])
        with suppress(ScramError):
            client.final(f"r={CLIENT_NONCE}".encode() + pieces[0] + b",s=,i=" + pieces[1])
        with pytest.raises(ScramError):
            client.check(b"v=" + pieces[1])


class Login:
    """Our client logs in to our server; what it says last may be changed on the way."""

    def __init__(
        self,
        keys: ClientKeys = KEYS,
        *,
        client_sees: bytes | None = None,
        server_has: bytes | None = None,
        verifiers: Sequence[Verifier] = (VERIFIER,),
    ) -> None:
        self.server = ServerExchange(verifiers, OUR_NONCE, server_has)
        self.client = ClientExchange(keys, b64decode(CLIENT_NONCE), client_sees)
        first = self.client.first(self.server.mechanisms)
        self.mechanism = first.mechanism
        self.client_final = self.client.final(self.server.first(*astuple(first))).decode()

    def finish(self, change: Callable[[str], str] = str) -> Proved:
        return self.server.final(change(self.client_final).encode())


@given(
    keys=st.builds(ClientKeys, st.binary(min_size=32, max_size=32), st.binary(max_size=32)),
    salt=st.binary(min_size=1, max_size=64),
    iterations=st.integers(1, 9_999_999),
    nonces=st.tuples(st.binary(min_size=1, max_size=60), st.binary(min_size=1, max_size=60)),
    client_sees=st.none() | st.binary(min_size=16, max_size=64),
    plus_offered=st.booleans(),
)
def test_the_two_sides_understand_each_other(
    keys: ClientKeys,
    salt: bytes,
    iterations: int,
    nonces: tuple[bytes, bytes],
    client_sees: bytes | None,
    *,
    plus_offered: bool,
) -> None:
    verifier = verifier_of(keys, salt, iterations)
    server = ServerExchange([verifier], nonces[0], client_sees if plus_offered else None)
    client = ClientExchange(keys, nonces[1], client_sees)
    first = client.first(server.mechanisms)
    assert first.mechanism == (PLUS if plus_offered and client_sees is not None else PLAIN)
    proved = server.final(client.final(server.first(first.mechanism, first.data)))
    assert (proved.client_key, proved.verifier_index) == (keys.client_key, 0)
    client.check(proved.server_final)


@pytest.mark.parametrize("binding", [None, BINDING])
def test_the_server_learns_the_client_key_and_only_that(binding: bytes | None) -> None:
    """The target's keys are derived from it."""
    assert Login(client_sees=binding, server_has=binding).finish().client_key == KEYS.client_key


class TestChannelBinding:
    """Nobody sits between the client and us, whatever certificate they hold."""

    def test_is_offered_first_when_our_certificate_has_a_hash(self) -> None:
        assert ServerExchange([VERIFIER], OUR_NONCE, BINDING).mechanisms == (PLUS, PLAIN)

    def test_is_not_offered_when_it_has_none(self) -> None:
        """Libpq would refuse to go on with an Ed25519 certificate."""
        assert ServerExchange([VERIFIER], OUR_NONCE, None).mechanisms == (PLAIN,)

    def test_to_another_certificate_is_refused(self) -> None:
        """The client saw the certificate of somebody who passes everything on to us."""
        login = Login(client_sees=sha256(b"another").digest(), server_has=BINDING)
        assert login.mechanism == PLUS
        with pytest.raises(ScramError, match=r"^the channel binding does not match$"):
            login.finish()

    def test_cannot_be_mended_on_the_way(self) -> None:
        """Whoever puts the right hash in has no proof for it."""
        login = Login(client_sees=sha256(b"another").digest(), server_has=BINDING)
        right = b64encode(b"p=tls-server-end-point,," + BINDING).decode()
        with pytest.raises(ScramError, match=r"^the proof is wrong$"):
            login.finish(lambda final: re.sub(r"^c=[^,]+", f"c={right}", final))

    def test_whose_offer_was_taken_out_on_the_way_is_missed(self) -> None:
        """The client says `y`: it would have bound itself, had it been asked."""
        server = ServerExchange([VERIFIER], OUR_NONCE, BINDING)
        client = ClientExchange(KEYS, b64decode(CLIENT_NONCE), BINDING)
        first = client.first([PLAIN])
        with pytest.raises(ScramError, match=r"^the offer of channel binding did not reach"):
            server.first(first.mechanism, first.data)

    def test_may_be_left_out_by_clients_that_do_not_know_it(self) -> None:
        login = Login(client_sees=None, server_has=BINDING)
        assert (login.mechanism, login.finish().client_key) == (PLAIN, KEYS.client_key)

    def test_that_we_do_not_offer_may_be_known_to_the_client(self) -> None:
        """It says `y`: nobody has downgraded it."""
        login = Login(client_sees=BINDING, server_has=None)
        assert (login.mechanism, login.finish().client_key) == (PLAIN, KEYS.client_key)


@pytest.mark.parametrize("binding", [None, BINDING])
@pytest.mark.parametrize(
    ("mechanism", "client_first", "why"),
    [
        (PLAIN, "p=tls-server-end-point,,n=,r=abc", "channel binding does not belong to this"),
        (PLAIN, "p=,,n=,r=abc", "channel binding does not belong to this mechanism"),
        (PLAIN, "x,,n=,r=abc", "channel binding does not belong to this mechanism"),
        (PLAIN, ",,n=,r=abc", "channel binding does not belong to this mechanism"),
        (PLAIN, "N,,n=,r=abc", "channel binding does not belong to this mechanism"),
        ("", "n,,n=,r=abc", "the mechanism was not offered"),
        ("SCRAM-SHA-1", "n,,n=,r=abc", "the mechanism was not offered"),
        ("scram-sha-256", "n,,n=,r=abc", "the mechanism was not offered"),
        (PLAIN, "n,a=postgres,n=,r=abc", "an authorisation identity is not supported"),
        (PLAIN, "n,,n=,r=", BAD_NONCE),
        (PLAIN, "n,,n=,r=a b", BAD_NONCE),
        (PLAIN, "n,,n=,r=a\x7fb", BAD_NONCE),
        (PLAIN, "n,,n=,r=" + 257 * "a", BAD_NONCE),
        (PLAIN, "n,,n=", "an attribute is missing"),
        (PLAIN, "n,,r=abc,n=", "attribute n is missing"),
        (PLAIN, "n,,n=,x=abc", "attribute r is missing"),
        (PLAIN, "n,,m=must,n=,r=abc", "a mandatory extension is not supported"),
        (PLAIN, "n,,n=,r=abc,m=must", "a mandatory extension is not supported"),
        (PLAIN, "n,,n=,r=abc,", "an extension is malformed"),
        (PLAIN, "n,,n=,r=abc,xy=1", "an extension is malformed"),
        (PLAIN, "n,", "a part of the message is missing"),
        (PLAIN, "", "a part of the message is missing"),
        (PLAIN, "n,,n=,r=a\u00e9", BAD_NONCE),
        (PLAIN, "n,,n=\udce9,r=abc", "the message is not UTF-8"),
        (PLAIN, "n,,n=,r=a\0c", "the message has a zero byte"),
    ],
)
def test_a_client_that_breaks_the_exchange_at_once_is_refused(
    binding: bytes | None, mechanism: str, client_first: str, why: str
) -> None:
    exchange = ServerExchange([VERIFIER], OUR_NONCE, binding)
    with pytest.raises(ScramError, match=f"^{why}"):
        exchange.first(mechanism, client_first.encode(errors="surrogateescape"))


@pytest.mark.parametrize(
    "flag", ["n", "y", "p=", "p=tls-unique", "p=tls-exporter", "P=tls-server-end-point", "", "p"]
)
def test_the_mechanism_with_binding_takes_only_the_binding_it_knows(flag: str) -> None:
    exchange = ServerExchange([VERIFIER], OUR_NONCE, BINDING)
    with pytest.raises(ScramError, match=r"^the client does not bind to its channel by tls-serv"):
        exchange.first(PLUS, f"{flag},,n=,r=abc".encode())


def test_the_mechanism_with_binding_is_refused_where_it_was_not_offered() -> None:
    exchange = ServerExchange([VERIFIER], OUR_NONCE, None)
    with pytest.raises(ScramError, match=r"^the mechanism was not offered$"):
        exchange.first(PLUS, b"p=tls-server-end-point,,n=,r=abc")


@pytest.mark.parametrize("name", ["", "*", "user", "m\u00fcller", "a=2Cb", "a=b", "with space"])
def test_the_name_inside_is_not_read(name: str) -> None:
    """The startup message has it already, and drivers write this one in many ways."""
    server = ServerExchange([VERIFIER], OUR_NONCE, None)
    bare = f"n={name},r={CLIENT_NONCE},x=an extension"
    server_first = server.first(PLAIN, f"n,,{bare}".encode()).decode()
    without_proof = f"c=biws,{server_first.split(',')[0]},y=another"
    proof, signature = proof_and_signature(f"{bare},{server_first},{without_proof}")
    proved = server.final(f"{without_proof},p={proof}".encode())
    assert proved == Proved(KEYS.client_key, f"v={signature}".encode())


class TestSeveralVerifiers:
    """A stable name leads to any of a person's live grants, each with a secret of its own."""

    SECRETS = ("one", "two", "three", "four", "five", "six")

    def verifiers(self, count: int) -> list[Verifier]:
        return [
            verifier_of(client_keys(secret, SALT, ITERATIONS), SALT, ITERATIONS)
            for secret in self.SECRETS[:count]
        ]

    @pytest.mark.parametrize(
        ("count", "index"), [(count, index) for count in (1, 2, 4, 5, 6) for index in range(count)]
    )
    def test_are_told_apart_by_the_proof(self, count: int, index: int) -> None:
        keys = client_keys(self.SECRETS[index], SALT, ITERATIONS)
        login = Login(keys, verifiers=self.verifiers(count))
        proved = login.finish()
        assert (proved.verifier_index, proved.client_key) == (index, keys.client_key)
        login.client.check(proved.server_final)

    def test_that_none_of_which_matches_are_refused(self) -> None:
        with pytest.raises(ScramError, match=r"^the proof is wrong$"):
            Login(verifiers=self.verifiers(6)).finish()

    def test_of_which_two_are_the_same_count_as_the_first(self) -> None:
        assert Login(verifiers=[VERIFIER, VERIFIER]).finish().verifier_index == 0

    @pytest.mark.parametrize(("count", "tries"), [(1, 4), (2, 4), (4, 4), (5, 5)])
    @pytest.mark.parametrize("known", [True, False])
    def test_are_all_tried_whichever_matches(
        self, monkeypatch: pytest.MonkeyPatch, count: int, tries: int, *, known: bool
    ) -> None:
        """The time must not tell how many there are, which is right, nor whether any is."""
        keys = client_keys(self.SECRETS[0], SALT, ITERATIONS) if known else KEYS
        login = Login(keys, verifiers=self.verifiers(count))
        tried: list[bytes] = []

        def compare(left: bytes, right: bytes) -> bool:
            tried.append(right)
            return hmac.compare_digest(left, right)

        monkeypatch.setattr(scram, "hmac", CountingHmac(compare))
        with suppress(ScramError):
            login.finish()
        assert len(tried) == tries
        assert set(tried) == {each.stored_key for each in self.verifiers(count)}

    @pytest.mark.parametrize(
        "verifiers",
        [
            [],
            [VERIFIER, replace(VERIFIER, salt=b"another")],
            [VERIFIER, replace(VERIFIER, iterations=1)],
        ],
        ids=["none", "another salt", "other iterations"],
    )
    def test_must_fit_one_challenge(self, verifiers: list[Verifier]) -> None:
        with pytest.raises(ValueError, match=r"^verifiers need one salt and one number of"):
            ServerExchange(verifiers, OUR_NONCE, None)


@dataclass(frozen=True)
class CountingHmac:
    compare_digest: Callable[[bytes, bytes], bool]
    digest = staticmethod(hmac.digest)


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
        (lambda final: final.replace("c=biws", "c=?"), "the channel binding does not match"),
        (lambda final: final.replace("c=biws,", ""), "an attribute is missing"),
        (lambda final: final.replace("c=biws", "c=biws,x=1"), "attribute r is missing"),
        (lambda final: final.replace(",p=", ",m=1,p="), "a mandatory extension is not supported"),
        (lambda final: final.replace(",p=", ",,p="), "an extension is malformed"),
        # What is well-formed but was not proved.
        (lambda final: final.replace(",p=", ",x=1,p="), "the proof is wrong"),
        (lambda final: final.rpartition(",p=")[0], "the proof is missing"),
        (lambda final: final + ",x=1", "the message is not valid base64"),
        (lambda final: final + "\u00e9", "the message is not valid base64"),
        (lambda final: final + "=", "the message is not valid base64"),
        (lambda final: final + "\0", "the message has a zero byte"),
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
    server = ServerExchange([VERIFIER], OUR_NONCE[::-1], None)
    server.first(PLAIN, f"n,,n=,r={CLIENT_NONCE}".encode())
    with pytest.raises(ScramError, match=r"^the nonce does not match$"):
        server.final(overheard.encode())


def test_a_proof_before_the_challenge_is_refused() -> None:
    with pytest.raises(ScramError, match=r"^the exchange has not begun$"):
        ServerExchange([VERIFIER], OUR_NONCE, None).final(Login().client_final.encode())


@pytest.mark.parametrize("secret", ["Pencil", "pencil ", ""])
def test_a_wrong_secret_is_refused(secret: str) -> None:
    with pytest.raises(ScramError, match=r"^the proof is wrong$"):
        Login(client_keys(secret, SALT, ITERATIONS)).finish()


def test_knowing_the_verifier_is_not_knowing_the_secret() -> None:
    """Whoever reads the ledger has StoredKey and ServerKey, and cannot log in with them."""
    with pytest.raises(ScramError, match=r"^the proof is wrong$"):
        Login(ClientKeys(VERIFIER.stored_key, VERIFIER.server_key)).finish()


@given(
    mechanism=st.sampled_from([PLAIN, PLUS]) | st.text(max_size=5),
    first=st.binary(),
    final=st.binary(),
)
def test_the_server_never_fails_otherwise_on_random_bytes(
    mechanism: str, first: bytes, final: bytes
) -> None:
    server = ServerExchange([VERIFIER], OUR_NONCE, BINDING)
    with suppress(ScramError):
        server.first(mechanism, first)
    with pytest.raises(ScramError):
        server.final(final)


@given(
    mechanism=st.sampled_from([PLAIN, PLUS]),
    pieces=st.lists(
        st.sampled_from(["n", "y", "p=tls-server-end-point", "n=", "r=", "a=", "m=", ",", "x=1"])
        | st.text(max_size=3),
        max_size=10,
    ),
)
def test_the_server_never_fails_otherwise_on_grammar_in_disorder(
    mechanism: str, pieces: list[str]
) -> None:
    server = ServerExchange([VERIFIER], OUR_NONCE, BINDING)
    with suppress(ScramError):
        server.first(mechanism, "".join(pieces).encode(errors="replace"))
    with pytest.raises(ScramError):
        server.final(",".join(pieces).encode(errors="replace"))


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
    login = Login(client_sees=BINDING, server_has=BINDING)
    assert repr(login.finish()) == "Proved(verifier_index=0)"
    assert repr(login.client.first([PLAIN])) == "ClientFirst(mechanism='SCRAM-SHA-256')"
    assert repr(login.server._challenge) == "_Challenge()"
