"""The device flow, with the person at the terminal: straight with the provider, not through us."""

import asyncio
from datetime import UTC, datetime

from api.cli.output import out
from api.schemas import ProviderView
from broker.domain.errors import ProviderUnreachable, SignInFailed
from broker.domain.identity.device_flow import DeviceCode
from broker.domain.identity.issuer import Metadata
from broker.domain.identity.relying import Answered, Relying
from broker.identity.fetching import Unusable, open_http
from broker.identity.flow import ask_for_device_code, ask_for_token
from broker.identity.metadata import fetch_metadata


async def wait_until_allowed(provider: ProviderView, url: str) -> Answered:
    """Return an ID token once the person has allowed it. Raises SignInFailed if they do not, and
    ProviderUnreachable."""
    us = Relying(
        provider=provider.name,
        issuer=provider.issuer,
        client_id=provider.client_id,
        scopes=provider.scopes,
    )
    metadata = await _metadata(provider)
    code = await ask_for_device_code(us, metadata, datetime.now(UTC))
    out.print(_what_to_do(code, provider, url), markup=False)
    while datetime.now(UTC) < code.until:
        await asyncio.sleep(code.interval.total_seconds())
        found = await ask_for_token(us, metadata, code)
        if isinstance(found, Answered):
            return found
        code = found  # the same, perhaps to be asked about less often
    raise SignInFailed(f"{provider.name} waited too long for you; run pgcurfew login again")


async def _metadata(provider: ProviderView) -> Metadata:
    async with open_http() as http:
        try:
            return await fetch_metadata(http, provider.issuer)
        except Unusable as error:
            raise ProviderUnreachable(provider.issuer) from error


def _what_to_do(code: DeviceCode, provider: ProviderView, url: str) -> str:
    where = code.page_with_code or code.page
    then = "check that it shows" if code.page_with_code else "enter"
    return (
        f"To sign in at {url} with {provider.name} ({provider.issuer}), open\n\n"
        f"    {where}\n\n"
        f"in a browser, and {then} the code {code.user_code}. Waiting …"
    )
