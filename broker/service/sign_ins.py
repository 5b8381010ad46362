"""Signing in: who has proved who they are, on which browser, and until when that holds.

A browser gets a pass whose secret part the ledger knows only by digest, a command line a token.
Both end by themselves, and before that by a row in the ledger: at every door at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from broker.domain import events
from broker.domain.authorization import Action, may
from broker.domain.errors import NotASignIn, NotFound, SignInOver
from broker.domain.identity.code_flow import RANDOM_BYTES, Transaction, begin
from broker.domain.identity.relying import Relying
from broker.domain.identity.sign_in import Pass, SignIn, is_to_be_seen, why_over
from broker.domain.ids import IdKind
from broker.domain.person import Person
from broker.domain.token import TokenKind
from broker.domain.verdict import Deny
from broker.ledger import audit, people, sign_ins, tokens
from broker.ledger.connection import Db, autocommit, reading, transaction
from broker.service.context import Context
from broker.service.people import People
from broker.service.presence import Presence
from broker.service.proofs import Proofs, digest
from broker.service.tokens import Authenticated, NewToken, Tokens

_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Begun:
    """Where to send the browser, and what it has to keep until it is back."""

    url: str
    transaction: Transaction


@dataclass(frozen=True, slots=True)
class NewSignIn:
    sign_in: SignIn
    shown: Pass


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whom a browser's pass stands for."""

    credential: Authenticated
    sign_in: SignIn
    shown: Pass


