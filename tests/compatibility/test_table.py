"""docs/compatibility.md says what the tests do, and what did not run."""

import subprocess
import sys

from tests.compatibility.table import Line, read, render


def test_the_table_names_the_clients_and_features_that_are_tested() -> None:
    """In a process of its own, which collects the tests beside this one."""
    done = subprocess.run(
        (sys.executable, "-m", "tests.compatibility.table", "--check"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_what_did_not_run_is_said_and_still_counts_as_tested() -> None:
    lines = {
        "some": Line("1.2", {"queries": None, "COPY": None, "cancel": "no network"}),
        "none": Line("", {"queries": "not installed", "COPY": "not installed"}),
    }
    text = render(lines, "18.6")
    assert "| some | 1.2 | queries; COPY | cancel: no network |\n" in text
    assert "| none | - | - | everything: not installed |\n" in text
    assert read(text) == {"some": {"queries", "COPY", "cancel"}, "none": None}
