"""Who we are to a provider, and how its people sign in with us."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from broker.domain.identity.claims import claim_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Relying:
    """A client at the provider. `callback` is where it sends browsers back to, if it does; `wanted`
    are the claims that it should make of people."""

    provider: str
    issuer: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    scopes: tuple[str, ...] = ()
    callback: str | None = None
    wanted: tuple[str, ...] = ()

    def lacks_some(self, claims: Mapping[str, Any]) -> bool:
        """Say whether to ask further. OpenID Connect Core 5.4: a provider may keep all but the
        subject out of its ID tokens, and tell the rest who asks with the access token."""
        return any(claim_at(claims, path) is None for path in self.wanted)


def completed(claims: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of an ID token with what the provider says besides, which never overrules
    them.

    Whether an address was verified is said of the one beside it: people change theirs, and the two
    answers may be of different times.
    """
    last = more if "email" not in claims else claims
    found = {**more, **claims}
    if claims.get("email") != more.get("email"):
        found.pop("email_verified", None)
        if "email_verified" in last:
            found["email_verified"] = last["email_verified"]
    return found


@dataclass(frozen=True, slots=True)
class Answered:
    """What a provider gave for a code. Nobody has verified it yet."""

    id_token: str = field(repr=False)
    access_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInTerms:
    """For how long people stay signed in, and who we are to their providers, by name: for browsers
    and for command lines."""

    lifetime: timedelta
    idle: timedelta
    web: Mapping[str, Relying]
    command_line: Mapping[str, Relying]
