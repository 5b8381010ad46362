"""Runs `pgcurfew` again and again without loading it again: see command_line.py.

Orders come over the socket that is standard input, each with its descriptors: standard output and
error of the command, and a pipe for its exit code. What reads the environment while it is loaded,
which is api.cli, is left to the forks.
"""

import gc
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from types import ModuleType

_LONGEST_ORDER = 200_000
_MOST_DESCRIPTORS = 64
_MODULES = (
    *("aiohttp.web", "rich.table", "typer", "uvloop"),
    *("api.app", "api.client", "broker.assembly.broker", "broker.embedded", "broker.reaper"),
    *("broker.service.doctor", "broker.target.bootstrap"),
)


def main() -> None:
    for module in _MODULES:
        import_module(module)
    gc.freeze()  # or else a fork copies pages only to look for garbage in them
    with socket.socket(fileno=os.dup(0)) as orders:
        while True:
            order, descriptors, _flags, _sender = socket.recv_fds(orders, _LONGEST_ORDER, 3)
            if not order:
                return
            if os.fork() == 0:
                break
            for each in descriptors:
                os.close(each)
            _reap()
    _carry_out(order, *descriptors)


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _carry_out(order: bytes, out: int, err: int, outcome: int) -> None:
    child = os.fork()
    if child == 0:
        _run(out, err, **json.loads(order))
    _pid, status = os.waitpid(child, 0)
    os.write(outcome, str(os.waitstatus_to_exitcode(status)).encode())


def _run(
    out: int, err: int, *, arguments: list[str], environment: dict[str, str], patience_s: int
) -> None:
    """Does not return."""
    for number, each in enumerate((os.open(os.devnull, os.O_RDONLY), out, err)):
        os.dup2(each, number)
    os.closerange(3, _MOST_DESCRIPTORS)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["pgcurfew", *arguments]
    sys.modules["__main__"] = ModuleType("__main__")  # typer looks there for our name
    signal.alarm(patience_s)
    import_module("api.cli.main").main()


if __name__ == "__main__":
    main()
