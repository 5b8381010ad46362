"""Plots: well-formed, told in words as well, and without anything that a strict page refuses."""

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from markupsafe import Markup

from api.web.plots import Series, Times, area, bars, lines

DAY = timedelta(days=1)
TIMES = Times([datetime(2026, 3, 2, tzinfo=UTC) + number * DAY for number in range(4)], DAY)
REQUESTS = (
    Series("approved", "approved", [1, 0, 3, 4]),
    Series("denied", "denied", [1, 0, None, 0]),
)
WAITS = Series("median", "median", [60.0, None, 90.0, 120.0])


def parsed(plot: Markup) -> ET.Element:
    return ET.fromstring(plot)  # noqa: S314  (our own)


def of(plot: Markup, tag: str, style: str = "") -> list[ET.Element]:
    every = parsed(plot).iter(tag)
    return [each for each in every if not style or style in each.get("class", "").split()]


@pytest.fixture(params=["bars", "lines", "area", "nothing"])
def plot(request: pytest.FixtureRequest) -> Markup:
    match request.param:
        case "bars":
            return bars("Requests", TIMES, REQUESTS, note="per day")
        case "lines":
            return lines("Time to approve", TIMES, [WAITS])
        case "area":
            return area("Active grants", TIMES, Series("grants", "lived", [1, 2, 2, 0]))
        case _:
            return bars("Requests", TIMES, [Series("approved", "approved", [0, 0, 0, 0])])


def test_nothing_in_a_plot_needs_a_page_to_allow_scripts_or_styles(plot: Markup) -> None:
    for each in parsed(plot).iter():
        assert each.tag not in {"style", "script"}
        assert not [name for name in each.attrib if name == "style" or name.startswith("on")]


def test_a_plot_says_what_it_is_to_who_cannot_see_it(plot: Markup) -> None:
    (svg,) = of(plot, "svg")
    assert svg.get("role") == "img"
    assert [each.tag for each in svg][:2] == ["title", "desc"]
    assert len(of(plot, "figcaption")) == 1


def test_bars_stand_on_each_other_and_what_is_nothing_is_not_drawn() -> None:
    plot = bars("Requests", TIMES, REQUESTS)
    approved, denied = of(plot, "rect", "approved"), of(plot, "rect", "denied")
    assert (len(approved), len(denied)) == (3, 1)
    below = float(approved[0].get("y", ""))
    assert float(denied[0].get("y", "")) + float(denied[0].get("height", "")) == below


def test_each_bucket_says_what_it_holds() -> None:
    said = [each.findtext("title") for each in of(bars("R", TIMES, REQUESTS), "rect", "plot-hit")]
    assert said[:2] == ["Mon Mar 2: 1 approved, 1 denied", "Tue Mar 3: nothing"]


def test_a_line_is_broken_where_there_is_nothing_and_one_alone_is_a_dot() -> None:
    plot = lines("Time to approve", TIMES, [WAITS])
    (line,) = of(plot, "path")
    assert line.get("d", "").count("M") == 1
    assert len(of(plot, "circle")) == 1
    lonely = lines("Time to approve", TIMES, [Series("m", "median", [None, 5.0, None, None])])
    assert not of(lonely, "path")


def test_an_area_goes_in_steps_down_to_its_axis() -> None:
    plot = area("Active grants", TIMES, Series("grants", "lived", [1, 2, 2, 0]))
    filled, outline = of(plot, "path")
    assert filled.get("d", "").endswith("Z")
    assert outline.get("d", "").count("H") == 4


def test_the_figures_are_a_table_of_what_there_is() -> None:
    cells = [[each.text for each in row] for row in of(bars("R", TIMES, REQUESTS), "tr")]
    assert cells == [
        ["from", "approved", "denied"],
        ["Mon Mar 2", "1", "1"],
        ["Wed Mar 4", "3", None],
        ["Thu Mar 5", "4", "0"],
    ]
    assert of(lines("Time to approve", TIMES, [WAITS]), "td")[1].text == "1.5m"


def test_a_plot_of_nothing_says_so() -> None:
    plot = area("Active grants", TIMES, Series("grants", "lived", [0, 0, None, 0]))
    assert "nothing in this time" in plot
    assert not of(plot, "path")
    assert not of(plot, "table")
    assert parsed(area("No buckets", Times([], DAY), Series("grants", "lived", [])))


def test_what_people_wrote_is_text() -> None:
    evil = '"><script>alert(1)</script>'
    plot = bars(evil, TIMES, [Series(evil, evil, [1, 2, 3, 4]), *REQUESTS], note=evil)
    assert not of(plot, "script")
    assert of(plot, "span", "plot-title")[0].text == evil


def test_one_series_needs_no_legend() -> None:
    assert of(bars("R", TIMES, REQUESTS), "ul", "plot-legend")
    assert not of(bars("R", TIMES, REQUESTS[:1]), "ul")
