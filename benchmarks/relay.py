"""pgbench -S through the proxy, through PgBouncer and directly: rates and CPU, as ratios.

Prints JSON; exits 1 if a bar is missed, 2 if nothing could be measured. See benchmarks/README.md.
"""

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import median

from cluster import SCALE
from errors import CannotMeasure
from measure import Entrance, Load, Run, busy_share, run_pgbench
from stage import Stage, set_stage

from api.demo.failures import DemoFailed
from broker.embedded import EmbeddedError

PROTOCOLS = ("simple", "prepared")
TLS = {"off": False, "on": True}

# The bars. With several workers the proxy must win where there are clients for all of them.
MIN_TPS_RATIO = 0.95
MAX_CPU_RATIO = 1.2
MIN_TPS_RATIO_OF_WORKERS = 1.0
MANY_CLIENTS = 32

_SETTLE_S = 0.5  # for what an entrance still has to do when its clients have left
_WARM_UP_S = 1
_QUIET = 0.1  # of the machine
_SHORTEST_RUN_S = 3  # of which the first second is logins


Measure = Callable[[Run], float]


@dataclass(frozen=True, slots=True)
class Options:
    rounds: int
    seconds: int
    workers: int
    patience_s: int
    loads: tuple[Load, ...]
    output: Path | None


@dataclass(frozen=True, slots=True)
class Variant:
    """What was measured under one load: the runs of every entrance, by its name.

    `busy` is how much of the machine others used just before each run.
    """

    load: Load
    runs: dict[str, list[Run]]
    busy: list[float]

    def median(self, what: Measure, entrance: str) -> float:
        return median(what(run) for run in self.runs[entrance])

    def ratio(self, what: Measure, other: str) -> float:
        """Return the median of the proxy's ratio to `other` within a round: what disturbs a whole
        round disturbs both."""
        pairs = zip(self.runs["proxy"], self.runs[other], strict=True)
        return median(what(mine) / what(theirs) for mine, theirs in pairs)


def tps(run: Run) -> float:
    return run.tps


def cpu_us(run: Run) -> float:
    """Return the price of a transaction with its share of the logins."""
    return run.cpu_us


def relay_cpu_us(run: Run) -> float:
    """Return the price of a transaction alone."""
    assert run.relay_cpu_us is not None
    return run.relay_cpu_us


def shipper_cpu_us(run: Run) -> float:
    """Return what it costs to take a transaction's statements to the ledger."""
    assert run.shipper_cpu_us is not None
    return run.shipper_cpu_us


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, _interrupt)
    _say("setting the stage")
    try:
        with set_stage(options.workers) as stage:
            variants = measure(stage, options)
    except (CannotMeasure, DemoFailed, EmbeddedError) as error:
        _say(str(error))
        return 2
    except KeyboardInterrupt:
        _say("interrupted; nothing is left running")
        return 130
    missed = [miss for variant in variants for miss in misses(variant, options.workers)]
    figures = json.dumps(report(stage, options, variants, missed), indent=2)
    print(figures)
    if options.output is not None:
        options.output.write_text(figures + "\n")
    return 1 if missed else 0


def measure(stage: Stage, options: Options) -> list[Variant]:
    variants = []
    for load in options.loads:
        variants.append(_measure_under(load, stage, options))
        _say(_line(variants[-1]))
    return variants


def _measure_under(load: Load, stage: Stage, options: Options) -> Variant:
    entrances = [stage.proxy, stage.pgbouncer, stage.direct]
    for entrance in entrances:
        run_pgbench(stage.pgbench, entrance, load, _WARM_UP_S)
    variant = Variant(load, {entrance.name: [] for entrance in entrances}, [])
    for number in range(options.rounds):
        _wait_until_quiet(options.patience_s)
        for entrance in _rotated(entrances, number):
            time.sleep(_SETTLE_S)
            variant.busy.append(busy_share(_SETTLE_S))
            run = run_pgbench(stage.pgbench, entrance, load, options.seconds)
            variant.runs[entrance.name].append(run)
    return variant


