"""Settings of identity → who there is, and who is asked about all others."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NoReturn

from broker.config.identity import IdentitySettings, ProviderSettings, WorkloadSettings
from broker.domain.authorization import Authority
from broker.domain.errors import NotIdentified
from broker.domain.identity.directory import Directory
from broker.domain.identity.provider import ClaimNames, Provider
from broker.domain.identity.unverified import NOTHING, peek
from broker.domain.identity.workload import Machine, Workload, machine_email
from broker.domain.person import Person, PersonKind
from broker.domain.policy.people import People
from broker.service.context import IdentityVerifier


def directory_of(identity: IdentitySettings) -> Directory:
    # Ids belong to the ledger; until it has met a person there is none.
    return Directory(
        people={
            each.email: Person("", each.email, each.name or each.email, each.groups, each.manager)
            for each in identity.people
        },
        personal_roles={
            (each.email, target): role
            for each in identity.people
            for target, role in each.personal_roles.items()
        },
        machines={
            email: Person("", email, each.name, each.groups, kind=PersonKind.MACHINE)
            for email, each in identity.all_machines()
        },
        providers=frozenset(each.name for each in identity.providers),
        known_for=identity.sign_in.known_for,
    )


def authority_of(identity: IdentitySettings) -> Authority:
    operators, auditors = identity.operators, identity.auditors
    return Authority(
        operators=People(emails=operators.people, groups=operators.groups),
        auditors=People(emails=auditors.people, groups=auditors.groups),
    )


@asynccontextmanager
async def open_verifier(
    identity: IdentitySettings, now: Callable[[], datetime]
) -> AsyncIterator[IdentityVerifier]:
    """Yield what asks the issuers in the settings, if there are any."""
    if not identity.providers and not identity.workloads:
        yield _NoIssuers()
        return
    # These take long to load, and whoever has no issuers does without.
    from broker.identity.fetching import open_http  # noqa: PLC0415
    from broker.identity.verify import (  # noqa: PLC0415
        TrustedProvider,
        TrustedWorkload,
        Verifier,
    )

    async with open_http() as http:
        yield Verifier(
            [
                TrustedProvider(
                    provider=_provider(each), issuer=each.issuer, audiences=each.audiences
                )
                for each in identity.providers
            ],
            [
                TrustedWorkload(
                    workload=_workload(each), issuer=each.issuer, audience=each.audience
                )
                for each in identity.workloads
            ],
            http,
            now=now,
            clock=time.monotonic,
            clock_skew=identity.clock_skew,
        )


class _NoIssuers:
    """Takes nobody's word."""

    async def metadata(self, provider_name: str) -> NoReturn:
        raise NotIdentified(f"there is no provider {provider_name!r}")

    async def verified_claims(
        self, provider_name: str, token: str, *, nonce: str | None, audience: str
    ) -> NoReturn:
        del token, nonce, audience
        raise NotIdentified(f"there is no provider {provider_name!r}")

    def identify(self, provider_name: str, claims: Mapping[str, Any]) -> NoReturn:
        del claims
        raise NotIdentified(f"there is no provider {provider_name!r}")

    async def verify_bearer(self, token: str) -> NoReturn:
        raise NotIdentified("no workload is configured", peek(token) or NOTHING)


def _provider(settings: ProviderSettings) -> Provider:
    return Provider(
        name=settings.name,
        claims=ClaimNames(**settings.claims.model_dump()),
        domains=settings.domains,
        require_verified_email=settings.require_verified_email,
    )


def _workload(settings: WorkloadSettings) -> Workload:
    return Workload(
        name=settings.name,
        machines=tuple(
            Machine(
                email=machine_email(each.name, settings.name),
                name=each.name,
                match=each.match,
                groups=each.groups,
            )
            for each in settings.machines
        ),
    )
