"""What commands print, where it is not plain."""

from ipaddress import ip_address, ip_network

import pytest

from api.cli.output import print_table
from api.cli.views import where_from, where_from_briefly

OFFICES = tuple(ip_network(f"10.{number}.0.0/16") for number in range(3))


def test_where_sessions_come_from_is_said_only_if_it_matters() -> None:
    assert where_from((), pinned=False) == ""
    assert where_from(OFFICES[:1], pinned=False) == "10.0.0.0/16"
    assert where_from(OFFICES[:1], pinned=True) == "10.0.0.0/16, only the first address"
    assert where_from((), pinned=True, to=ip_address("192.0.2.7")) == "only 192.0.2.7"


def test_a_line_of_a_table_has_room_for_two_networks() -> None:
    assert where_from_briefly(OFFICES[:2], pinned=False) == "10.0.0.0/16, 10.1.0.0/16"
    assert where_from_briefly(OFFICES, pinned=True) == "3 networks, only the first address"


def test_a_table_has_no_empty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Things", ("id", "from", "for"), [("a", "", "1h"), ("b", "", "")])
    said = capsys.readouterr().out
    assert [line.split() for line in said.splitlines()] == [
        ["Things"],
        ["id", "for"],
        ["a", "1h"],
        ["b"],
    ]


def test_a_table_without_rows_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Things", ("id", "from"), [])
    assert capsys.readouterr().out == "Things: none\n"
