"""Plots of numbers over time, as SVG in a figure with its legend and its figures as a table.

Made here, of a few rectangles and lines, since pages may have neither scripts nor styles within
them: libraries of plots put one or the other into their SVG. What there is to colour has a class,
and `plots.css` has the colours, for light and dark. Hovering over a bucket says what it holds.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from markupsafe import Markup, escape

from api.web.scales import (
    Mark,
    bucket_label,
    count_label,
    count_marks,
    duration_label,
    duration_marks,
    time_marks,
)

# The drawing's own units, of which text has 11: a plot is about so many pixels wide.
_WIDTH, _HEIGHT = 480, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 6, 10, 22
_GAP = 0.18  # of a bucket's width
_WIDEST_BAR = 40.0
_HALF_A_LABEL = 20


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers that belong together, one for each bucket; None where there is none. `style` is the
    class that colours them."""

    name: str
    style: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Times:
    """The buckets below a plot: when each begins, and how long they are."""

    starts: Sequence[datetime]
    step: timedelta


def bars(title: str, times: Times, series: Sequence[Series], *, note: str = "") -> Markup:
    """Return bars of counts, stacked on each other in the order of the series."""
    sums = [sum(each.values[n] or 0 for each in series) for n in range(len(times.starts))]
    frame = _Frame(times, count_marks(max(sums, default=0)))
    drawn = Markup().join(_stack(frame, series, number) for number in range(frame.buckets))
    return _figure(title, note, frame, series, drawn, count_label)


def lines(title: str, times: Times, series: Sequence[Series], *, note: str = "") -> Markup:
    """Return lines of durations in seconds, broken where there is nothing."""
    highest = max((value for each in series for value in each.values if value), default=0)
    frame = _Frame(times, duration_marks(highest))
    drawn = Markup().join(_line(frame, each) for each in series)
    return _figure(title, note, frame, series, drawn, duration_label)


