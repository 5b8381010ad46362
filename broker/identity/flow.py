"""What is said to a provider when somebody signs in, through Authlib's OAuth client.

Every word has a deadline, and whatever goes wrong there becomes one clear line. What a provider's
answers mean is decided in `broker.domain.identity`: `code_flow` and `device_flow`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.client import OAuth2Client

from broker.domain.errors import ProviderUnreachable, SignInFailed
from broker.domain.identity.code_flow import Transaction
from broker.domain.identity.device_flow import (
    GRANT_TYPE,
    DeviceCode,
    read_answer,
    read_device_code,
    slower,
)
from broker.domain.identity.issuer import Metadata
from broker.domain.identity.relying import Answered, Relying, completed
from broker.hanging_up import HANGING_UP
from broker.identity.fetching import DEADLINE_S, Unusable, fetch_document, open_http
from broker.tls import web_context

_UNUSABLE = (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, ValueError)

_log = logging.getLogger(__name__)


def authorization_url(us: Relying, metadata: Metadata, transaction: Transaction) -> str:
    """Return where to send a browser. Raises ProviderUnreachable if there is no such place."""
    client = OAuth2Client(
        None, us.client_id, scope=" ".join(us.scopes), code_challenge_method="S256"
    )
    url, _state = client.create_authorization_url(
        _required(metadata.authorization_endpoint, us),
        state=transaction.state,
        nonce=transaction.nonce,
        code_verifier=transaction.verifier,
        redirect_uri=us.callback,
    )
    return str(url)


async def exchange(
    us: Relying, metadata: Metadata, code: str, transaction: Transaction
) -> Answered:
    """Return what the code stands for. Raises SignInFailed or ProviderUnreachable."""
    try:
        async with _speaking(us, metadata) as client:
            answer = await client.fetch_token(
                _required(metadata.token_endpoint, us),
                grant_type="authorization_code",
                code=code,
                code_verifier=transaction.verifier,
                redirect_uri=us.callback,
            )
    except OAuthError as error:
        if error.error == "invalid_grant":
            raise SignInFailed(f"{us.provider} does not take its code; begin anew") from error
        _log.warning("%s refuses us: %r", us.provider, error)
        raise SignInFailed(
            f"{us.provider} refuses us, not you; an operator finds more in the log"
        ) from error
    id_token, access_token = answer.get("id_token"), answer.get("access_token")
    if not isinstance(id_token, str):
        raise SignInFailed(f"{us.provider} gave no ID token; an operator adds openid to its scopes")
    return Answered(id_token, access_token if isinstance(access_token, str) else None)


async def fetch_more_claims(
    us: Relying, metadata: Metadata, claims: Mapping[str, Any], access_token: str
) -> dict[str, Any]:
    """Return the verified claims with those that the provider keeps out of its ID tokens.

    Raises ProviderUnreachable.
    """
    url = _required(metadata.userinfo_endpoint, us)
    try:
        async with open_http() as http:
            more = (await fetch_document(http, url, access_token)).content
    except Unusable as error:
        _log.info("%s does not answer as it should: %s", us.provider, error)
        raise ProviderUnreachable(us.provider) from error
    if more.get("sub") != claims["sub"]:
        # Core 5.3.2: or an access token of somebody else's would make one out to be them.
        _log.warning("%s tells of somebody else than was asked about", us.provider)
        raise ProviderUnreachable(us.provider)
    return completed(claims, more)


async def ask_for_device_code(us: Relying, metadata: Metadata, now: datetime) -> DeviceCode:
    """Return what a person has to do. Raises SignInFailed or ProviderUnreachable."""
    if metadata.device_authorization_endpoint is None:
        raise SignInFailed(f"{us.provider} lets nobody sign in from a command line (RFC 8628)")
    async with _speaking(us, metadata) as client:
        response = await client.post(
            metadata.device_authorization_endpoint,
            data={"scope": " ".join(us.scopes)},
            auth=client.client_auth(client.token_endpoint_auth_method),
        )
        answer = response.json()
    if not isinstance(answer, dict) or response.is_server_error:
        raise ProviderUnreachable(us.provider)
    return read_device_code(answer, now, us.provider)


async def ask_for_token(us: Relying, metadata: Metadata, code: DeviceCode) -> DeviceCode | Answered:
    """Ask once whether the person has allowed it. Returns the code to go on asking with, or the ID
    token. Raises SignInFailed if they have not, and never will have."""
    endpoint = _required(metadata.token_endpoint, us)
    try:
        async with _speaking(us, metadata) as client:
            answer: dict[str, Any] = await client.fetch_token(
                endpoint, grant_type=GRANT_TYPE, device_code=code.device_code
            )
    except OAuthError as error:
        answer = {"error": error.error}
    except ProviderUnreachable:
        return slower(code)  # RFC 8628, 3.5: it may be back before the code's time is over
    return read_answer(answer, code, us.provider)


@asynccontextmanager
async def _speaking(us: Relying, metadata: Metadata) -> AsyncIterator[AsyncOAuth2Client]:
    """Lend a client. Raises ProviderUnreachable for whatever a provider must not do."""
    try:
        async with (
            asyncio.timeout(DEADLINE_S),
            AsyncOAuth2Client(
                us.client_id,
                us.client_secret,
                token_endpoint_auth_method=_authentication(us, metadata),
                verify=web_context(),
                timeout=DEADLINE_S,
                follow_redirects=False,
                event_hooks=HANGING_UP,
            ) as client,
        ):
            yield client
    except _UNUSABLE as error:
        _log.info("%s does not answer as it should: %r", us.provider, error)
        raise ProviderUnreachable(us.provider) from error


def _authentication(us: Relying, metadata: Metadata) -> str:
    if us.client_secret is None:
        return "none"
    return "client_secret_post" if metadata.takes_posted_secrets else "client_secret_basic"


def _required(endpoint: str | None, us: Relying) -> str:
    if endpoint is None:
        raise ProviderUnreachable(us.provider)
    return endpoint
