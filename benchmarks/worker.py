"""One more proxy worker beside a running pgcurfew, with settings of its own for a benchmark."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from errors import CannotMeasure
from ports import wait_for_listeners
from processes import cpu_s
from product import Product

from broker.embedded import free_port

_STOP_TIMEOUT_S = 60.0
_LINES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Worker:
    pid: int
    port: int
    log: Path

    def memory_bytes(self) -> int:
        """Return what it holds of the machine's memory, with its share of what others hold too."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        raise CannotMeasure("the kernel does not say how much memory the worker uses")

    def cpu_s(self) -> float:
        """Return the CPU time that it has used, user and system."""
        return cpu_s((self.pid,))


@contextmanager
def run_worker(product: Product, name: str, changes: Mapping[str, Any]) -> Iterator[Worker]:
    """Run a worker with the product's settings, changed key by key. Raises CannotMeasure."""
    home = product.server.home
    port = free_port()
    settings = _changed(yaml.safe_load((home / "pgcurfew.yaml").read_text()), changes)
    settings["proxy"]["listen"] = f"127.0.0.1:{port}"
    config, log = home / f"{name}.yaml", home / f"{name}.log"
    config.write_text(yaml.safe_dump(settings))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PGCURFEW_")}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "proxy", "worker", "--with-parent"],
            env={**kept, "PGCURFEW_CONFIG": str(config)},
            stdin=subprocess.PIPE,  # whatever ends us, the worker then leaves too
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for_listeners(port, 1)
        yield Worker(process.pid, port, log)
        if process.poll() is not None:
            raise CannotMeasure(f"the worker ended:\n{_end_of(log)}")
    except CannotMeasure as error:
        raise CannotMeasure(f"{error}\n{_end_of(log)}") from None
    finally:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def allow_many_files() -> int:
    """Let this process, and those that it starts, open as many files as they may; return how
    many."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _changed(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **settings,
        **{
            key: _changed(settings.get(key, {}), value) if isinstance(value, Mapping) else value
            for key, value in changes.items()
        },
    }


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LINES_SHOWN:])
