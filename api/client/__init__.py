"""A typed client of the HTTP API. The command line is one of its users.

    async with open_client("https://pgcurfew.example.com", token) as client:
        request = await client.request("orders", "orders_reader", duration=timedelta(hours=1))

A method is called as its operation is in the OpenAPI description, but for what one does most.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from api.client.grants import GrantCalls
from api.client.oneself import OwnCalls
from api.client.policies import PolicyCalls
from api.client.record import RecordCalls
from api.client.requests import RequestCalls
from api.client.service import ServiceCalls
from api.client.sessions import SessionCalls
from api.client.targets import TargetCalls
from api.failures import ApiError, ApiUnreachable

__all__ = ["SHORT", "ApiError", "ApiUnreachable", "Client", "open_client"]

SHORT: Mapping[str, str] = {
    "create_request": "request",
    "approve_request": "approve",
    "deny_request": "deny",
    "cancel_request": "cancel",
    "comment_on_request": "comment",
    "escalate_request": "escalate",
    "obtain_credential": "obtain",
    "create_allowance": "allow",
    "hand_out_credential": "hand_out",
    "relinquish_grant": "relinquish",
    "extend_grant": "extend",
    "revoke_grant": "revoke",
}
"""The methods of operations whose verb says enough."""
_LONGEST_LINE = 1_000_000  # bytes, of a stream


class Client(
    RequestCalls,
    GrantCalls,
    SessionCalls,
    RecordCalls,
    PolicyCalls,
    TargetCalls,
    OwnCalls,
    ServiceCalls,
):
    """One person's view of one pgcurfew. Made by `open_client`.

    Every method raises ApiError or ApiUnreachable.
    """


@asynccontextmanager
async def open_client(url: str, token: str | None = None) -> AsyncIterator[Client]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers, read_bufsize=_LONGEST_LINE) as session:
        yield Client(session, url)
