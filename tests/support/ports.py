"""Ports for what listens in a test."""

import os
import random
from itertools import count

from broker.embedded import is_free

# Below those that Linux gives to outgoing connections, and apart from broker.embedded's. Processes
# that test side by side have some each.
_FIRST, _EACH, _PROCESSES = 10_000, 600, 8
_process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_next = count(random.randrange(_EACH))  # noqa: S311


def free_port() -> int:
    """Return a port of the loopback address on which nobody listens, and which no other test was
    given lately: a server takes seconds until it listens."""
    for number in _next:
        port = _FIRST + _process % _PROCESSES * _EACH + number % _EACH
        if is_free(port):
            return port
    raise AssertionError("numbers end")
