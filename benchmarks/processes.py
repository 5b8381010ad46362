"""Processes that run here: which they are, and what they have used. Linux only: all from /proc."""

import os
import time
from pathlib import Path

from errors import CannotMeasure

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_REST_S = 0.3
_RESTING_TICKS = 2  # within that time; a shipper looks at its spool again and again
_PATIENCE_S = 60.0


def proxy_processes(kind: str, wanted: int) -> tuple[int, ...]:
    """Return the proxy's processes of a kind (`worker` or `ship`) that descend from us."""
    words = b"\0-m\0proxy\0" + kind.encode() + b"\0"
    found = tuple(pid for pid in sorted(family(os.getpid())) if words in _command(pid))
    if len(found) != wanted:
        raise CannotMeasure(f"{len(found)} of the proxy's processes `{kind}` run, not {wanted}")
    return found


def broker_process() -> int:
    """Return the service that we run."""
    for pid in sorted(family(os.getpid())):
        if b"serve" in _command(pid).split(b"\0"):
            return pid
    raise CannotMeasure("the service is nowhere to be seen")


def forget_peak(pid: int) -> None:
    """Let VmHWM begin again with what the process has now: see proc(5)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def family(ancestor: int) -> set[int]:
    """Return a process and all that descend from it."""
    parents = {int(each.name): _parent(each) for each in Path("/proc").glob("[0-9]*")}
    found = {ancestor}
    while grown := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= grown
    return found


def cpu_s(processes: tuple[int, ...]) -> float:
    """Return the CPU time that the processes have used, user and system, all threads."""
    return sum(_own_ticks(pid) for pid in processes) / _TICKS_PER_S


def family_cpu_s(ancestor: int) -> float:
    """Return the CPU time that a process, its living descendants and its dead children used."""
    ticks = 0
    for pid in family(ancestor):
        fields = _status(pid)
        # proc(5): utime, stime, and those of children that were waited for: fields 14 to 17.
        ticks += sum(map(int, fields[11:15])) if fields else 0
    return ticks / _TICKS_PER_S


def wait_for_rest(pid: int) -> None:
    """Wait until the process has hardly anything to do."""
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        before = _own_ticks(pid)
        time.sleep(_REST_S)
        if _own_ticks(pid) - before <= _RESTING_TICKS:
            return
    raise CannotMeasure(f"process {pid} does not come to rest")


def memory_bytes(pid: int, what: str) -> int:
    """Return how much memory the process has (VmRSS), or had at most (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise CannotMeasure(f"the kernel does not tell {what}")


def _own_ticks(pid: int) -> int:
    fields = _status(pid)
    if not fields:
        raise CannotMeasure(f"process {pid}, which is measured, has ended")
    # proc(5): utime and stime are fields 14 and 15.
    return int(fields[11]) + int(fields[12])


def _status(pid: int) -> list[str]:
    """Return the fields from the third on: the name, which is the second, may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _parent(process: Path) -> int:
    fields = _status(int(process.name))
    return int(fields[1]) if fields else 0


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
