"""What libpq is told, and where it finds the certificate."""

from pathlib import Path

import pytest
import typer

from api.cli.libpq import root_file
from api.cli.ticket_file import TicketFile


@pytest.mark.parametrize("host", ["../../elsewhere", "/elsewhere", "::1", "db.example.com"])
def test_no_host_leads_out_of_the_folder(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ticket's file may come from anybody."""
    folder = tmp_path / "settings" / "pgcurfew"
    monkeypatch.setattr(typer, "get_app_dir", lambda _name: str(folder))
    ticket = TicketFile(
        host=host,
        port=7432,
        dbname="orders",
        sslmode="verify-full",
        user="ticket.x",
        password="secret",
        root_certificate="PEM",
    )
    path = Path(root_file(ticket))
    assert path.parent == folder
    assert path.read_text() == "PEM"
