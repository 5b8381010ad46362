"""Of what kinds statements are."""

import re
from pathlib import Path

import pytest
from postgast.pg_query_pb2 import Node

from broker.domain.statement.conditions import StatementKind as Kind
from broker.sql.kinds import Parsed, TransactionVerb, Unparsable, statements_of
from broker.sql.statement_table import NEVER_ALONE, TABLE

_PAGE = Path(__file__).parents[4] / "docs" / "statement-kinds.md"
_ROW = re.compile(r"^\| `(\w+)` \| .* \| `(.*)` \|$", re.MULTILINE)


def one(text: str) -> Parsed:
    [parsed] = statements_of(text)
    return parsed


def test_every_statement_of_the_grammar_is_in_the_table() -> None:
    grammar = {each.name for each in Node.DESCRIPTOR.fields if each.name.endswith("_stmt")}
    assert grammar == (set(TABLE) - {"common_table_expr"}) | NEVER_ALONE
    assert not set(TABLE) & NEVER_ALONE


@pytest.mark.parametrize(("kind", "text"), _ROW.findall(_PAGE.read_text()))
def test_an_example_of_the_page_is_of_its_kind(kind: str, text: str) -> None:
    assert Kind(kind) in one(text).kinds


def test_the_page_has_every_kind() -> None:
    assert {kind for kind, _ in _ROW.findall(_PAGE.read_text())} == {each.value for each in Kind}


_DELETE = {Kind.WRITE, Kind.DELETE, Kind.UNBOUNDED_WRITE}


@pytest.mark.parametrize(
    ("text", "kinds", "changes"),
    [
        ("SELECT 1", set(), False),
        ("SELECT 1 UNION SELECT 2 UNION SELECT 3", set(), False),
        ("SELECT 1 INTO t", {Kind.WRITE}, True),
        ("SELECT 1 INTO t UNION SELECT 2", {Kind.WRITE}, True),
        ("CREATE TABLE t AS SELECT 1", {Kind.DDL, Kind.WRITE}, True),
        ("CREATE TABLE t AS EXECUTE p", {Kind.DDL, Kind.WRITE}, True),
        ("CREATE MATERIALIZED VIEW t AS SELECT 1", {Kind.DDL, Kind.WRITE}, True),
        ("REFRESH MATERIALIZED VIEW t", {Kind.MAINTENANCE, Kind.WRITE}, True),
        ("INSERT INTO t SELECT 1 ON CONFLICT DO NOTHING", {Kind.WRITE}, True),
        ("UPDATE t SET a = 1 WHERE true", {Kind.WRITE}, True),
        ("UPDATE t SET a = 1 WHERE CURRENT OF c", {Kind.WRITE}, True),
        ("UPDATE t SET a = 1", {Kind.WRITE, Kind.UNBOUNDED_WRITE}, True),
        ("DELETE FROM t", _DELETE, True),
        ("TRUNCATE t", _DELETE, True),
        (
            "MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE",
            {Kind.WRITE, Kind.DELETE},
            True,
        ),
        ("MERGE INTO t USING u ON true WHEN MATCHED THEN DO NOTHING", {Kind.WRITE}, True),
        ("WITH a AS (DELETE FROM t) SELECT 1", _DELETE, True),
        ("WITH a AS (WITH b AS (DELETE FROM t) SELECT 1) SELECT 1", _DELETE, True),
        ("INSERT INTO t WITH a AS (DELETE FROM t) SELECT 1", _DELETE, True),
        ("EXPLAIN DELETE FROM t", _DELETE, False),
        ("EXPLAIN ANALYZE DELETE FROM t", _DELETE, True),
        ("EXPLAIN (VERBOSE, ANALYZE) EXECUTE p", set(), True),
        ("EXPLAIN CREATE TABLE t AS EXECUTE p", {Kind.DDL, Kind.WRITE}, False),
        ("PREPARE p AS DELETE FROM t", _DELETE, True),
        ("EXECUTE p", set(), True),
        ("DEALLOCATE p", set(), False),
        ("DECLARE c CURSOR FOR SELECT 1", set(), False),
        ("FETCH ALL FROM c", set(), False),
        ("COPY t FROM STDIN", {Kind.COPY, Kind.WRITE}, True),
        ("COPY t TO STDOUT", {Kind.COPY}, False),
        ("COPY t TO '/tmp/t'", {Kind.COPY, Kind.PROGRAM}, False),
        ("COPY t FROM PROGRAM 'x'", {Kind.COPY, Kind.PROGRAM, Kind.WRITE}, True),
        ("COPY (DELETE FROM t RETURNING *) TO STDOUT", {Kind.COPY, *_DELETE}, True),
        ("CREATE VIEW v AS SELECT 1", {Kind.DDL}, False),
        ("CREATE RULE r AS ON INSERT TO t DO ALSO DELETE FROM u", {Kind.DDL, *_DELETE}, False),
        (
            "CREATE SCHEMA s CREATE TABLE t (a int) GRANT SELECT ON t TO ann",
            {Kind.DDL, Kind.ROLE},
            False,
        ),
        ("ALTER TABLE t RENAME TO u", {Kind.DDL}, False),
        ("ALTER ROLE a RENAME TO b", {Kind.ROLE}, False),
        ("ALTER ROLE a PASSWORD 'x'", {Kind.ROLE, Kind.PASSWORD}, False),
        ("CREATE USER a LOGIN", {Kind.ROLE}, False),
        ("ALTER GROUP a ADD USER b", {Kind.ROLE}, False),
        ("ALTER ROLE a SET work_mem = 1", {Kind.ROLE, Kind.SETTING}, False),
        ("ALTER DATABASE d SET work_mem = 1", {Kind.DDL, Kind.SETTING}, False),
        (
            "CREATE USER MAPPING FOR a SERVER s OPTIONS (\"Password\" 'x')",
            {Kind.DDL, Kind.PASSWORD},
            False,
        ),
        ("REVOKE ALL ON t FROM a", {Kind.ROLE}, False),
        ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO a", {Kind.ROLE}, False),
        ("REASSIGN OWNED BY a TO b", {Kind.ROLE, Kind.DDL}, False),
        ("SET ROLE a", {Kind.SETTING}, False),
        ("SET LOCAL work_mem = 1", {Kind.SETTING}, False),
        ("RESET ALL", {Kind.SETTING}, False),
        ("DISCARD ALL", {Kind.SETTING}, False),
        ("DISCARD PLANS", set(), False),
        ("SET TRANSACTION READ ONLY", set(), False),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", {Kind.SETTING}, False),
        ("SET CONSTRAINTS ALL DEFERRED", set(), False),
        ("SHOW ALL", set(), False),
        ("DO 'begin end'", {Kind.PROCEDURE}, True),
        ("CALL p()", {Kind.PROCEDURE}, True),
        ("CREATE FUNCTION f() RETURNS void AS 'DELETE FROM t' LANGUAGE sql", {Kind.DDL}, False),
        ("LOAD 'x'", {Kind.PROGRAM}, False),
        ("ANALYZE", {Kind.MAINTENANCE}, False),
        ("LISTEN a", {Kind.LISTEN}, False),
    ],
)
def test_a_statement_is_of_these_kinds(text: str, kinds: set[Kind], changes: object) -> None:
    parsed = one(text)
    assert parsed.kinds == kinds
    assert parsed.changes_rows is changes


