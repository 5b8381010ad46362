"""The file of a ticket: private, whole, and told from other files."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from api.cli.break_glass import app
from api.cli.ticket_file import TicketFile, new_private_file, read_ticket_file
from broker.domain.ticket import seal
from tests.unit.broker.domain.test_ticket import KEY, TICKET

FILE = TicketFile(
    host="db.example.com",
    port=7432,
    dbname=TICKET.database,
    sslmode="verify-full",
    user=seal(TICKET, KEY.sign),
    password="0123456789ABCDEFGHJKMNPQRS",
    root_certificate="system",
)


def test_a_file_says_all_that_its_holder_needs(tmp_path: Path) -> None:
    path = tmp_path / "ticket"
    with new_private_file(path) as file:
        file.write(FILE.text())
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_ticket_file(path) == FILE
    assert json.loads(path.read_text())["how_to"].startswith("A sealed break-glass ticket.")
    assert FILE.password not in repr(FILE)


def test_a_file_that_exists_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "ticket"
    path.write_text("precious")
    with pytest.raises(typer.Exit), new_private_file(path):
        pass
    assert path.read_text() == "precious"


def test_when_nothing_is_sealed_no_file_stays(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), new_private_file(tmp_path / "ticket"):
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{}", "[]", FILE.text().replace("7432", "0")])
def test_another_file_is_no_ticket(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ticket"
    path.write_text(content)
    with pytest.raises(typer.Exit) as left:
        read_ticket_file(path)
    assert left.value.exit_code == 2
    assert capsys.readouterr().err == f"pgcurfew: {path} is no ticket file\n"


def test_a_file_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        read_ticket_file(tmp_path / "ticket")
    assert "ticket cannot be read: No such file or directory" in capsys.readouterr().err


def test_what_to_connect_with_can_be_printed_for_a_shell(tmp_path: Path) -> None:
    path = tmp_path / "ticket"
    path.write_text(FILE.text())
    root = tmp_path / "root.pem"
    root.write_text("system")
    elsewhere = ("--host", "192.0.2.7", "--port", "1", "--root", str(root))
    printed = CliRunner().invoke(app, ["use", str(path), "--print", *elsewhere])
    assert printed.stdout.splitlines() == [
        "export PGHOST=192.0.2.7",
        "export PGPORT=1",
        f"export PGUSER={FILE.user}",
        f"export PGPASSWORD={FILE.password}",
        "export PGDATABASE='Bestellungen für alle'",
        "export PGSSLMODE=verify-full",
        "export PGSSLROOTCERT=system",
    ]


def test_a_file_with_something_else_for_a_ticket_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ticket"
    path.write_text(FILE.model_copy(update={"user": "alice"}).text())
    refused = CliRunner().invoke(app, ["show", str(path)])
    assert refused.exit_code == 2
    assert "holds no ticket: it does not have the form of a ticket" in refused.stderr
