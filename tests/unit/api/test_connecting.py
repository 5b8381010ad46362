"""What people paste into their clients says the same, whatever names and secrets are made of."""

import ast
import json
import shlex
from dataclasses import replace
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg.conninfo
import pytest

from api.connecting import (
    SYSTEM,
    Connection,
    Way,
    jdbc_url,
    keep_root,
    keywords,
    pgpass,
    psql,
    service,
    uri,
    ways,
)

PLAIN = Connection(
    host="db.example.com",
    port=6432,
    dbname="orders",
    user="jit_dev_reader_1",
    stable_user="dev.orders.reader",
    sslmode="verify-full",
    password="S3CRET",
)
ODD = replace(
    PLAIN,
    host="2001:db8::1",
    dbname="old 'orders'/\\:?%&#|é\"$x`",
    stable_user="dev.orders.odd role",
    root="/home/dev/my roots/a&b.pem",
    password="p'w\\:@/ %\"$",
)
BOTH = pytest.mark.parametrize("to", [PLAIN, ODD], ids=["plain", "odd"])


def _way(to: Connection, way_id: str) -> Way:
    (found,) = (each for each in ways(to) if each.id == way_id)
    return found


def _libpq(to: Connection, user: str | None = None) -> dict[str, str]:
    values = {
        "host": to.host,
        "port": str(to.port),
        "dbname": to.dbname,
        "user": user or to.user,
        "sslmode": to.sslmode,
    }
    return values | ({"sslrootcert": to.root} if to.root else {})


def test_usual_names_need_no_quotes() -> None:
    assert psql(PLAIN) == (
        "PGPASSWORD=S3CRET psql "
        "'postgresql://jit_dev_reader_1@db.example.com:6432/orders?sslmode=verify-full'"
    )
    assert keywords(replace(PLAIN, password=None)) == (
        "host=db.example.com port=6432 dbname=orders user=jit_dev_reader_1 sslmode=verify-full"
    )
    assert pgpass(PLAIN, "S3CRET") == "db.example.com:6432:orders:dev.orders.reader:S3CRET"
    assert jdbc_url(PLAIN, PLAIN.user) == (
        "jdbc:postgresql://db.example.com:6432/orders"
        "?user=jit_dev_reader_1&password=S3CRET&sslmode=verify-full"
    )


@BOTH
def test_libpq_reads_both_forms_as_they_were_meant(to: Connection) -> None:
    """By libpq itself, which psycopg brings along."""
    expected = _libpq(to) | {"password": to.password}
    assert psycopg.conninfo.conninfo_to_dict(uri(to)) == expected
    assert psycopg.conninfo.conninfo_to_dict(keywords(to)) == expected


@BOTH
def test_a_shell_reads_the_psql_line_and_the_variables_as_they_were_meant(to: Connection) -> None:
    secret, program, address = shlex.split(psql(to))
    assert (secret, program) == (f"PGPASSWORD={to.password}", "psql")
    assert psycopg.conninfo.conninfo_to_dict(address) == _libpq(to)
    shell, power = _way(to, "environment").texts
    words = shlex.split(shell.text)
    assert f"PGDATABASE={to.dbname}" in words
    assert f"PGPASSWORD={to.password}" in words
    assert "$env:PGDATABASE = '" + to.dbname.replace("'", "''") + "'" in power.text.splitlines()


@BOTH
def test_a_password_file_keeps_colons_and_backslashes_apart(to: Connection) -> None:
    fields = [""]
    escaped = False
    for character in pgpass(to, str(to.password)):
        if character == ":" and not escaped:
            fields.append("")
        elif character == "\\" and not escaped:
            escaped = True
            continue
        else:
            fields[-1] += character
        escaped = False
    assert fields == [to.host, str(to.port), to.dbname, to.stable_user, to.password]


