"""Reading verified claims, whose names and shapes differ from issuer to issuer."""

import re
from collections.abc import Mapping
from typing import Any

from broker.domain.identity.identified import Refused

MACHINE_DOMAIN = ".machine"

_LONGEST_EMAIL = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets
_LONGEST_TEXT = 200
# ASCII only: lower("\N{KELVIN SIGN}") is "k", and who may choose an address could become another.
_EMAIL = re.compile(r"[!-?A-~]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


def claim_at(claims: Any, path: str) -> Any:
    """Return the claim that `path` names, or None: by its whole name, else by the dots in it.

    Names may have dots themselves: `realm_access.roles`, `https://example.com/groups` and
    `kubernetes.io.serviceaccount.name` all lead somewhere.
    """
    if not isinstance(claims, Mapping):
        return None
    if path in claims:
        return claims[path]
    for dot in (match.start() for match in re.finditer(r"\.", path)):
        found = claim_at(claims.get(path[:dot]), path[dot + 1 :])
        if found is not None:
            return found
    return None


def text_at(claims: Mapping[str, Any], path: str) -> str | None:
    """Return a claim that is text which can be shown to people, or None."""
    value = claim_at(claims, path)
    if not isinstance(value, str) or not value.isprintable():
        return None
    return value.strip()[:_LONGEST_TEXT] or None


def email_at(claims: Mapping[str, Any], path: str) -> str | None:
    """Return a claim that is an e-mail address, in lower case, or None."""
    value = claim_at(claims, path)
    if not isinstance(value, str) or len(value) > _LONGEST_EMAIL or not _EMAIL.fullmatch(value):
        return None
    return value.lower()


def names_at(claims: Mapping[str, Any], path: str) -> frozenset[str] | Refused:
    """Return a claim that is a list of names, or text that lists them. Without it there are none.

    Whatever cannot be read is refused rather than left out: a policy may deny a group something.
    """
    value = claim_at(claims, path)
    match value:
        case None:
            return _none_or_elsewhere(claims, path)
        case str():
            names = value.split(",") if "," in value else value.split()
        case [*members] if all(isinstance(each, str) for each in members):
            names = members
        case _:
            return Refused(f"the claim {path} is not a list of names")
    if not all(each.isprintable() for each in names):
        return Refused(f"the claim {path} has a name that cannot be shown")
    return frozenset(each.strip() for each in names if each.strip())


def _none_or_elsewhere(claims: Mapping[str, Any], path: str) -> frozenset[str] | Refused:
    # OpenID Connect Core 5.6.2: the claim is there, but somewhere else. Entra ID does this to the
    # groups of people who are in more than 200.
    elsewhere = claims.get("_claim_names")
    if isinstance(elsewhere, Mapping) and path in elsewhere:
        return Refused(f"the provider keeps the claim {path} elsewhere: let it send fewer of them")
    return frozenset()
