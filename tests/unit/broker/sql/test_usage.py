"""Which privileges on tables statements need."""

import pytest

from broker.sql.usage import Unparsable, uses_of


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("SELECT 1", ""),
        ("TABLE a", "SELECT a"),
        ("SELECT * FROM a JOIN s.b ON EXISTS (TABLE c)", "SELECT a, SELECT s.b, SELECT c"),
        ("SELECT 1 UNION SELECT 1 FROM a", "SELECT a"),
        ("SELECT * FROM a FOR UPDATE", "SELECT a, UPDATE a"),
        ("SELECT * INTO b FROM a", "SELECT a"),
        ("WITH a AS (SELECT * FROM a), b AS (SELECT * FROM a) TABLE b", "SELECT a"),
        ("WITH RECURSIVE a AS (SELECT 1 UNION TABLE a) SELECT * FROM a, s.a", "SELECT s.a"),
        ("WITH a AS (SELECT 1) SELECT * FROM a FOR UPDATE", ""),
        ("SELECT (WITH a AS (TABLE b) TABLE a) FROM a", "SELECT a, SELECT b"),
        ("WITH a AS (DELETE FROM a) SELECT 1", "DELETE a"),
        ("INSERT INTO a VALUES ((SELECT max(x) FROM b))", "INSERT a, SELECT b"),
        ("INSERT INTO a SELECT x FROM b", "INSERT a, SELECT b"),
        ("INSERT INTO a VALUES (1) RETURNING x", "INSERT a, SELECT a"),
        ("INSERT INTO a VALUES (1) ON CONFLICT DO NOTHING", "INSERT a"),
        (
            "INSERT INTO a VALUES (1) ON CONFLICT (x) DO UPDATE SET x = 2",
            "INSERT a, UPDATE a, SELECT a",
        ),
        ("UPDATE a SET x = 1", "UPDATE a"),
        ("UPDATE a SET x = x + 1", "UPDATE a, SELECT a"),
        ("UPDATE s.a SET x = 1 FROM b WHERE y = 2", "UPDATE s.a, SELECT s.a, SELECT b"),
        ("DELETE FROM a", "DELETE a"),
        ("DELETE FROM a USING b WHERE x = y", "DELETE a, SELECT a, SELECT b"),
        (
            "MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE "
            "WHEN NOT MATCHED THEN INSERT VALUES (1)",
            "DELETE a, INSERT a, SELECT a, SELECT b",
        ),
        ("MERGE INTO a USING b ON true WHEN MATCHED THEN DO NOTHING", "SELECT a, SELECT b"),
        ("TRUNCATE a, s.b", "TRUNCATE a, TRUNCATE s.b"),
        ("COPY a FROM STDIN", "INSERT a"),
        ("COPY a TO STDOUT", "SELECT a"),
        ("COPY (TABLE a) TO STDOUT", "SELECT a"),
        ("EXPLAIN TABLE a", "SELECT a"),
        ("PREPARE p AS DELETE FROM a", "DELETE a"),
        ("DECLARE c CURSOR FOR TABLE a", "SELECT a"),
        ("CREATE TABLE b AS TABLE a", "SELECT a"),
        ("CREATE VIEW b AS TABLE a", "SELECT a"),
        (
            "CREATE TABLE b (x int REFERENCES a, FOREIGN KEY (x) REFERENCES s.c)",
            "REFERENCES a, REFERENCES s.c",
        ),
        ("CREATE TABLE b (LIKE a)", ""),
        ("CREATE SCHEMA s CREATE VIEW b AS TABLE a", "SELECT a"),
        ("CREATE TRIGGER t BEFORE INSERT ON a EXECUTE FUNCTION f()", "TRIGGER a"),
        ("DROP TABLE a; VACUUM a; ALTER TABLE a ADD b int", ""),
        ("SELECT * FROM a; DELETE FROM b", "SELECT a, DELETE b"),
    ],
)
def test_a_statement_needs_these(text: str, uses: str) -> None:
    found = {
        f"{each.privilege} {each.schema + '.' if each.schema else ''}{each.name}"
        for each in uses_of(text)
    }
    assert found == (set(uses.split(", ")) if uses else set())


def test_what_cannot_be_parsed_is_for_the_caller_to_count() -> None:
    with pytest.raises(Unparsable):
        uses_of("SELECT FROM FROM")
