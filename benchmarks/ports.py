"""Waiting for somebody to listen. Linux only: sockets are counted in /proc."""

import time
from pathlib import Path

from errors import CannotMeasure

_PATIENCE_S = 30.0
_LISTEN = "0A"  # the kernel's name for the state


def wait_for_listeners(port: int, wanted: int) -> None:
    """Wait until `wanted` sockets listen on the port: workers share one by SO_REUSEPORT."""
    until = time.monotonic() + _PATIENCE_S
    while _listeners(port) < wanted:
        if time.monotonic() > until:
            raise CannotMeasure(f"fewer than {wanted} sockets listen on port {port}")
        time.sleep(0.05)


def _listeners(port: int) -> int:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(
        1 for row in rows if int(row[1].rpartition(":")[2], 16) == port and row[3] == _LISTEN
    )