def area(title: str, times: Times, series: Series, *, note: str = "") -> Markup:
    """Return counts as an area in steps."""
    frame = _Frame(times, count_marks(max((each or 0 for each in series.values), default=0)))
    return _figure(title, note, frame, [series], _steps(frame, series), count_label)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where things are in the drawing."""

    times: Times
    marks: tuple[Mark, ...]

    @property
    def buckets(self) -> int:
        return len(self.times.starts)

    @property
    def slot(self) -> float:
        return (_WIDTH - _LEFT - _RIGHT) / max(1, self.buckets)

    def x(self, number: float) -> float:
        """Return where a bucket begins."""
        return _LEFT + number * self.slot

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value / self.marks[-1].at * (_HEIGHT - _TOP - _BOTTOM)


def _stack(frame: _Frame, series: Sequence[Series], number: int) -> Markup:
    width = min(frame.slot * (1 - _GAP), _WIDEST_BAR)
    left, below, found = frame.x(number + 0.5) - width / 2, 0.0, []
    for each in series:
        value = each.values[number] or 0
        if value:
            top = frame.y(below + value)
            found.append(
                _tag(
                    "rect",
                    class_=f"plot-bar {each.style}",
                    x=left,
                    y=top,
                    width=width,
                    height=frame.y(below) - top,
                )
            )
        below += value
    return Markup().join(found)


def _line(frame: _Frame, series: Series) -> Markup:
    def point(number: int, value: float) -> str:
        return f"{_short(frame.x(number + 0.5))} {_short(frame.y(value))}"

    path, dots = [], []
    for run in _runs(series.values):
        if len(run) == 1:
            ((number, value),) = run
            dots.append(
                _tag(
                    "circle",
                    class_=f"plot-dot {series.style}",
                    cx=frame.x(number + 0.5),
                    cy=frame.y(value),
                    r=2.5,
                )
            )
        else:
            path.append("M" + "L".join(point(number, value) for number, value in run))
    drawn = _tag("path", class_=f"plot-line {series.style}", d="".join(path)) if path else Markup()
    return drawn + Markup().join(dots)


def _steps(frame: _Frame, series: Series) -> Markup:
    if not any(series.values):
        return Markup()
    outline = "".join(
        f"{'M' if number == 0 else 'L'}{_short(frame.x(number))} {_short(frame.y(value or 0))}"
        f"H{_short(frame.x(number + 1))}"
        for number, value in enumerate(series.values)
    )
    floor = _short(frame.y(0))
    closed = f"{outline}V{floor}H{_short(frame.x(0))}Z"
    return _tag("path", class_=f"plot-area {series.style}", d=closed) + _tag(
        "path", class_=f"plot-line {series.style}", d=outline
    )


def _runs(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    """Yield stretches of buckets that each have a value."""
    for is_there, run in groupby(enumerate(values), lambda each: each[1] is not None):
        if is_there:
            yield [(number, value or 0.0) for number, value in run]


def _figure(
    title: str,
    note: str,
    frame: _Frame,
    series: Sequence[Series],
    drawn: Markup,
    label: Callable[[float], str],
) -> Markup:
    is_empty = not any(value for each in series for value in each.values)
    said = "There was nothing in this time." if is_empty else note
    inner = (
        _tag("title", title)
        + _tag("desc", " ".join(filter(None, (said, "The figures are in the table below it."))))
        + _axes(frame)
        + drawn
        + (_nothing() if is_empty else _hits(frame, series, label))
    )
    picture = _tag("svg", inner, class_="plot", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img")
    return _tag(
        "figure",
        _caption(title, note, series) + picture + _table(title, frame, series, label),
        class_="plot-figure",
    )


def _axes(frame: _Frame) -> Markup:
    found = []
    for mark in frame.marks:
        y = frame.y(mark.at)
        style = "plot-grid" if mark.at else "plot-axis"
        found.append(_tag("line", class_=style, x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y))
        found.append(_text(mark.label, _LEFT - 6, y + 3.5, "end"))
    for mark in time_marks(frame.times.starts, frame.times.step):
        x = frame.x(mark.at + 0.5)
        found.append(_tag("line", class_="plot-axis", x1=x, x2=x, y1=frame.y(0), y2=frame.y(0) + 4))
        found.append(_text(mark.label, x, frame.y(0) + 16, _anchor(x)))
    return _tag("g", Markup().join(found), aria_hidden="true")


def _hits(frame: _Frame, series: Sequence[Series], label: Callable[[float], str]) -> Markup:
    """Return what is over each bucket, invisible, and says what it holds."""
    found = []
    for number, start in enumerate(frame.times.starts):
        parts = [f"{label(value)} {each.name}" for each in series if (value := each.values[number])]
        said = f"{bucket_label(start, frame.times.step)}: {', '.join(parts) or 'nothing'}"
        found.append(
            _tag(
                "rect",
                _tag("title", said),
                class_="plot-hit",
                x=frame.x(number),
                y=_TOP,
                width=frame.slot,
                height=_HEIGHT - _TOP - _BOTTOM,
            )
        )
    return Markup().join(found)


def _nothing() -> Markup:
    middle = _LEFT + (_WIDTH - _LEFT - _RIGHT) / 2
    return _text("nothing in this time", middle, _HEIGHT / 2, "middle")


def _caption(title: str, note: str, series: Sequence[Series]) -> Markup:
    said = _tag("span", title, class_="plot-title")
    if note:
        said += _tag("span", note, class_="plot-note")
    if len(series) > 1:
        keys = (
            _tag("li", _tag("span", class_=f"plot-key {each.style}") + escape(each.name))
            for each in series
        )
        said += _tag("ul", Markup().join(keys), class_="plot-legend")
    return _tag("figcaption", said)


def _table(
    title: str, frame: _Frame, series: Sequence[Series], label: Callable[[float], str]
) -> Markup:
    """Return all that is drawn, for who cannot see it or wants to know exactly."""
    head = _row(_tag("th", name, scope="col") for name in ("from", *(s.name for s in series)))
    rows = [
        _row(
            [
                _tag("th", bucket_label(start, frame.times.step), scope="row"),
                *(_tag("td", _told(each.values[n], label), class_="number") for each in series),
            ]
        )
        for n, start in enumerate(frame.times.starts)
        if any(each.values[n] for each in series)
    ]
    if not rows:
        return Markup()
    table = _tag(
        "table",
        _tag("caption", f"{title}; what is not here is nothing", class_="unseen")
        + _tag("thead", head)
        + _tag("tbody", Markup().join(rows)),
    )
    return _tag(
        "details",
        _tag("summary", "Figures", class_="plot-more") + _tag("div", table, class_="scroll"),
        class_="plot-figures",
    )


def _told(value: float | None, label: Callable[[float], str]) -> str:
    if value is None:
        return ""
    return f"{value:,}" if label is count_label else label(value)


def _row(cells: Iterable[Markup]) -> Markup:
    return _tag("tr", Markup().join(cells))


def _anchor(x: float) -> str:
    """Return how text lies at this place without leaving the drawing."""
    if x > _WIDTH - _RIGHT - _HALF_A_LABEL:
        return "end"
    return "start" if x < _HALF_A_LABEL else "middle"


def _text(said: str, x: float, y: float, anchor: str) -> Markup:
    return _tag("text", said, class_="plot-label", x=x, y=y, text_anchor=anchor)


def _tag(name: str, content: str = "", /, **attributes: str | float) -> Markup:
    """Return an element. Names of attributes have `_` for `-`; what is text is escaped."""
    written = "".join(
        f' {_attribute(key)}="{escape(_short(value))}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{written}>{escape(content)}</{name}>")  # noqa: S704  (escaped above)


def _attribute(name: str) -> str:
    return name if name == "viewBox" else name.rstrip("_").replace("_", "-")


def _short(value: str | float) -> str:
    """Return a number with as many digits as a screen has use for."""
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