@pytest.mark.parametrize(
    ("text", "verb", "chain"),
    [
        ("BEGIN", TransactionVerb.BEGIN, False),
        ("START TRANSACTION READ ONLY", TransactionVerb.BEGIN, False),
        ("COMMIT", TransactionVerb.COMMIT, False),
        ("END WORK", TransactionVerb.COMMIT, False),
        ("COMMIT AND CHAIN", TransactionVerb.COMMIT, True),
        ("ABORT", TransactionVerb.ROLLBACK, False),
        ("ROLLBACK AND CHAIN", TransactionVerb.ROLLBACK, True),
        ("SAVEPOINT a", TransactionVerb.SAVEPOINT, False),
        ("RELEASE a", TransactionVerb.RELEASE, False),
        ("ROLLBACK TO a", TransactionVerb.ROLLBACK_TO, False),
        ("PREPARE TRANSACTION 'a'", TransactionVerb.PREPARE, False),
        ("COMMIT PREPARED 'a'", TransactionVerb.COMMIT_PREPARED, False),
        ("ROLLBACK PREPARED 'a'", TransactionVerb.ROLLBACK_PREPARED, False),
    ],
)
def test_what_a_statement_does_to_its_transaction(
    text: str, verb: TransactionVerb, chain: object
) -> None:
    parsed = one(text)
    assert (parsed.verb, parsed.chain, parsed.label) == (verb, chain, verb.value)
    prepared = Kind.PREPARED_TRANSACTION in parsed.kinds
    assert prepared == ("PREPARE" in verb)


@pytest.mark.parametrize(
    ("text", "is_counted"),
    [
        ("SELECT 1", True),
        ("UPDATE t SET a = 1", True),
        ("COPY t FROM STDIN", True),
        ("EXECUTE p", True),
        ("WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x", False),
        ("WITH x AS (DELETE FROM t) UPDATE t SET a = 1", False),
        ("COPY (DELETE FROM t RETURNING 1) TO STDOUT", False),
        ("CREATE TABLE u AS SELECT 1", False),
        ("CALL p()", False),
        ("TRUNCATE t", False),
    ],
)
def test_a_change_is_counted_if_its_tag_says_all_of_it(text: str, *, is_counted: bool) -> None:
    assert statements_of(text)[0].is_counted is is_counted


def test_the_statements_of_a_text_are_in_their_order() -> None:
    text = "BEGIN; /* ; */ INSERT INTO t VALUES (';');; COMMIT"
    assert [each.label for each in statements_of(text)] == ["BEGIN", "INSERT", "COMMIT"]
    assert statements_of(" ; -- nothing") == ()


def test_a_text_with_two_meanings_is_of_the_kinds_of_both() -> None:
    found = statements_of(r"SELECT '\'' ; DROP TABLE t; --'")
    assert [each.label for each in found] == ["SELECT", "SELECT", "DROP"]
    assert [each.label for each in statements_of(r"SELECT E'it\'s'")] == ["SELECT"]


def test_hundreds_of_unions_are_one_select() -> None:
    assert one("SELECT 1" + " UNION ALL SELECT 1" * 900).label == "SELECT"


def test_what_the_grammar_refuses_is_not_guessed_at() -> None:
    with pytest.raises(Unparsable):
        statements_of("SELECT 1; DELET FROM t")
