"""Settings of identity → how people sign in, and who talks to their providers about it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from broker.config.identity import IdentitySettings, ProviderSettings
from broker.config.settings import Settings, read_secret
from broker.domain.errors import ProviderUnreachable
from broker.domain.identity.code_flow import Transaction
from broker.domain.identity.issuer import Metadata
from broker.domain.identity.relying import Relying, SignInTerms
from broker.endpoints import public_url
from broker.service.context import ProviderFlows


def sign_in_terms(settings: Settings, config: Path) -> SignInTerms:
    """Return how people sign in. Opens the secrets of our clients. Raises SettingsError."""
    identity = settings.identity
    own = public_url(settings) or ""
    return SignInTerms(
        lifetime=identity.sign_in.lifetime,
        idle=identity.sign_in.idle,
        web={
            each.name: replace(
                _relying(each),
                client_secret=_client_secret(each, number, config),
                callback=f"{own}/sign-in/{each.name}/callback",
            )
            for number, each in enumerate(identity.providers)
        },
        command_line={
            each.name: replace(_relying(each), client_id=each.cli_client_id or each.client_id)
            for each in identity.providers
            # A client with a secret is not one that everybody's command line can be.
            if each.cli_client_id or each.client_secret is None
        },
    )


def flows_of(identity: IdentitySettings) -> ProviderFlows:
    """Return what talks to providers about people who sign in."""
    if not identity.providers:
        return _NoFlows()
    from broker.identity import flow  # noqa: PLC0415  (slow to load)

    return flow


class _NoFlows:
    """Talks to nobody: there is no provider to talk to."""

    def authorization_url(
        self, us: Relying, metadata: Metadata, transaction: Transaction
    ) -> NoReturn:
        del metadata, transaction
        raise ProviderUnreachable(us.provider)

    async def exchange(
        self, us: Relying, metadata: Metadata, code: str, transaction: Transaction
    ) -> NoReturn:
        del metadata, code, transaction
        raise ProviderUnreachable(us.provider)

    async def fetch_more_claims(
        self, us: Relying, metadata: Metadata, claims: Mapping[str, Any], access_token: str
    ) -> NoReturn:
        del metadata, claims, access_token
        raise ProviderUnreachable(us.provider)


def _relying(settings: ProviderSettings) -> Relying:
    return Relying(
        provider=settings.name,
        issuer=settings.issuer,
        client_id=settings.client_id,
        scopes=settings.scopes,
        wanted=(settings.claims.email, settings.claims.groups),
    )


def _client_secret(settings: ProviderSettings, number: int, config: Path) -> str | None:
    if settings.client_secret is None:
        return None
    key = f"identity.providers.{number}.client_secret"
    return read_secret(settings.client_secret, key, config)
