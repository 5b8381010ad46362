"""The whole life of a request, printed."""

from datetime import UTC
from itertools import groupby

from api.cli.output import out, print_json
from api.schemas.timeline import TimelineEntryView, TimelineView

# Of these one looks for the time first.
_TURNS = frozenset({"request.made", "request.approved", "grant.ending", "grant.ended"})


def print_timeline(view: TimelineView, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    for kind, count in view.left_out.items():
        out.print(f"… {count:,} older: {kind}", markup=False, style="dim")
    for day, entries in groupby(view.items, lambda each: each.at.astimezone(UTC).date()):
        out.print(f"[bold]{day:%Y-%m-%d}[/] [dim]UTC[/]")
        for each in entries:
            _print_entry(each)


def _print_entry(entry: TimelineEntryView) -> None:
    out.print(f"  {entry.at.astimezone(UTC):%H:%M:%S}  ", end="", style="dim")
    out.print(entry.sentence, markup=False, style="bold" if entry.kind in _TURNS else None)
