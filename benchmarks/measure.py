"""One run of pgbench through one entrance: transactions per second, and CPU per transaction.

Linux only: CPU time is read from /proc.
"""

import os
import re
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from errors import CannotMeasure
from processes import cpu_s, wait_for_rest

_PATIENCE_S = 60.0  # beyond the time that pgbench was told to take
_MAX_THREADS = 2
_PROGRESS = re.compile(r"progress: ([\d.]+) s, ([\d.]+) tps,")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """A way into the database. `processes` are those whose CPU time is the price of it; `shipper`
    is the one that takes to the ledger what they record, if they do."""

    name: str
    port: int
    user: str
    password: str = field(repr=False)
    processes: tuple[int, ...]
    tls: bool
    shipper: int | None = None


@dataclass(frozen=True, slots=True)
class Load:
    protocol: str
    tls: bool
    clients: int

    def __str__(self) -> str:
        return f"{self.protocol}, TLS {'on' if self.tls else 'off'}, {self.clients} clients"


@dataclass(frozen=True, slots=True)
class Run:
    """CPU times are per transaction, in microseconds. `relay_cpu_us` is without the logins; a run
    of one second is too short to tell. `shipper_cpu_us` is of the process that takes what was
    recorded to the ledger, until it has done so."""

    tps: float
    cpu_us: float
    relay_cpu_us: float | None
    shipper_cpu_us: float | None


def run_pgbench(pgbench: Path, entrance: Entrance, load: Load, seconds: int) -> Run:
    """Load `entrance` for `seconds`. Raises CannotMeasure."""
    command = [
        str(pgbench),
        *("-n", "-S", "-M", load.protocol, "-T", str(seconds), "-P", "1"),
        *("-c", str(load.clients), "-j", str(min(load.clients, _MAX_THREADS))),
        *("-h", "127.0.0.1", "-p", str(entrance.port), "-U", entrance.user, "bench"),
    ]
    before, shipped_before = cpu_s(entrance.processes), _shipper_cpu_s(entrance)
    with subprocess.Popen(
        command,
        env=environment(entrance, load),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # Whatever keeps us from reading on, pgbench ends.
        killer = threading.Timer(seconds + _PATIENCE_S, process.kill)
        killer.start()
        try:
            steady, said = _follow(process, entrance)
            output = process.stdout.read() if process.stdout else ""
            code = process.wait()
        finally:
            killer.cancel()
            process.kill()
    spent = cpu_s(entrance.processes) - before
    if code:
        raise CannotMeasure(f"{entrance.name}, {load}: pgbench ended with {code}: {said.strip()}")
    transactions = _number(r"^number of transactions actually processed: (\d+)", output)
    return Run(
        tps=_number(r"^tps = ([\d.]+) \(without initial connection time\)", output),
        cpu_us=spent / transactions * 1_000_000,
        relay_cpu_us=steady.cpu_us_per_transaction(),
        shipper_cpu_us=_shipping_cpu_us(entrance, shipped_before, transactions),
    )


def _shipper_cpu_s(entrance: Entrance) -> float:
    return 0.0 if entrance.shipper is None else cpu_s((entrance.shipper,))


def _shipping_cpu_us(entrance: Entrance, before_s: float, transactions: float) -> float | None:
    """Wait until everything of this run is in the ledger, and say what that cost the shipper."""
    if entrance.shipper is None:
        return None
    wait_for_rest(entrance.shipper)
    return (_shipper_cpu_s(entrance) - before_s) / transactions * 1_000_000


@dataclass(slots=True)
class _Steady:
    """What happened between pgbench's first sign of progress, when all clients have logged in, and
    its last one."""

    since_s: float | None = None
    cpu_s_at_start: float = 0.0
    cpu_s: float = 0.0
    transactions: float = 0.0

    def note(self, at_s: float, tps: float, cpu_s: float) -> None:
        if self.since_s is None:
            self.cpu_s_at_start = cpu_s
        else:
            self.transactions += tps * (at_s - self.since_s)
        self.since_s, self.cpu_s = at_s, cpu_s

    def cpu_us_per_transaction(self) -> float | None:
        if not self.transactions:
            return None
        return (self.cpu_s - self.cpu_s_at_start) / self.transactions * 1_000_000


def _follow(process: "subprocess.Popen[str]", entrance: Entrance) -> tuple[_Steady, str]:
    """Read pgbench's progress as it comes; return it, and everything else that was said."""
    steady, said = _Steady(), ""
    for line in process.stderr or ():
        progress = _PROGRESS.match(line)
        if progress is None:
            said += line
        else:
            steady.note(float(progress[1]), float(progress[2]), cpu_s(entrance.processes))
    return steady, said


def environment(entrance: Entrance, load: Load) -> dict[str, str]:
    # Nothing of the person's own libpq settings, which may name a service or a certificate.
    return {
        "PATH": os.defpath,
        "LC_ALL": "C",
        "PGPASSWORD": entrance.password,
        "PGSSLMODE": "require" if load.tls and entrance.tls else "disable",
        "PGGSSENCMODE": "disable",
        "PGCONNECT_TIMEOUT": "15",
    }


def _number(pattern: str, output: str) -> float:
    found = re.search(pattern, output, re.MULTILINE)
    if found is None or not float(found[1]):
        raise CannotMeasure(f"pgbench said something else than expected:\n{output}")
    return float(found[1])


def busy_share(seconds: float) -> float:
    """Watch the machine for a while; return the share of its CPU time that was used."""
    before = _cpu_ticks_of_machine()
    time.sleep(seconds)
    busy, idle = (now - then for now, then in zip(_cpu_ticks_of_machine(), before, strict=True))
    return busy / max(busy + idle, 1)


def _cpu_ticks_of_machine() -> tuple[int, int]:
    """Return how long the machine's CPUs were busy, and idle."""
    # proc(5): user nice system idle iowait irq softirq steal; guests are in user already.
    ticks = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, idle