class SignIns:
    def __init__(self, context: Context, people: People, tokens: Tokens, proofs: Proofs) -> None:
        self._context = context
        self._people = people
        self._tokens = tokens
        self._proofs = proofs
        self.terms = context.sign_in

    def now(self) -> datetime:
        return self._context.now()

    async def begin(self, provider: str, back_to: str) -> Begun:
        """Raises NotFound or ProviderUnreachable."""
        us = _known(self.terms.web, provider)
        metadata = await self._context.verifier.metadata(provider)
        attempt = begin(provider, back_to, self._context.random(RANDOM_BYTES))
        return Begun(self._context.flows.authorization_url(us, metadata, attempt), attempt)

    async def finish(
        self, attempt: Transaction, answer: Mapping[str, str], *, source: str | None
    ) -> NewSignIn:
        """Sign somebody in by what their provider answered to this attempt, once.

        Raises SignInFailed, NotIdentified or ProviderUnreachable.
        """
        us = _known(self.terms.web, attempt.provider)
        person = await self._proofs.by_answer(us, attempt, answer, source=source)
        return await self._insert(
            person,
            provider=attempt.provider,
            token_id=None,
            expires_at=self.now() + self.terms.lifetime,
            source=source,
        )

    async def by_token(self, secret: str, *, source: str | None) -> NewSignIn:
        """Sign in who holds this token, for as long as it is good. Raises NotIdentified."""
        found = await self._proofs.by_token(secret, source=source)
        longest = self.now() + self.terms.lifetime
        return await self._insert(
            found.person,
            provider=None,
            token_id=found.token_id,
            expires_at=min(found.expires_at or longest, longest),
            source=source,
        )

    async def by_id_token(
        self, provider: str, id_token: str, access_token: str | None, *, source: str | None
    ) -> NewToken:
        """Exchange an ID token, made for our command line just now, for a token of ours, once.

        Raises NotFound, NotIdentified or ProviderUnreachable.
        """
        us = _known(self.terms.command_line, provider)
        person = await self._proofs.by_id_token(us, id_token, access_token, source=source)
        lifetime = min(self.terms.lifetime, self._context.longest_token)
        return await self._tokens.create_for_sign_in(person, lifetime=lifetime)

    async def authenticate(self, shown: Pass | None) -> SignedIn:
        """Return whom the pass stands for, with their groups of today, and write down that they
        were here. Raises SignInOver."""
        now = self.now()
        async with autocommit(self._context.ledger) as db:
            signed_in = await self._find(db, shown, now)
            if is_to_be_seen(signed_in.sign_in, now, self.terms.idle):
                await sign_ins.see(db, signed_in.sign_in.id, now)
        return signed_in

    async def glance(self, shown: Pass | None) -> SignedIn:
        """The same, for what a page does by itself: it does not say that anybody is there."""
        async with reading(self._context.ledger) as db:
            return await self._find(db, shown, self.now())

    async def presence(self, shown: Pass) -> Presence:
        """Return whose pass this still is, who was let in by it. Raises SignInOver."""
        signed_in = await self.glance(shown)
        sign_in = signed_in.sign_in
        return Presence(
            person=signed_in.credential.person,
            ids=frozenset(each for each in (sign_in.id, sign_in.token_id) if each is not None),
            good_until=min(sign_in.expires_at, sign_in.seen_at + self.terms.idle),
        )

    async def end(self, signed_in: SignedIn) -> None:
        """Make the browser's pass useless."""
        now, person = self.now(), signed_in.credential.person
        async with transaction(self._context.ledger) as db:
            if await sign_ins.end(db, signed_in.sign_in.id, now):
                event = events.SignedOut(sign_in_ids=(signed_in.sign_in.id,), person=person.email)
                await audit.append(db, event, actor=person.email, now=now)

    async def end_everywhere(self, credential: Authenticated) -> None:
        """Make useless whatever the person has signed in with: browsers and command lines.

        Raises Forbidden for somebody who came with a token that is not good for that.
        """
        now, person = self.now(), credential.person
        actor = self._context.authority.actor(person, credential.scopes)
        verdict = may(actor, Action.SIGN)
        if isinstance(verdict, Deny):
            raise verdict.error
        async with transaction(self._context.ledger) as db:
            ended = await sign_ins.end_all(db, person.id, now)
            event = events.SignedOut(sign_in_ids=tuple(ended), person=person.email)
            await audit.append(db, event, actor=person.email, now=now)
            for token_id in await tokens.revoke_sign_ins(db, person.id, now):
                revoked = events.TokenRevoked(token_id=token_id, person=person.email)
                await audit.append(db, revoked, actor=person.email, now=now)

    async def end_command_line(self, credential: Authenticated) -> None:
        """Make the token useless for which a command line signed in. Raises NotASignIn."""
        async with reading(self._context.ledger) as db:
            token = await tokens.fetch(db, credential.token_id) if credential.token_id else None
        if token is None or token.kind is not TokenKind.SIGN_IN:
            raise NotASignIn
        person = credential.person
        await self._tokens.revoke(token.id, actor=person.email, holder=person)

    async def _find(self, db: Db, shown: Pass | None, now: datetime) -> SignedIn:
        if shown is None:
            raise SignInOver("you are not signed in")
        found = await sign_ins.fetch(db, shown.sign_in_id, digest(shown.secret))
        if found is None:
            raise SignInOver("you are not signed in")
        sign_in, scopes = found
        over = why_over(sign_in, now, self.terms.idle)
        holder = await people.fetch(db, sign_in.person_id)
        person = self._people.today(holder) if holder else None
        if over is not None:
            raise SignInOver(over)
        if person is None or not self._is_still_asked(sign_in.provider):
            raise SignInOver("your sign-in has ended: nobody vouches for you any more")
        credential = Authenticated(person=person, scopes=scopes, expires_at=sign_in.expires_at)
        return SignedIn(credential, sign_in, shown)

    async def _insert(
        self,
        person: Person,
        *,
        provider: str | None,
        token_id: str | None,
        expires_at: datetime,
        source: str | None,
    ) -> NewSignIn:
        now = self.now()
        shown = Pass(self._context.new_id(IdKind.SIGN_IN), self._context.random(_SECRET_BYTES))
        sign_in = SignIn(
            id=shown.sign_in_id,
            person_id=person.id,
            provider=provider,
            token_id=token_id,
            created_at=now,
            expires_at=expires_at,
            seen_at=now,
        )
        event = events.SignedIn(
            sign_in_id=sign_in.id,
            person=person.email,
            provider=provider,
            token_id=token_id,
            source=source,
            expires_at=expires_at,
        )
        async with transaction(self._context.ledger) as db:
            await sign_ins.insert(db, sign_in, digest(shown.secret))
            await audit.append(db, event, actor=person.email, now=now)
        return NewSignIn(sign_in, shown)

    def _is_still_asked(self, provider: str | None) -> bool:
        return provider is None or provider in self.terms.web


def _known(providers: Mapping[str, Relying], name: str) -> Relying:
    if name not in providers:
        raise NotFound("provider", name)
    return providers[name]
