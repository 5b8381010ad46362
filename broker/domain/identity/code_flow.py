"""Signing in by OpenID Connect's authorization code with PKCE: what is kept until the person comes
back from their provider, and whether what they come back with is the answer to it.

https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth, RFC 7636, RFC 9207
"""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from broker.domain.errors import SignInFailed

RANDOM_BYTES = 96
_PART = RANDOM_BYTES // 3  # 256 bits for each of state, nonce and verifier
_REASONS = {
    "access_denied": "you were not let in there, or did not want to be",
    "consent_required": "it needs your consent; try again",
    "interaction_required": "it needs something from you; try again",
    "login_required": "you are not signed in there; try again",
    "server_error": "it has a problem of its own; try again later",
    "temporarily_unavailable": "it is too busy; try again later",
}
_OUR_FAULT = "it does not take our question; an operator finds more in the log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One attempt to sign in. Only the browser that makes it keeps it, sealed.

    `state` says that the answer is to this browser's question, `nonce` that the ID token is, and
    `verifier` that who brings the code is who asked for it.
    """

    provider: str
    back_to: str
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)

    def pack(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def unpack(cls, packed: bytes) -> "Transaction":
        """Return what `pack` packed: nobody else's bytes may ever come here."""
        return cls(**json.loads(packed))


def begin(provider: str, back_to: str, random: bytes) -> Transaction:
    """Return a new attempt. `random` is RANDOM_BYTES from a cryptographic source."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"an attempt needs {RANDOM_BYTES} random bytes, got {len(random)}")
    state, nonce, verifier = (_text(random[at : at + _PART]) for at in range(0, len(random), _PART))
    return Transaction(
        provider=provider, back_to=back_to, state=state, nonce=nonce, verifier=verifier
    )


def code_in(
    answer: Mapping[str, str], transaction: Transaction, issuer: str, *, always_says_issuer: bool
) -> str:
    """Return the code that the provider gave. Raises SignInFailed.

    Nothing of an answer is believed, not even that there was an error, before its state fits.
    """
    name = transaction.provider
    state = answer.get("state", "").encode(errors="surrogatepass")  # there may be no text in it
    if not hmac.compare_digest(state, transaction.state.encode()):
        raise SignInFailed("this answer is not to the sign-in that this browser began; begin anew")
    # Somebody else's provider must not get the code of ours (RFC 9207, 2.4).
    said = answer.get("iss")
    if (said is None and always_says_issuer) or said not in (None, issuer):
        raise SignInFailed(f"this answer does not come from {name}; begin anew")
    if "error" in answer:
        raise SignInFailed(f"{name} says no: {_REASONS.get(answer['error'], _OUR_FAULT)}")
    if not answer.get("code"):
        raise SignInFailed(f"{name} sent you back without an answer; begin anew")
    return answer["code"]


def _text(random: bytes) -> str:
    return urlsafe_b64encode(random).decode().rstrip("=")
