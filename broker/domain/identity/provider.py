"""Verified claims of an OpenID Connect provider → a person, or why not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker.domain.identity.claims import (
    MACHINE_DOMAIN,
    claim_at,
    email_at,
    names_at,
    text_at,
)
from broker.domain.identity.identified import Identified, Refused
from broker.domain.person import PersonKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimNames:
    """Where a provider says what, as paths for `claims.claim_at`."""

    email: str = "email"
    name: str = "name"
    groups: str = "groups"
    manager: str = "manager"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """What we take a provider's word for. Without `domains` it may vouch for any address."""

    name: str
    claims: ClaimNames = ClaimNames()
    domains: frozenset[str] = frozenset()
    require_verified_email: bool = True


def identify_person(provider: Provider, claims: Mapping[str, Any]) -> Identified | Refused:
    """Say who the claims, whose signature was verified, are about."""
    names = provider.claims
    email = email_at(claims, names.email)
    if email is None:
        return Refused(f"the claim {names.email} is no e-mail address")
    refusal = _not_theirs_to_vouch_for(provider, claims, email)
    if refusal is not None:
        return refusal
    groups = names_at(claims, names.groups)
    if isinstance(groups, Refused):
        return groups
    return Identified(
        email=email,
        name=text_at(claims, names.name) or email,
        groups=groups,
        manager=email_at(claims, names.manager),
        kind=PersonKind.HUMAN,
        provider=provider.name,
        subject=text_at(claims, "sub") or "",
    )


def _not_theirs_to_vouch_for(
    provider: Provider, claims: Mapping[str, Any], email: str
) -> Refused | None:
    domain = email.rpartition("@")[2]
    if f".{domain}".endswith(MACHINE_DOMAIN):
        return Refused(f"{email} is an address of a machine")
    if provider.domains and domain not in provider.domains:
        return Refused(f"{domain} is not among the domains of provider {provider.name}")
    if provider.require_verified_email and not _is_verified(claims, email):
        return Refused(f"provider {provider.name} has not verified the address {email}")
    return None


def _is_verified(claims: Mapping[str, Any], email: str) -> bool:
    # It speaks of the claim `email` alone (OpenID Connect Core 5.1): where another one says who
    # somebody is, such as a user name of their own choice, that has to be the same address.
    verified = claim_at(claims, "email_verified")
    return (verified is True or verified == "true") and email_at(claims, "email") == email
