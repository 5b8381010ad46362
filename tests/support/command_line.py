"""`pgcurfew` as people run it: arguments and an environment in, what it prints and its exit code
out.

To load a command takes Python longer than to run it. So each runs in a process of its own that is a
fork of one which has loaded everything before: preloaded.py.
"""

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from threading import Lock

_PATIENCE_S = 60
_starting = Lock()


def run_pgcurfew(
    environment: Mapping[str, str], *arguments: str
) -> "subprocess.CompletedProcess[str]":
    """Run it with this environment and nothing on standard input, and wait for it."""
    order = {"arguments": arguments, "environment": dict(environment), "patience_s": _PATIENCE_S}
    with _starting:
        orders = _preloaded()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        ours, theirs = os.pipe()
        with os.fdopen(ours) as outcome:
            try:
                socket.send_fds(
                    orders, [json.dumps(order).encode()], [out.fileno(), err.fileno(), theirs]
                )
            finally:
                os.close(theirs)
            code = outcome.read()
        out.seek(0)
        err.seek(0)
        assert code, "the process that runs commands is gone"
        return subprocess.CompletedProcess(
            ("pgcurfew", *arguments), int(code), out.read(), err.read()
        )


@cache
def _preloaded() -> socket.socket:
    """Start the process that commands are forks of. It ends with us."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.preloaded"], stdin=theirs.fileno()
        )

    def end() -> None:
        ours.close()
        process.wait(_PATIENCE_S)

    atexit.register(end)
    return ours
