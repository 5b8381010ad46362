"""Checking a policy file without the service, as a build of its repository does."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli.main import make_app
from tests.support.settings_files import write_settings

GOOD = """
approvers: {people: [reviewer@example.com]}
policies:
  - name: readers
    requesters: {anyone: true}
    resources: [{target: orders, role: orders_reader}]
    max_duration: 8h
"""


def check(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    monkeypatch.setenv("PGCURFEW_CONFIG", str(write_settings(folder)))
    file = folder / "new.yaml"
    file.write_text(text)
    done = CliRunner().invoke(make_app(["policy"]), ["policy", "check", str(file)])
    return done.exit_code, done.stdout, done.stderr


def test_a_file_that_can_come_into_force_is_summed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = check(tmp_path, GOOD, monkeypatch)
    assert (code, err) == (0, "")
    assert "can come into force. Policies: 1," in out


def test_every_fault_has_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = GOOD.replace("orders_reader", "oders_reader").replace("8h", "long")
    code, out, err = check(tmp_path, bad, monkeypatch)
    assert (code, out) == (2, "")
    faults = [line.partition("new.yaml:")[2].split(": ")[:2] for line in err.splitlines()[1:]]
    assert faults == [["7", "policies.0.max_duration"]]
    code, _, err = check(tmp_path, bad.replace("long", "8h"), monkeypatch)
    assert code == 2
    assert "new.yaml:6: policies.0.resources.0" in err


def test_a_file_that_is_not_text_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCURFEW_CONFIG", str(write_settings(tmp_path)))
    file = tmp_path / "new.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    done = CliRunner().invoke(make_app(["policy"]), ["policy", "check", str(file)])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "new.yaml" in done.stderr
