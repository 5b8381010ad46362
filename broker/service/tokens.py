"""Bearer tokens: made once, shown once, kept as digests."""

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import timedelta

from broker.domain.errors import NotFound, Unauthenticated, UnknownPerson
from broker.domain.events import TokenCreated, TokenRevoked
from broker.domain.ids import IdKind
from broker.domain.person import Person
from broker.ledger import audit, people
from broker.ledger.connection import reading, transaction
from broker.ledger.people import Token
from broker.service.context import Context

_TOKEN_BYTES = 32
_PREFIX = "pgcurfew_"  # lets secret scanners recognise a leaked one


@dataclass(frozen=True, slots=True)
class NewToken:
    """`secret` is what the person keeps; nobody can show it again."""

    token: Token
    secret: str = field(repr=False)


class Tokens:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def create(
        self, email: str, *, label: str, lifetime: timedelta | None, actor: str
    ) -> NewToken:
        """Make a token for somebody in the directory. Raises UnknownPerson."""
        known = self._context.directory.find(email)
        if known is None:
            raise UnknownPerson(email)
        now = self._context.now()
        secret = _PREFIX + _text(self._context.random(_TOKEN_BYTES))
        token = Token(
            id=self._context.new_id(IdKind.TOKEN),
            email=known.email,
            label=label,
            created_at=now,
            expires_at=now + lifetime if lifetime else None,
            revoked_at=None,
        )
        newcomer = Person(self._context.new_id(IdKind.PERSON), known.email, known.name)
        async with transaction(self._context.ledger) as db:
            person = await people.upsert(db, newcomer, now)
            await people.insert_token(db, token, person_id=person.id, digest=_digest(secret))
            event = TokenCreated(token_id=token.id, person=known.email, expires_at=token.expires_at)
            await audit.append(db, event, actor=actor, now=now)
        return NewToken(token, secret)

    async def list(self) -> list[Token]:
        async with transaction(self._context.ledger) as db:
            return await people.fetch_tokens(db)

    async def revoke(self, token_id: str, *, actor: str) -> Token:
        """Make the token useless from now on. Raises NotFound for one that already is."""
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            if not await people.revoke_token(db, token_id, now):
                raise NotFound("living token", token_id)
            token = await people.fetch_token(db, token_id)
            assert token is not None
            event = TokenRevoked(token_id=token_id, person=token.email)
            await audit.append(db, event, actor=actor, now=now)
        return token

    async def authenticate(self, secret: str) -> Person:
        """Return who holds the token, with their groups of today. Raises Unauthenticated."""
        async with reading(self._context.ledger) as db:
            holder = await people.fetch_token_holder(db, _digest(secret), self._context.now())
        known = self._context.directory.find(holder.email) if holder else None
        if holder is None or known is None:
            raise Unauthenticated
        return Person(holder.id, holder.email, holder.name, known.groups)


def _digest(secret: str) -> bytes:
    # 256 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(secret.encode()).digest()


def _text(random: bytes) -> str:
    return urlsafe_b64encode(random).decode().rstrip("=")
