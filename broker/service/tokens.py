"""Bearer tokens: made once, shown once, kept as digests."""

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from broker.domain.authorization import Action, may_make_token
from broker.domain.errors import NotFound, NotIdentified, NotYourToken
from broker.domain.events import TokenCreated, TokenRevoked
from broker.domain.grant import Grant
from broker.domain.ids import IdKind
from broker.domain.person import Person, PersonKind
from broker.domain.token import PREFIX, Token, TokenKind, scopes_within, token_lifetime
from broker.domain.verdict import Deny
from broker.ledger import audit, tokens
from broker.ledger.connection import Db, autocommit, reading, transaction
from broker.service.context import Context
from broker.service.people import People

_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewToken:
    """`secret` is what the person keeps; nobody can show it again."""

    token: Token
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """Who came, and what with: without `scopes` it is good for all that they may do, without
    `expires_at` it was made for now."""

    person: Person
    scopes: frozenset[str] | None = None
    expires_at: datetime | None = None
    token_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWish:
    """What a token is to be. Without a lifetime it has the usual one, without scopes them all."""

    label: str = ""
    lifetime: timedelta | None = None
    scopes: frozenset[str] | None = None


class Tokens:
    def __init__(self, context: Context, people: People) -> None:
        self._context = context
        self._people = people

    async def create(
        self,
        email: str,
        *,
        label: str,
        lifetime: timedelta | None,
        actor: str,
        scopes: frozenset[str] | None = None,
    ) -> NewToken:
        """Make a token for somebody who is known, or for a machine, as an operator.

        Raises UnknownPerson and DurationTooLong.
        """
        wish = TokenWish(label=label, lifetime=lifetime, scopes=scopes)
        async with transaction(self._context.ledger) as db:
            holder = await self._people.require(db, email)
            is_machine = holder.kind is PersonKind.MACHINE
            kind = TokenKind.SERVICE if is_machine else TokenKind.PERSONAL
            return await self._make(db, holder, kind, wish, actor=actor)

    async def create_own(self, maker: Authenticated, wish: TokenWish) -> NewToken:
        """Make a token for oneself, which is good for no more and for no longer than what one came
        with. Raises Forbidden and DurationTooLong."""
        wish = self._narrowed(maker, wish)
        self._require_allowed(maker, maker.person, wish)
        async with transaction(self._context.ledger) as db:
            return await self._make(
                db,
                maker.person,
                TokenKind.PERSONAL,
                wish,
                actor=maker.person.email,
                no_later_than=maker.expires_at,
            )

    async def create_for_machine(
        self, maker: Authenticated, email: str, wish: TokenWish
    ) -> NewToken:
        """Make a token of a machine's, as an operator, which is good for no more than what one came
        with. Raises Forbidden, UnknownPerson and DurationTooLong."""
        wish = self._narrowed(maker, wish)
        async with transaction(self._context.ledger) as db:
            holder = await self._people.require(db, email)
            if holder.kind is not PersonKind.MACHINE:
                raise NotYourToken  # one's own end with what one came with: see create_own
            self._require_allowed(maker, holder, wish)
            actor = maker.person.email
            return await self._make(db, holder, TokenKind.SERVICE, wish, actor=actor)

    async def create_to_give_back(self, person: Person, grant: Grant) -> NewToken:
        """Make the token with which a job gives back what it got, when the one that it came with is
        long over: it is good for nothing else."""
        left = max(grant.expires_at - self._context.now(), timedelta())
        wish = TokenWish(
            label=f"gives back {grant.id}",
            lifetime=min(left, self._context.longest_token),
            scopes=frozenset({Action.GIVE_BACK.value}),
        )
        is_machine = person.kind is PersonKind.MACHINE
        kind = TokenKind.SERVICE if is_machine else TokenKind.PERSONAL
        async with transaction(self._context.ledger) as db:
            return await self._make(db, person, kind, wish, actor=person.email)

    async def create_for_sign_in(self, person: Person, *, lifetime: timedelta) -> NewToken:
        """Make the token of a command line on which somebody has just signed in."""
        wish = TokenWish(label="sign-in", lifetime=lifetime)
        async with transaction(self._context.ledger) as db:
            return await self._make(db, person, TokenKind.SIGN_IN, wish, actor=person.email)

    async def list(self) -> list[Token]:
        """Return all tokens, for operators at the ledger."""
        async with reading(self._context.ledger) as db:
            return await tokens.fetch_all(db)

    async def page(
        self, holder: Person | None, *, after: str | None, limit: int
    ) -> tuple[Token, ...]:
        """Return tokens of somebody, or of everybody, the newest first."""
        async with reading(self._context.ledger) as db:
            found = await tokens.fetch_page(db, holder.id if holder else None, after, limit)
        return tuple(found)

    async def revoke(self, token_id: str, *, actor: str, holder: Person | None = None) -> Token:
        """Make the token useless from now on. Raises NotFound for one that already is, or that is
        not of the `holder`, if one is named."""
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            if not await tokens.revoke(db, token_id, holder.id if holder else None, now):
                raise NotFound("living token", token_id)
            token = await tokens.fetch(db, token_id)
            assert token is not None
            event = TokenRevoked(token_id=token_id, person=token.email)
            await audit.append(db, event, actor=actor, now=now)
        return token

    async def authenticate(self, secret: str) -> Person:
        """Return who holds the token, with their groups of today. Raises NotIdentified."""
        return (await self.check(secret)).person

    async def check(self, secret: str) -> Authenticated:
        """Return who holds the token, and what it is good for. Raises NotIdentified."""
        now = self._context.now()
        async with autocommit(self._context.ledger) as db:
            found = await tokens.fetch_held(db, _digest(secret))
            if found is None:
                raise NotIdentified("nobody has this token")
            token, holder = found
            why_dead = token.why_dead(now)
            if why_dead is not None:
                raise NotIdentified(why_dead)
            person = self._people.today(holder)
            if person is None:
                raise NotIdentified(f"nobody vouches for {token.email}, who has token {token.id}")
            if token.use_is_worth_noting(now):
                await tokens.note_use(db, token, now)
        return Authenticated(
            person=person, scopes=token.scopes, expires_at=token.expires_at, token_id=token.id
        )

    def _narrowed(self, maker: Authenticated, wish: TokenWish) -> TokenWish:
        usual = self._context.authority.usual_scopes(maker.person)
        wanted = usual if wish.scopes is None else wish.scopes
        return replace(wish, scopes=scopes_within(wanted, maker.scopes))

    def _require_allowed(self, maker: Authenticated, holder: Person, wish: TokenWish) -> None:
        actor = self._context.authority.actor(maker.person, maker.scopes)
        verdict = may_make_token(actor, holder, wish.scopes)
        if isinstance(verdict, Deny):
            raise verdict.error

    async def _make(
        self,
        db: Db,
        holder: Person,
        kind: TokenKind,
        wish: TokenWish,
        *,
        actor: str,
        no_later_than: datetime | None = None,
    ) -> NewToken:
        now = self._context.now()
        expires_at = now + token_lifetime(wish.lifetime, self._context.longest_token)
        secret = PREFIX + _text(self._context.random(_TOKEN_BYTES))
        token = Token(
            id=self._context.new_id(IdKind.TOKEN),
            email=holder.email,
            kind=kind,
            label=wish.label,
            scopes=wish.scopes,
            created_by=actor,
            created_at=now,
            expires_at=min(expires_at, no_later_than or expires_at),
        )
        await tokens.insert(db, token, person_id=holder.id, digest=_digest(secret))
        event = TokenCreated(
            token_id=token.id,
            person=holder.email,
            token_kind=kind,
            scopes=None if token.scopes is None else tuple(sorted(token.scopes)),
            expires_at=token.expires_at,
        )
        await audit.append(db, event, actor=actor, now=now)
        return NewToken(token, secret)


def _digest(secret: str) -> bytes:
    # 256 random bits need no slow hash: there is nothing to guess.
    # A header may hold bytes that are no text: nobody has such a token.
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def _text(random: bytes) -> str:
    return urlsafe_b64encode(random).decode().rstrip("=")
