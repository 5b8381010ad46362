"""docs/compatibility.md: what the tests beside this file do, as a table.

`make compatibility` runs them, one after the other, and writes the table from what happened: the
versions are what the clients and the server said, and what did not run is named with its reason.
Nothing is written if a test fails. With --check it only compares the clients and features there
with the tests, not the versions: those move with every machine and lock file.
"""

import contextlib
import io
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TABLE = Path(__file__).parents[2] / "docs" / "compatibility.md"

_BEFORE = """\
# Compatibility

Real clients through the real proxy. Each feature here is a test in `tests/compatibility/` against
a running `pgcurfew serve`, over TLS with the certificate and its name verified, as a grant's own
login on PostgreSQL {server}. `make compatibility` runs them and writes this file; each version is
what the client said of itself in that run.

| Client | Version | What it did | Not run |
|---|---|---|---|
"""
_AFTER = """
- The other majors of PostgreSQL are behind the proxy in the rest of the tests
  ([CONTRIBUTING.md](../CONTRIBUTING.md)).
- libpq is what most languages' drivers are made of. Here psycopg calls each major's.
- What DBeaver, DataGrip and pgAdmin ask is condensed from their public sources, and from what
  servers log of them, in `tests/compatibility/clients/gui_queries.py`; the programs themselves need
  a screen.
"""
_BETWEEN = "; "
_EVERYTHING = "everything"
_LEFT_OUT = "left out of that run"


@dataclass(slots=True)
class Line:
    """A client. `features` has, for each, why it did not run, or None once it did."""

    version: str = ""
    features: dict[str, str | None] = field(default_factory=dict)


class Recorder:
    """A plugin of pytest: makes lines of the tests, and fills them in as they run."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self.server = ""
        self._tests: dict[str, tuple[str, str]] = {}

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        client, feature = item.get_closest_marker("client"), item.get_closest_marker("feature")
        if client is not None and feature is not None:
            self._tests[item.nodeid] = (client.args[0], feature.args[0])
            self.lines.setdefault(client.args[0], Line()).features[feature.args[0]] = _LEFT_OUT

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.nodeid not in self._tests:
            return
        client, feature = self._tests[report.nodeid]
        said = dict(report.user_properties)
        self.lines[client].version = str(said.get("version", self.lines[client].version))
        self.server = str(said.get("server", self.server))
        if report.when == "call" and report.passed:
            self.lines[client].features[feature] = None
        elif report.skipped and isinstance(report.longrepr, tuple):
            self.lines[client].features[feature] = report.longrepr[2].removeprefix("Skipped: ")


def render(lines: Mapping[str, Line], server: str) -> str:
    rows = [_row(name, line) for name, line in sorted(lines.items(), key=_by_name)]
    return _BEFORE.format(server=server) + "".join(rows) + _AFTER


def read(text: str) -> dict[str, set[str] | None]:
    """Return each client's features, run or not; None for one that did not run at all."""
    found: dict[str, set[str] | None] = {}
    for row in text.splitlines():
        cells = row.removeprefix("| ").removesuffix(" |").split(" | ")
        if len(cells) == 4 and cells[0] != "Client":
            name, _version, done, left = cells
            not_run = left.partition(": ")[0]
            features = {*done.split(_BETWEEN), *not_run.split(_BETWEEN)} - {"-"}
            found[name] = None if _EVERYTHING in features else features
    return found


def _by_name(item: tuple[str, Line]) -> str:
    return item[0].casefold()


def _row(name: str, line: Line) -> str:
    done = [feature for feature, reason in line.features.items() if reason is None]
    left = {feature: reason for feature, reason in line.features.items() if reason is not None}
    not_run = "-"
    if left:
        which = _BETWEEN.join(left) if done else _EVERYTHING
        not_run = f"{which}: {_BETWEEN.join(dict.fromkeys(left.values()))}"
    return f"| {name} | {line.version or '-'} | {_BETWEEN.join(done) or '-'} | {not_run} |\n"


def _find_differences(lines: Mapping[str, Line]) -> Iterable[str]:
    written = read(TABLE.read_text()) if TABLE.exists() else {}
    for name in sorted({*lines, *written}):
        if name not in written or name not in lines:
            yield f"{name} is in only one of them"
            continue
        features = written[name]
        differing = set() if features is None else features ^ {*lines[name].features}
        for feature in sorted(differing):
            yield f"{name}, {feature}: is in only one of them"


def _run_tests(recorder: Recorder, *options: str) -> int:
    here = Path(__file__).parent
    # Its test compares it as it is, before it is written.
    return int(pytest.main([str(here), f"--ignore={here / 'test_table.py'}", *options], [recorder]))


def _check() -> None:
    recorder = Recorder()
    with contextlib.redirect_stdout(io.StringIO()) as said:
        failed = _run_tests(recorder, "--collect-only", "-q")
    if failed:
        sys.exit(said.getvalue())
    if differences := list(_find_differences(recorder.lines)):
        names = "\n".join(differences)
        sys.exit(f"{TABLE.name} and the tests differ; `make compatibility` mends it:\n{names}")


def _write() -> None:
    recorder = Recorder()
    if _run_tests(recorder):
        sys.exit(f"{TABLE.name} is left as it was: only what works is written there")
    TABLE.write_text(render(recorder.lines, recorder.server))


if __name__ == "__main__":
    _check() if sys.argv[1:] == ["--check"] else _write()
