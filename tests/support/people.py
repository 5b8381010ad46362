"""People as the ledger knows them."""

from datetime import timedelta

from broker.domain.grant import GrantKind
from broker.domain.person import Person
from broker.service.approvals import Consent
from broker.service.asking import Wish
from broker.service.broker import Broker
from broker.service.grants import GrantDetails
from tests.support.stage import DEV, REVIEWER

HOUR = timedelta(hours=1)


async def get_person(broker: Broker, email: str) -> Person:
    """Return a person as the API would see them: by a token of theirs."""
    new = await broker.tokens.create(email, label="test", lifetime=None, actor="operator:test")
    return await broker.tokens.authenticate(new.secret)


def wish(
    role: str = "orders_reader",
    *,
    target: str = "orders",
    duration: timedelta = HOUR,
    reason: str = "a reason",
    kind: GrantKind = GrantKind.LOGIN,
) -> Wish:
    return Wish(
        target=target,
        role=role,
        database=None,
        duration=duration,
        reason=reason,
        source="127.0.0.1",
        kind=kind,
    )


async def get_grant(
    broker: Broker,
    role: str = "orders_reader",
    *,
    duration: timedelta = HOUR,
    kind: GrantKind = GrantKind.LOGIN,
) -> GrantDetails:
    """Ask as DEV and approve as REVIEWER."""
    dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
    asked = await broker.ask(wish(role, duration=duration, kind=kind), dev)
    approved = await broker.approve(asked.request.id, reviewer, Consent(comment="fine"))
    return approved.given
