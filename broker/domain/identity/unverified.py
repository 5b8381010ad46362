"""What a token says of itself, before anybody has looked at its signature.

It serves two purposes only: to pick the issuer whose keys are asked, and to tell operators what was
refused. Nobody is ever let in by it.
"""

import json
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import Any

_LONGEST = 200  # characters of each, in a row of the audit trail
_PARTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Unverified:
    """Whatever somebody claims. None of it is true until a signature says so."""

    unverified_issuer: str | None = None
    unverified_subject: str | None = None
    unverified_kid: str | None = None
    unverified_type: str | None = None

    def for_the_record(self) -> dict[str, str | None]:
        """Return what operators may want to see, short enough and safe to print."""
        return {
            "unverified_issuer": _for_the_record(self.unverified_issuer),
            "unverified_subject": _for_the_record(self.unverified_subject),
            "unverified_kid": _for_the_record(self.unverified_kid),
        }


NOTHING = Unverified()


def safe_to_print(text: str, longest: int) -> str:
    """Return the beginning of a text that strangers may have had a hand in."""
    return "".join(each if each.isprintable() else "�" for each in text[:longest])


def looks_like_jwt(token: str) -> bool:
    return token.count(".") == _PARTS - 1


def peek(token: str) -> Unverified | None:
    """Return what a signed JWT says of itself, or None if it is none."""
    if not looks_like_jwt(token):
        return None
    encoded_header, encoded_claims, _signature = token.split(".")
    header, claims = _object(encoded_header), _object(encoded_claims)
    if header is None or claims is None:
        return None
    return Unverified(
        unverified_issuer=_text(claims.get("iss")),
        unverified_subject=_text(claims.get("sub")),
        unverified_kid=_text(header.get("kid")),
        unverified_type=_text(header.get("typ")),
    )


def _object(encoded: str) -> dict[str, Any] | None:
    try:
        found = json.loads(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (ValueError, RecursionError):  # a thousand brackets are a valid beginning
        return None
    return found if isinstance(found, dict) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _for_the_record(text: str | None) -> str | None:
    return None if text is None else safe_to_print(text, _LONGEST)
