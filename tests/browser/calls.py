"""What people do elsewhere than in a browser meanwhile: calls of the API."""

from typing import Any

import httpx2

from tests.support.service import Service
from tests.support.stage import DEV

_ASKED = {"target": "orders", "role": "orders_writer", "duration": "PT1H"}


def call(service: Service, email: str, path: str, **body: str) -> Any:
    """Send it with the person's token, and return what is answered."""
    answer = httpx2.post(
        f"{service.api_url}{path}",
        headers={"Authorization": f"Bearer {service.tokens[email]}"},
        json=body,
    )
    assert answer.is_success, answer.text
    return answer.json()


def ask(service: Service, reason: str, email: str = DEV) -> str:
    """Return the id of a request that waits for an approver."""
    return str(call(service, email, "/v1/requests", **_ASKED, reason=reason)["id"])
