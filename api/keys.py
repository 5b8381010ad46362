"""What the application and its requests carry, by type."""

from aiohttp import web

from api.callers.door import Door
from api.guards.terms import Guards
from api.operations import Operation
from broker.domain.authorization import Actor, Reach
from broker.domain.person import Person
from broker.domain.quota import Standing
from broker.service.broker import Broker
from broker.service.sign_ins import SignedIn
from broker.service.tokens import Authenticated

BROKER: web.AppKey[Broker] = web.AppKey("BROKER", Broker)
DOOR: web.AppKey[Door] = web.AppKey("DOOR", Door)
# What there is to call: all that the OpenAPI description is made of.
OPERATIONS: web.AppKey[tuple[Operation, ...]] = web.AppKey("OPERATIONS", tuple)
GUARDS: web.AppKey[Guards] = web.AppKey("GUARDS", Guards)

# Who calls, what they came with is good for (None: for all that they may), and what they came with.
ACTOR: web.RequestKey[Person] = web.RequestKey("ACTOR", Person)
SCOPES: web.RequestKey[frozenset[str] | None] = web.RequestKey("SCOPES", frozenset)
CREDENTIAL: web.RequestKey[Authenticated] = web.RequestKey("CREDENTIAL", Authenticated)
# The same, put together, and how far they reach on the route that they call.
WHO: web.RequestKey[Actor] = web.RequestKey("WHO", Actor)
REACH: web.RequestKey[frozenset[Reach]] = web.RequestKey("REACH", frozenset)
# By which sign-in a browser comes, if by any; and why by none any more.
SIGNED_IN: web.RequestKey[SignedIn] = web.RequestKey("SIGNED_IN", SignedIn)
OVER: web.RequestKey[str] = web.RequestKey("OVER", str)
# From which address a request is, whoever has passed it on; and how much its caller has left.
SOURCE: web.RequestKey[str] = web.RequestKey("SOURCE", str)
STANDING: web.RequestKey[Standing] = web.RequestKey("STANDING", Standing)
