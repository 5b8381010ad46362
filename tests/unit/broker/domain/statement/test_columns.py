"""Tables of the record: their columns are for ever, and their cells are only text."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

from broker.domain.statement.columns import (
    EVENT_COLUMNS,
    RECEIPT_COLUMNS,
    STATEMENT_COLUMNS,
    TableFormat,
    table_header,
    table_lines,
)
from broker.domain.statement.statement import Protocol, Statement, row_facts
from tests.support.sealed_rows import NOON

DOCS = Path(__file__).parents[5] / "docs" / "audit.md"
COLUMNS = ("a", "b")


@pytest.mark.parametrize(
    ("title", "columns"),
    [
        ("statements", STATEMENT_COLUMNS),
        ("events", EVENT_COLUMNS),
        ("receipts", RECEIPT_COLUMNS),
    ],
)
def test_the_docs_name_the_columns_in_their_order(title: str, columns: tuple[str, ...]) -> None:
    section = DOCS.read_text().partition(f"### Columns of {title}")[2].partition("\n#")[0]
    rows = re.findall(r"^\| (`.+?`) \|", section, re.MULTILINE)
    assert tuple(re.findall(r"`(\w+)`", " ".join(rows))) == columns


def test_the_columns_of_a_statement_are_all_that_its_row_says_and_whose_it_is() -> None:
    statement = Statement(
        session_id="ses_1",
        seq=1,
        started_at=NOON,
        protocol=Protocol.SIMPLE,
        text="SELECT 1",
        text_bytes=8,
    )
    told = {*row_facts(statement), "grant", "person", "target", "database", "role"} - {"row"}
    assert set(STATEMENT_COLUMNS) == told


def test_csv_says_what_was_there_to_whoever_reads_csv() -> None:
    rows: list[dict[str, Any]] = [{"a": 'a "quoted",\r\nlong text', "b": None}, {"a": True, "b": 3}]
    text = table_header(TableFormat.CSV, COLUMNS) + table_lines(TableFormat.CSV, COLUMNS, rows)
    assert text == 'a,b\r\n"a ""quoted"",\r\nlong text",\r\ntrue,3\r\n'
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["a", "b"],
        ['a "quoted",\r\nlong text', ""],
        ["true", "3"],
    ]


def test_tsv_has_one_line_for_one_row_whatever_is_in_it() -> None:
    rows = [{"a": "one\ttwo\nthree\\four\rfive", "b": False}]
    assert table_header(TableFormat.TSV, COLUMNS) == "a\tb\n"
    assert table_lines(TableFormat.TSV, COLUMNS, rows) == (
        "one\\ttwo\\nthree\\\\four\\rfive\tfalse\n"
    )


@pytest.mark.parametrize("beginning", ["=", "+", "-", "@", "\t", "\r"])
@pytest.mark.parametrize("layout", TableFormat)
def test_no_cell_is_a_formula_to_a_spreadsheet(beginning: str, layout: TableFormat) -> None:
    text = table_lines(layout, COLUMNS, [{"a": f"{beginning}cmd|' /C calc'!A0", "b": "1-1"}])
    assert text.lstrip('"').startswith("'")
    assert text.rstrip().endswith("1-1"), "what only has one inside stays as it is"


def test_lists_and_objects_are_json() -> None:
    rows = [{"a": [25, None, "ä"], "b": {"z": 1, "a": "x"}}]
    (found,) = csv.reader(io.StringIO(table_lines(TableFormat.CSV, COLUMNS, rows), newline=""))
    assert found == ['[25,null,"ä"]', '{"a":"x","z":1}']
