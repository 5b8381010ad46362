"""A bearer of something → who they are, or a refusal on record."""

from broker.domain.errors import NotIdentified
from broker.domain.identity.unverified import looks_like_jwt
from broker.domain.token import PREFIX
from broker.service.context import Context
from broker.service.people import People
from broker.service.presence import Presence
from broker.service.refusals import Refusals
from broker.service.tokens import Authenticated, Tokens


class Authentication:
    def __init__(
        self, context: Context, people: People, tokens: Tokens, refusals: Refusals
    ) -> None:
        self._context = context
        self._people = people
        self._tokens = tokens
        self._refusals = refusals

    async def identify(self, bearer: str, *, source: str | None) -> Authenticated:
        """Return whose token this is: one of ours, or a workload's. Raises NotIdentified."""
        try:
            return await self._check(bearer)
        except NotIdentified as refused:
            await self._refusals.record(refused, source)
            raise

    async def presence(self, bearer: str) -> Presence:
        """Return whose token this still is, who was identified by it. Raises NotIdentified."""
        found = await self._check(bearer)
        ids = frozenset([found.token_id] if found.token_id is not None else ())
        return Presence(person=found.person, ids=ids, good_until=found.expires_at)

    async def _check(self, bearer: str) -> Authenticated:
        if bearer.startswith(PREFIX):
            return await self._tokens.check(bearer)
        if not looks_like_jwt(bearer):
            raise NotIdentified("it is neither a token of ours nor a JWT")
        identified = await self._context.verifier.verify_bearer(bearer)
        return Authenticated(person=await self._people.vouch(identified))
