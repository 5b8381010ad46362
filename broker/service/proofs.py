"""What people show to sign in, and whose it is. What proves nothing is on record.

What a provider says proves something once: a way back, or an ID token, that was used is spent.
"""

import hashlib
from collections.abc import Awaitable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from broker.domain.errors import NotIdentified, SignInFailed
from broker.domain.identity.code_flow import Transaction, code_in
from broker.domain.identity.relying import Relying
from broker.domain.person import Person, PersonKind
from broker.ledger import sign_ins
from broker.ledger.connection import transaction
from broker.service.context import Context
from broker.service.people import People
from broker.service.refusals import Refusals
from broker.service.tokens import Authenticated, Tokens

# How old an ID token may be that a command line brings; what was used is remembered for longer.
_FRESH = timedelta(minutes=5)
_REMEMBERED = timedelta(minutes=30)

Result = TypeVar("Result")


class Proofs:
    """Every method raises NotIdentified for what proves nothing, once that is on record."""

    def __init__(
        self, context: Context, people: People, tokens: Tokens, refusals: Refusals
    ) -> None:
        self._context = context
        self._people = people
        self._tokens = tokens
        self._refusals = refusals

    async def by_answer(
        self, us: Relying, attempt: Transaction, answer: Mapping[str, str], *, source: str | None
    ) -> Person:
        """Return whom the provider means with its answer to this attempt.

        Raises SignInFailed or ProviderUnreachable.
        """
        return await self._on_record(self._by_answer(us, attempt, answer), source)

    async def by_id_token(
        self, us: Relying, id_token: str, access_token: str | None, *, source: str | None
    ) -> Person:
        """Return whom the provider means, just now. Raises ProviderUnreachable."""
        return await self._on_record(self._by_id_token(us, id_token, access_token), source)

    async def by_token(self, secret: str, *, source: str | None) -> Authenticated:
        """Return the person who holds a token of ours."""
        return await self._on_record(self._by_token(secret), source)

    async def _by_answer(
        self, us: Relying, attempt: Transaction, answer: Mapping[str, str]
    ) -> Person:
        verifier, flows = self._context.verifier, self._context.flows
        metadata = await verifier.metadata(us.provider)
        always = metadata.always_says_issuer
        code = code_in(answer, attempt, us.issuer, always_says_issuer=always)
        answered = await flows.exchange(us, metadata, code, attempt)
        claims = await verifier.verified_claims(
            us.provider, answered.id_token, nonce=attempt.nonce, audience=us.client_id
        )
        # Not before: strangers could fill the ledger. A provider takes its code only once anyway.
        if not await self._spend(attempt.state):
            raise SignInFailed("this sign-in was finished before; begin anew")
        return await self._vouched_for(us, claims, answered.access_token)

    async def _by_id_token(self, us: Relying, id_token: str, access_token: str | None) -> Person:
        claims = await self._context.verifier.verified_claims(
            us.provider, id_token, nonce=None, audience=us.client_id
        )
        if claims["iat"] < (self._context.now() - _FRESH).timestamp():
            raise NotIdentified("the ID token was not made just now")
        # Without its signature, of which there may be several ways to write the same one.
        if not await self._spend(id_token.rpartition(".")[0]):
            raise NotIdentified("the ID token was used before")
        return await self._vouched_for(us, claims, access_token)

    async def _by_token(self, secret: str) -> Authenticated:
        found = await self._tokens.check(secret)
        if found.person.kind is PersonKind.MACHINE:
            raise NotIdentified("machines do not sign in")
        return found

    async def _vouched_for(
        self, us: Relying, claims: dict[str, Any], access_token: str | None
    ) -> Person:
        verifier, flows = self._context.verifier, self._context.flows
        if us.lacks_some(claims):
            metadata = await verifier.metadata(us.provider)
            if metadata.userinfo_endpoint is not None:
                if access_token is None:
                    # Or one could leave out a group to which a policy denies something.
                    raise NotIdentified("the ID token does not say all, nor came an access token")
                claims = await flows.fetch_more_claims(us, metadata, claims, access_token)
        return await self._people.vouch(verifier.identify(us.provider, claims))

    async def _spend(self, proof: str) -> bool:
        """Say whether this is used for the first time."""
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            return await sign_ins.spend(db, digest(proof.encode()), now + _REMEMBERED, now)

    async def _on_record(self, step: Awaitable[Result], source: str | None) -> Result:
        """Let operators see whoever is refused."""
        try:
            return await step
        except NotIdentified as refused:
            await self._refusals.record(refused, source)
            raise


def digest(secret: bytes) -> bytes:
    # 256 random bits, or a signature over as many, need no slow hash: there is nothing to guess.
    return hashlib.sha256(secret).digest()
