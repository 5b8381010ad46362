"""Draws what relay.py measured: `python benchmarks/chart.py FIGURES.json docs/relay.png`.

Needs matplotlib, which nothing else here does: pip install matplotlib.
"""

import argparse
import json
from pathlib import Path
from typing import Any

# Only who draws the picture installs it.
import matplotlib as mpl  # type: ignore[import-not-found]

mpl.use("agg")  # no screen

from matplotlib import pyplot as plt

# Blue and orange that people tell apart whatever their eyes, and a grey for what is no contender.
_ENTRANCES = {
    "direct": ("PostgreSQL directly", "#c4c4c4"),
    "pgbouncer": ("PgBouncer, session mode", "#e69f00"),
    "proxy": ("pgcurfew", "#0072b2"),
}
# What is measured → what the axis says, how many of it are one there, and the form of a label.
_ROWS = {
    "tps": ("1000 transactions per s", 1000, "{:.1f}"),
    "cpu_us_per_transaction": ("CPU per transaction, µs", 1, "{:.1f}"),
}
_SIZE_INCHES = (13, 6.2)
_DPI = 130
_BARS_WIDTH = 0.84  # of the distance between two groups


def draw(figures: dict[str, Any], target: Path) -> None:
    """One column for each way to talk, one row for what was measured."""
    ways = list(dict.fromkeys((each["protocol"], each["tls"]) for each in figures["variants"]))
    figure, axes = plt.subplots(
        len(_ROWS), len(ways), figsize=_SIZE_INCHES, sharex="col", sharey="row", squeeze=False
    )
    for row, what in enumerate(_ROWS):
        for column, (protocol, tls) in enumerate(ways):
            variants = [
                each
                for each in figures["variants"]
                if (each["protocol"], each["tls"]) == (protocol, tls)
            ]
            _draw_panel(axes[row][column], variants, what)
        axes[row][0].set_ylabel(_ROWS[what][0])
    for column, (protocol, tls) in enumerate(ways):
        axes[0][column].set_title(f"{protocol} protocol, {'TLS' if tls else 'no TLS'}", fontsize=11)
        axes[-1][column].set_xlabel("clients")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=len(handles), frameon=False)
    figure.text(0.5, 0.005, _caption(figures), ha="center", fontsize=8, color="#555555")
    figure.tight_layout(rect=(0, 0.03, 1, 0.94))
    figure.savefig(target, dpi=_DPI)
    plt.close(figure)


def _draw_panel(axis: Any, variants: list[dict[str, Any]], what: str) -> None:
    _axis_label, unit, form = _ROWS[what]
    entrances = [name for name in _ENTRANCES if name in variants[0][what]]
    width = _BARS_WIDTH / len(entrances)
    for number, name in enumerate(entrances):
        label, colour = _ENTRANCES[name]
        offset = (number - (len(entrances) - 1) / 2) * width
        bars = axis.bar(
            [place + offset for place in range(len(variants))],
            [each[what][name] / unit for each in variants],
            width * 0.94,
            label=label,
            color=colour,
        )
        if name != "direct":
            axis.bar_label(bars, fmt=form, fontsize=7, padding=1)
    axis.set_xticks(range(len(variants)), [str(each["clients"]) for each in variants])
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(y=0.1)


def _caption(figures: dict[str, Any]) -> str:
    versions = figures["versions"]
    return (
        f"pgbench -S, scale {figures['scale']}, medians of {figures['rounds']} rounds of "
        f"{figures['seconds']} s; PostgreSQL {versions['postgresql'].split()[0]}, "
        f"PgBouncer {versions['pgbouncer']}, Python {versions['python']}; "
        f"{figures['cpus']} CPUs for everything, {figures['workers']} proxy worker(s)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="draw the figures of relay.py")
    parser.add_argument("figures", type=Path, help="JSON from relay.py --output")
    parser.add_argument("target", type=Path, help="the picture, for example docs/relay.png")
    given = parser.parse_args()
    draw(json.loads(given.figures.read_text()), given.target)


if __name__ == "__main__":
    main()
