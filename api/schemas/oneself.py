"""Who one is, and how one comes in."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from pydantic import AwareDatetime, Field

from api.input.values import Duration, Identifier, Text
from api.schemas.base import Body, View
from broker.domain.authorization import Action, Standing
from broker.domain.person import PersonKind
from broker.domain.token import Token, TokenKind

if TYPE_CHECKING:  # clients, too, load this module, and need none of the broker
    from broker.domain.identity.relying import Relying
    from broker.service.tokens import Authenticated, NewToken

_LONGEST_JWT = 20_000


class NewTokenBody(Body):
    """Without a duration the token lives as long as usual, without scopes it is good for as much as
    what it is made with. The holder is a machine, for operators; otherwise it is oneself."""

    label: Annotated[Text, Field(max_length=200)] = ""
    duration: Duration | None = None
    scopes: Annotated[frozenset[Action], Field(min_length=1)] | None = None
    holder: Annotated[Text, Field(max_length=320)] | None = None


class TokenView(View):
    """A token. `token` is its secret, which only whoever makes it ever sees. Without `scopes` it is
    good for all that its holder may do."""

    id: str
    person: str
    kind: TokenKind
    label: str
    scopes: tuple[str, ...] | None
    created_by: str
    created_at: AwareDatetime
    expires_at: AwareDatetime
    revoked_at: AwareDatetime | None
    last_used_at: AwareDatetime | None
    token: str | None = None

    @classmethod
    def of(cls, token: "Token", secret: str | None = None) -> "TokenView":
        return cls.model_construct(
            id=token.id,
            person=token.email,
            kind=token.kind,
            label=token.label,
            scopes=None if token.scopes is None else tuple(sorted(token.scopes)),
            created_by=token.created_by,
            created_at=token.created_at,
            expires_at=token.expires_at,
            revoked_at=token.revoked_at,
            last_used_at=token.last_used_at,
            token=secret,
        )


class SignIn(Body):
    """`id_token` is one that the provider has just made for our command line. `access_token` lets
    us ask the provider for what it keeps out of its ID tokens."""

    provider: Identifier
    id_token: Annotated[str, Field(min_length=1, max_length=_LONGEST_JWT)]
    access_token: Annotated[str, Field(min_length=1, max_length=_LONGEST_JWT)] | None = None


class ProviderView(View):
    """What a command line needs to know of a provider to sign somebody in."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9._-]{1,63}$")]
    issuer: Annotated[str, Field(pattern=r"^[!-~]{1,2000}$")]
    client_id: str
    scopes: tuple[str, ...]

    @classmethod
    def of(cls, us: "Relying") -> "ProviderView":
        return cls.model_construct(
            name=us.provider, issuer=us.issuer, client_id=us.client_id, scopes=us.scopes
        )


class SignInWays(View):
    providers: tuple[ProviderView, ...]


class SignedInView(View):
    """A token that lives as long as the sign-in. Shown once."""

    person: str
    token: str = Field(repr=False)
    expires_at: AwareDatetime

    @classmethod
    def of(cls, made: "NewToken") -> "SignedInView":
        return cls.model_construct(
            person=made.token.email, token=made.secret, expires_at=made.token.expires_at
        )


class MeView(View):
    """Who the caller is today, and what they came with: without `scopes` it is good for all that
    they may do. They stand as a reviewer where a policy names them; being somebody's manager, or on
    call, does not show here."""

    id: str
    email: str
    name: str
    kind: PersonKind
    groups: tuple[str, ...]
    manager: str | None
    standings: tuple[Standing, ...]
    scopes: tuple[str, ...] | None
    token_id: str | None
    expires_at: AwareDatetime | None

    @classmethod
    def of(cls, caller: "Authenticated", standings: Iterable[Standing]) -> "MeView":
        person = caller.person
        return cls.model_construct(
            id=person.id,
            email=person.email,
            name=person.name,
            kind=person.kind,
            groups=tuple(sorted(person.groups)),
            manager=person.manager,
            standings=tuple(sorted(standings)),
            scopes=None if caller.scopes is None else tuple(sorted(caller.scopes)),
            token_id=caller.token_id,
            expires_at=caller.expires_at,
        )
