"""PostgreSQL's predefined roles, in plain words."""

from broker.domain.role.predefined import PREDEFINED, Danger, explained


def test_the_dangerous_ones_are_those_that_reach_the_operating_system() -> None:
    assert {name for name, each in PREDEFINED.items() if each.danger is Danger.ALL} == {
        "pg_read_server_files",
        "pg_write_server_files",
        "pg_execute_server_program",
    }


def test_one_that_came_after_us_is_said_not_to_be_known() -> None:
    assert explained("pg_read_all_data").since == 14
    assert "does not know" in explained("pg_from_the_future").does
