"""`pgcurfew overview`: what needs attention, and how much there is of everything."""

from datetime import UTC, timedelta
from typing import Annotated

import typer

from api.cli.calling import with_client
from api.cli.options import AsJson
from api.cli.output import out, print_fields, print_json, print_table
from api.client import Client
from api.schemas.overview import BucketView, OverviewView
from broker.domain.duration import format_duration
from broker.domain.overview import Urgency

_SIGNS = {Urgency.CRITICAL: "[red]●[/]", Urgency.WARNING: "[yellow]●[/]", Urgency.INFO: "[dim]●[/]"}
_LEVELS = "▁▂▃▄▅▆▇█"


def register(app: typer.Typer) -> None:
    app.command()(overview)


def overview(
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="Of how many days.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Say what needs your attention, and how much there is of everything that you may see."""

    async def fetch(client: Client) -> OverviewView:
        return await client.get_overview(days=days)

    view = with_client(fetch)
    if as_json:
        print_json(view)
        return
    for each in view.attention:
        out.print(_SIGNS[each.severity], end=" ")
        out.print(each.sentence, markup=False)
    if not view.attention:
        out.print("Nothing needs your attention.")
    out.print()
    print_fields(_figures(view, days))
    out.print()
    print_table(
        "Asked for most",
        ("target", "role", "requests"),
        [(each.target, each.role, f"{each.requests:,}") for each in view.top],
    )


def _figures(view: OverviewView, days: int) -> list[tuple[str, str]]:
    waits = view.waits
    took = ""
    if waits.median_s is not None and waits.p90_s is not None:
        took = f"{_lasting(waits.median_s)} at the median, {_lasting(waits.p90_s)} for one in ten"
    given = ", ".join(f"{count:,} {state}" for state, count in sorted(view.grants.items()))
    return [
        ("days", f"{days}, from {view.buckets[0].start.astimezone(UTC):%Y-%m-%d} on"),
        ("requests", ", ".join(f"{n:,} {state}" for state, n in view.requests.items() if n)),
        ("made", _spark([sum(each.requests.values()) for each in view.buckets])),
        ("to approve", took),
        ("at once", f"{waits.by_itself:,}" if waits.by_itself else ""),
        ("grants now", given),
        ("lived", _spark([each.grants for each in view.buckets])),
        ("statements", _statements(view.buckets)),
    ]


def _statements(buckets: tuple[BucketView, ...]) -> str:
    counts = [each.statements for each in buckets if each.statements is not None]
    return f"{_spark(counts)} {sum(counts):,}" if any(counts) else ""


def _spark(counts: list[int]) -> str:
    """Return a bar for each count, the highest of which is full, or nothing for nothing."""
    highest = max(counts, default=0)
    if not highest:
        return ""
    top = len(_LEVELS) - 1
    return "".join(_LEVELS[-(-each * top // highest)] if each else " " for each in counts)


def _lasting(seconds: float) -> str:
    return format_duration(timedelta(seconds=max(1, round(seconds))))
