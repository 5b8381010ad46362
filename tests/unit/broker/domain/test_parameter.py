"""Parameters as they stand in ALTER ROLE … SET."""

from datetime import timedelta

import pytest

from broker.domain.parameter import Parameter, milliseconds


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("64MB", "'64MB'"),
        ("", "''"),
        ("on", "'on'"),
        ("it's", "'it''s'"),
        ("a\\b", "E'a\\\\b'"),
        ("x'; DROP ROLE postgres; --", "'x''; DROP ROLE postgres; --'"),
    ],
)
def test_a_value_is_one_literal(value: str, text: str) -> None:
    assert Parameter("work_mem", value).text == text


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("shop",), '"shop"'),
        (("shop", "$user", "My, Schema"), '"shop", "$user", "My, Schema"'),
        (('x"; DROP ROLE postgres; --',), '"x""; DROP ROLE postgres; --"'),
    ],
)
def test_a_list_is_written_name_by_name(names: tuple[str, ...], text: str) -> None:
    """search_path = 'a, b' would be one schema with a comma in its name."""
    assert Parameter("search_path", names).text == text


@pytest.mark.parametrize(
    ("duration", "value"),
    [
        (timedelta(seconds=1), "1000ms"),
        (timedelta(minutes=10), "600000ms"),
        (timedelta(days=2), "172800000ms"),
        (timedelta(milliseconds=1, microseconds=999), "1ms"),
    ],
)
def test_a_time_out_says_its_unit(duration: timedelta, value: str) -> None:
    """PostgreSQL reads a bare number in the unit of each parameter, which is not always this."""
    assert milliseconds("statement_timeout", duration) == Parameter("statement_timeout", value)