@BOTH
def test_a_service_has_a_plain_name_the_stable_user_and_no_secret(to: Connection) -> None:
    head, *lines = service(to).splitlines()
    assert head == "[" + to.stable_user.replace(" ", "-") + "]"
    assert dict(line.split("=", 1) for line in lines) == _libpq(to, to.stable_user)
    assert _way(to, "service").texts[1].text == f"psql service={head[1:-1]}"


@BOTH
def test_python_reads_the_snippets_as_they_were_meant(to: Connection) -> None:
    values = _keyword_arguments(_way(to, "psycopg").texts[0].text, "connect")
    assert values == _libpq(to) | {"password": to.password, "port": to.port}
    values = _keyword_arguments(_way(to, "sqlalchemy").texts[0].text, "create")
    assert (values["database"], values["password"]) == (to.dbname, to.password)
    assert values["query"] == {"sslmode": "verify-full"} | (
        {"sslrootcert": to.root} if to.root else {}
    )


def _keyword_arguments(text: str, function: str) -> dict[str, object]:
    (call,) = (
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == function
    )
    return {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}


@BOTH
def test_a_jdbc_url_is_escaped_as_the_driver_unescapes_it(to: Connection) -> None:
    parts = urlsplit(jdbc_url(to, to.stable_user).removeprefix("jdbc:"))
    assert (parts.hostname, parts.port, unquote(parts.path[1:])) == (to.host, to.port, to.dbname)
    found = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert found["user"] == to.stable_user
    assert found["password"] == to.password


def test_what_a_client_cannot_be_told_in_a_text_is_told_by_its_fields() -> None:
    """DBeaver splits at every bar, and SQLAlchemy before 2.1 takes a database's name as it is."""
    assert _way(ODD, "dbeaver").texts == ()
    assert len(_way(ODD, "sqlalchemy").texts) == 1
    assert ("Password", ODD.password) in _way(ODD, "dbeaver").fields
    (line,) = _way(PLAIN, "dbeaver").texts
    program, option, told = shlex.split(line.text)
    assert (program, option) == ("dbeaver", "-con")
    assert told == (
        "name=dev.orders.reader|driver=postgresql|host=db.example.com|port=6432|database=orders|"
        "user=dev.orders.reader|password=S3CRET|prop.sslmode=verify-full|save=true|connect=true"
    )


def test_pgadmin_imports_a_server_with_its_certificate_and_without_the_secret() -> None:
    server = json.loads(_way(ODD, "pgadmin").texts[0].text)["Servers"]["1"]
    assert (server["MaintenanceDB"], server["Username"]) == (ODD.dbname, ODD.stable_user)
    assert server["ConnectionParameters"] == {"sslmode": "verify-full", "sslrootcert": ODD.root}


def test_without_a_secret_no_text_pretends_to_have_one() -> None:
    for way in ways(replace(ODD, password=None)):
        said = "".join(each.text for each in way.texts) + str(way.fields)
        assert "password" not in said.replace("Password", "").lower()
        assert "None" not in said


def test_who_trusts_the_system_does_so_in_every_client() -> None:
    to = replace(PLAIN, root=SYSTEM)
    assert uri(to).endswith("&sslrootcert=system")
    assert jdbc_url(to, to.user).endswith("&sslfactory=org.postgresql.ssl.DefaultJavaSSLFactory")
    assert "system" not in _way(to, "pgadmin").texts[0].text
    assert ("Root certificate", "the file of certificates that your system trusts") in (
        _way(to, "pgadmin").fields
    )


def test_a_root_certificate_is_added_to_those_that_are_there() -> None:
    assert keep_root("CERTIFICATE") == keep_root("CERTIFICATE\n")
    assert ">> ~/.postgresql/root.crt <<'PEM'\nCERTIFICATE\nPEM" in keep_root("CERTIFICATE")


def test_secrets_do_not_show_in_a_representation() -> None:
    assert "S3CRET" not in f"{PLAIN}{ways(PLAIN)}"
