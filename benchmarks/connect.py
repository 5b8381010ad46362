"""pgbench -C through the proxy, through PgBouncer and directly: how many logins a second.

Prints JSON; exits 1 if a bar is missed, 2 if nothing could be measured. See benchmarks/README.md.
"""

import argparse
import re
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import product
from statistics import median
from typing import Any

from errors import CannotMeasure
from measure import Entrance, Load, busy_share, environment
from processes import cpu_s
from script import Report, miss, paired_ratio, positive, run, say
from stage import Stage, set_stage

MIN_RATE_RATIO = 0.85
LOADS = tuple(Load("simple", tls, clients) for tls, clients in product((False, True), (1, 8)))
_SETTLE_S = 0.5
_PATIENCE_S = 60.0
_RATE = re.compile(r"^tps = ([\d.]+) \(including reconnection times\)", re.MULTILINE)


@dataclass(slots=True)
class Measured:
    """Rates in logins a second, and milliseconds of CPU time for each, round by round."""

    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)


def measure(rounds: int, seconds: int) -> Report:
    say("setting the stage")
    with set_stage(1) as stage:
        variants = [_measure_under(load, stage, rounds, seconds) for load in LOADS]
        versions = stage.versions
    missed = [
        miss(f"{each['tls']} {each['clients']} clients", each["vs_direct"], MIN_RATE_RATIO)
        for each in variants
        if each["vs_direct"] < MIN_RATE_RATIO
    ]
    return {
        "benchmark": "connect",
        "rounds": rounds,
        "seconds": seconds,
        "versions": versions,
        "bars": {"rate_vs_direct": MIN_RATE_RATIO},
        "variants": variants,
        "missed": missed,
    }


def _measure_under(load: Load, stage: Stage, rounds: int, seconds: int) -> dict[str, Any]:
    entrances = [stage.proxy, stage.pgbouncer, stage.direct]
    found = {entrance.name: Measured() for entrance in entrances}
    busy = []
    for number in range(rounds):
        start = number % len(entrances)
        for entrance in entrances[start:] + entrances[:start]:
            busy.append(busy_share(_SETTLE_S))
            _log_in_and_out(stage, entrance, load, seconds, found[entrance.name])
    direct = found["direct"].rates
    variant: dict[str, Any] = {
        "tls": "TLS" if load.tls else "plain",
        "clients": load.clients,
        "rates": {name: round(median(each.rates), 1) for name, each in found.items()},
        "vs_direct": round(paired_ratio(found["proxy"].rates, direct), 3),
        "pgbouncer_vs_direct": round(paired_ratio(found["pgbouncer"].rates, direct), 3),
        "cpu_ms_per_login": {
            name: round(median(found[name].cpu_ms), 2) for name in ("proxy", "pgbouncer")
        },
        "used_by_others": round(median(busy), 2),
    }
    say(f"{load}: {variant}")
    return variant


def _log_in_and_out(
    stage: Stage, entrance: Entrance, load: Load, seconds: int, found: Measured
) -> None:
    """Run pgbench with a new connection for every transaction, and note what it measured."""
    command = [
        str(stage.pgbench),
        *("-n", "-S", "-C", "-M", load.protocol, "-T", str(seconds)),
        *("-c", str(load.clients), "-j", str(min(load.clients, 2))),
        *("-h", "127.0.0.1", "-p", str(entrance.port), "-U", entrance.user, "bench"),
    ]
    before = cpu_s(entrance.processes)
    done = subprocess.run(
        command,
        env=environment(entrance, load),
        capture_output=True,
        text=True,
        timeout=seconds + _PATIENCE_S,
        check=False,
    )
    rate = _RATE.search(done.stdout)
    if done.returncode or rate is None:
        raise CannotMeasure(f"{entrance.name}, {load}: pgbench said {done.stderr.strip()}")
    found.rates.append(float(rate[1]))
    spent = cpu_s(entrance.processes) - before
    found.cpu_ms.append(spent / (float(rate[1]) * seconds) * 1000)


def main() -> int:
    parser = argparse.ArgumentParser(description="pgbench -C: proxy, PgBouncer and direct")
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--seconds", type=positive, default=5)
    given = parser.parse_args()
    return run(lambda: measure(given.rounds, given.seconds))


if __name__ == "__main__":
    sys.exit(main())
