"""What the application carries, by type."""

from aiohttp import web

from broker.domain.person import Person
from broker.service.broker import Broker

BROKER: web.AppKey[Broker] = web.AppKey("BROKER", Broker)
ACTOR: web.RequestKey[Person] = web.RequestKey("ACTOR", Person)
