"""What sends lines of JSON somewhere, whatever the protocol."""

import json
from collections.abc import Sequence
from typing import Any, Protocol

from broker.domain.errors import Unavailable

TIMEOUT_S = 10.0


class SinkUnreachable(Unavailable):
    """The lines were not taken, or nobody knows: they have to be sent again."""

    code = "sink-unreachable"


class Sender(Protocol):
    async def send(self, lines: Sequence[dict[str, Any]]) -> None:
        """Send each as a line of JSON, in order. Raises SinkUnreachable."""


def json_line(facts: dict[str, Any]) -> bytes:
    """Return ASCII only: some receivers take syslog for anything but UTF-8."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
