"""What a benchmark script does around its measuring: figures, JSON on stdout, the exit code."""

import argparse
import json
import math
import os
import platform
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from errors import CannotMeasure

from api.client import ApiError, ApiUnreachable
from api.demo.failures import DemoFailed
from broker.embedded import EmbeddedError

Report = dict[str, Any]


def run(measure: Callable[[], Report]) -> int:
    """Measure and print. `missed` of the report names the bars that were not met."""
    signal.signal(signal.SIGTERM, _interrupt)
    before = os.getloadavg()[0]
    try:
        report = measure()
    except (CannotMeasure, DemoFailed, EmbeddedError, ApiError, ApiUnreachable) as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        say("interrupted; nothing is left running")
        return 130
    except Exception:
        traceback.print_exc()
        return 2
    machine = {
        "cpus": len(os.sched_getaffinity(0)),
        "load_average_before": round(before, 2),
        "python": platform.python_version(),
    }
    print(json.dumps({**report, "machine": machine}, indent=2))
    return 1 if report["missed"] else 0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def figures(seconds: Sequence[float]) -> dict[str, float]:
    """Return what there is to say about durations, in milliseconds."""
    return {
        "median_ms": ms(median(seconds)),
        "p95_ms": ms(percentile(seconds, 95)),
        "p99_ms": ms(percentile(seconds, 99)),
        "worst_ms": ms(max(seconds)),
        "runs": len(seconds),
    }


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that `percent` of all do not exceed (nearest rank)."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def paired_ratio(mine: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios within a round: what disturbs a round disturbs both."""
    return median(one / other for one, other in zip(mine, theirs, strict=True))


def ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def miss(what: str, measured: float, bar: float) -> dict[str, object]:
    return {"what": what, "measured": round(measured, 3), "bar": bar}


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