def _wait_until_quiet(patience_s: int) -> None:
    """Wait until nobody else uses the machine, but not for ever: the report says how it was."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until and busy_share(_SETTLE_S) > _QUIET:
        pass


def _rotated(entrances: list[Entrance], number: int) -> list[Entrance]:
    """Return the entrances with another one first every round: none always follows the same."""
    start = number % len(entrances)
    return entrances[start:] + entrances[:start]


def misses(variant: Variant, workers: int) -> Iterable[dict[str, object]]:
    """Say which bars the proxy misses under this load."""
    rate, cpu = variant.ratio(tps, "pgbouncer"), variant.ratio(cpu_us, "pgbouncer")
    if workers > 1:
        if variant.load.clients >= MANY_CLIENTS and rate < MIN_TPS_RATIO_OF_WORKERS:
            yield _miss(variant, "tps_vs_pgbouncer", rate, MIN_TPS_RATIO_OF_WORKERS)
        return
    if rate < MIN_TPS_RATIO:
        yield _miss(variant, "tps_vs_pgbouncer", rate, MIN_TPS_RATIO)
    if cpu > MAX_CPU_RATIO:
        yield _miss(variant, "cpu_vs_pgbouncer", cpu, MAX_CPU_RATIO)


def _miss(variant: Variant, what: str, measured: float, bar: float) -> dict[str, object]:
    return {"load": str(variant.load), "what": what, "measured": round(measured, 3), "bar": bar}


def report(
    stage: Stage, options: Options, variants: list[Variant], missed: list[dict[str, object]]
) -> dict[str, object]:
    return {
        "benchmark": "relay",
        "audit": "statements, no parameters",
        "workers": options.workers,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "scale": SCALE,
        "cpus": len(os.sched_getaffinity(0)),
        "direct_knows_tls": stage.direct.tls,
        "versions": {
            **stage.versions,
            "python": platform.python_version(),
            "uvloop": version("uvloop"),
        },
        "bars": _bars(options.workers),
        "variants": [_variant(variant) for variant in variants],
        "missed": missed,
    }


def _bars(workers: int) -> dict[str, object]:
    if workers > 1:
        return {"tps_vs_pgbouncer": MIN_TPS_RATIO_OF_WORKERS, "from_clients": MANY_CLIENTS}
    return {"tps_vs_pgbouncer": MIN_TPS_RATIO, "cpu_vs_pgbouncer": MAX_CPU_RATIO}


def _variant(variant: Variant) -> dict[str, object]:
    return {
        "protocol": variant.load.protocol,
        "tls": variant.load.tls,
        "clients": variant.load.clients,
        "tps": {name: round(variant.median(tps, name)) for name in variant.runs},
        "tps_vs_pgbouncer": round(variant.ratio(tps, "pgbouncer"), 3),
        "tps_vs_direct": round(variant.ratio(tps, "direct"), 3),
        "cpu_us_per_transaction": _cpu(variant, cpu_us),
        "cpu_vs_pgbouncer": round(variant.ratio(cpu_us, "pgbouncer"), 3),
        "cpu_us_without_logins": _cpu(variant, relay_cpu_us),
        "cpu_vs_pgbouncer_without_logins": round(variant.ratio(relay_cpu_us, "pgbouncer"), 3),
        "shipper_cpu_us": round(variant.median(shipper_cpu_us, "proxy"), 2),
        "tps_of_rounds": {
            name: [round(run.tps) for run in runs] for name, runs in variant.runs.items()
        },
        "used_by_others": round(median(variant.busy), 2),
    }


def _cpu(variant: Variant, what: Measure) -> dict[str, float]:
    return {name: round(variant.median(what, name), 2) for name in ("proxy", "pgbouncer")}


def _line(variant: Variant) -> str:
    return (
        f"{variant.load}: {variant.median(tps, 'proxy'):.0f} tps, "
        f"{variant.ratio(tps, 'pgbouncer'):.3f}x PgBouncer, "
        f"{variant.ratio(tps, 'direct'):.3f}x direct; "
        f"{variant.median(cpu_us, 'proxy'):.1f} µs, "
        f"{variant.ratio(cpu_us, 'pgbouncer'):.3f}x PgBouncer, "
        f"{variant.ratio(relay_cpu_us, 'pgbouncer'):.3f}x without logins, "
        f"and {variant.median(shipper_cpu_us, 'proxy'):.1f} µs to ship; "
        f"{median(variant.busy):.0%} of the machine used by others"
    )


def _options() -> Options:
    parser = argparse.ArgumentParser(description="pgbench -S: proxy, PgBouncer and direct")
    parser.add_argument("--rounds", type=_positive)
    parser.add_argument("--seconds", type=_seconds, help="of each run, at least 3")
    parser.add_argument("--clients", type=_some(_positive), help="for example 1,8,32")
    parser.add_argument("--protocols", type=_some(_one_of(PROTOCOLS)), help="simple,prepared")
    parser.add_argument("--tls", type=_some(_one_of(TLS)), help="off,on")
    parser.add_argument("--workers", type=_positive, default=1, help="proxy processes")
    parser.add_argument(
        "--patience",
        type=_positive,
        default=10,
        help="seconds that each round waits for a quiet machine at most",
    )
    parser.add_argument("--quick", action="store_true", help="one round of 3 s with 8 clients")
    parser.add_argument("--output", type=Path, help="also write the JSON to this file")
    given = parser.parse_args()
    rounds, seconds, clients = (1, 3, [8]) if given.quick else (3, 5, [1, 8, 32])
    return Options(
        rounds=given.rounds or rounds,
        seconds=given.seconds or seconds,
        workers=given.workers,
        patience_s=given.patience,
        output=given.output,
        loads=tuple(
            Load(protocol, TLS[tls], count)
            for protocol, tls, count in product(
                given.protocols or PROTOCOLS, given.tls or TLS, given.clients or clients
            )
        ),
    )


def _some(one: Callable[[str], object]) -> Callable[[str], list[object]]:
    def parse(text: str) -> list[object]:
        return [one(part) for part in text.split(",")]

    return parse


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number


def _seconds(text: str) -> int:
    if int(text) < _SHORTEST_RUN_S:
        raise argparse.ArgumentTypeError(f"it must be at least {_SHORTEST_RUN_S}")
    return int(text)


def _one_of(allowed: Iterable[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise argparse.ArgumentTypeError(f"choose from {', '.join(allowed)}")
        return text

    return parse


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
