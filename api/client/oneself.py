"""Who one is, and how one comes in."""

from collections.abc import Sequence
from datetime import timedelta

from api.client.calls import Calls, query_of
from api.schemas import MeView, Page, SignedInView, SignInWays, TokenView
from broker.domain.duration import iso_duration


class OwnCalls(Calls):
    async def get_me(self) -> MeView:
        """Return who we are to the server."""
        return await self._get(MeView, "/v1/me")

    async def list_tokens(
        self, *, mine: bool = False, after: str | None = None, limit: int = 50
    ) -> Page[TokenView]:
        return await self._get(
            Page[TokenView],
            "/v1/tokens",
            query_of(mine="true" if mine else None, after=after, limit=limit),
        )

    async def create_token(
        self,
        *,
        label: str = "",
        duration: timedelta | None = None,
        scopes: Sequence[str] | None = None,
        holder: str | None = None,
    ) -> TokenView:
        """Make a token of one's own or, as an operator, of the machine that is the holder.

        Without scopes it is good for as much as this client's.
        """
        body = {
            "label": label,
            "duration": iso_duration(duration) if duration else None,
            "scopes": None if scopes is None else list(scopes),
            "holder": holder,
        }
        return await self._post(TokenView, "/v1/tokens", body)

    async def revoke_token(self, token_id: str) -> TokenView:
        return await self._delete(TokenView, f"/v1/tokens/{token_id}")

    async def list_sign_in_ways(self) -> SignInWays:
        """Return the providers with which people sign in from a command line. Needs no token."""
        return await self._get(SignInWays, "/v1/sign-in")

    async def sign_in(
        self, provider: str, id_token: str, access_token: str | None = None
    ) -> SignedInView:
        """Exchange an ID token, made for this very purpose, for a token of ours."""
        body = {"provider": provider, "id_token": id_token, "access_token": access_token}
        return SignedInView.model_validate(await self._call("POST", "/v1/sign-in", body=body))

    async def sign_out(self) -> None:
        """Make the token of a sign-in useless, which this client then no longer has."""
        await self._call("DELETE", "/v1/sign-in")
