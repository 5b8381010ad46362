"""How a client is told where to connect and as whom: a text, or what to type, for each of them.

All of it follows from the same few values, which are quoted here as each client reads them. Nothing
else is decided: a text without a secret is for who has yet to take one.
"""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote

SYSTEM = "system"
"""A root certificate: whatever the client's own system trusts."""

ROOT_FILE = "~/.postgresql/root.crt"
"""Where libpq and the JDBC driver look for root certificates if nothing names another file.
https://www.postgresql.org/docs/current/libpq-ssl.html"""
WINDOWS_ROOT_FILE = r"%APPDATA%\postgresql\root.crt"

_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
_JAVA_TRUST = "org.postgresql.ssl.DefaultJavaSSLFactory"


class Secret(Protocol):
    """Where to connect and as whom. `root_certificate` is PEM text, "system", or empty."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def user(self) -> str: ...
    @property
    def password(self) -> str: ...
    @property
    def dbname(self) -> str: ...
    @property
    def sslmode(self) -> str: ...
    @property
    def root_certificate(self) -> str: ...


class Shown(Secret, Protocol):
    """What is shown with a secret; see api.schemas.CredentialView."""

    @property
    def stable_user(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """`stable_user` is for what is saved, `user` for what is used once. `root` is a file of root
    certificates, "system", or empty: where clients look by themselves."""

    host: str
    port: int
    dbname: str
    user: str
    stable_user: str
    sslmode: str
    root: str = ""
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Text:
    """Something to copy; `label` says where it goes."""

    label: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One client: texts to copy, and what to type into which field where it has a form."""

    id: str
    name: str
    texts: tuple[Text, ...] = ()
    fields: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    hint: str = ""


def connection_of(shown: Shown) -> Connection:
    """Return how to connect with a secret that was just shown, its root certificate being where
    clients look by themselves."""
    return Connection(
        host=shown.host,
        port=shown.port,
        dbname=shown.dbname,
        user=shown.user,
        stable_user=shown.stable_user,
        sslmode=shown.sslmode,
        root=SYSTEM if shown.root_certificate == SYSTEM else "",
        password=shown.password,
    )


def ways(to: Connection) -> tuple[Way, ...]:
    """Return every client that we know how to help, the most common first."""
    return (
        Way(id="psql", name="psql", texts=(Text("In a terminal", psql(to)),)),
        _dbeaver(to),
        _pgadmin(to),
        _datagrip(to),
        _jdbc(to),
        _psycopg(to),
        _sqlalchemy(to),
        _service(to),
        _pgpass(to),
        _environment(to),
        _dsn(to),
    )


def uri(to: Connection, *, user: str | None = None, with_password: bool = True) -> str:
    """Return a connection URI, as libpq reads it."""
    secret = f":{_escaped(to.password)}" if with_password and to.password is not None else ""
    return f"postgresql://{_escaped(user or to.user)}{secret}@{_where(to)}?{_query(_options(to))}"


def psql(to: Connection) -> str:
    """Return a line for a shell; without a secret, psql asks for it."""
    line = f"psql {shlex.quote(uri(to, with_password=False))}"
    return line if to.password is None else f"PGPASSWORD={shlex.quote(to.password)} {line}"


def keywords(to: Connection) -> str:
    """Return libpq's other form, of keywords and values."""
    return " ".join(f"{name}={_conninfo(value)}" for name, value in _libpq(to, to.user))


def pgpass(to: Connection, password: str) -> str:
    """Return the line of a password file for connections that are saved."""
    parts = (to.host, str(to.port), to.dbname, to.stable_user, password)
    return ":".join(part.replace("\\", r"\\").replace(":", r"\:") for part in parts)


def service_name(to: Connection) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", to.stable_user)


def service(to: Connection) -> str:
    """Return a section of a service file. Its values are taken as they are, to the line's end."""
    lines = (f"{name}={value}" for name, value in _libpq(to, to.stable_user, secret=False))
    return "\n".join((f"[{service_name(to)}]", *lines))


def jdbc_url(to: Connection, user: str, *, with_password: bool = True) -> str:
    """https://jdbc.postgresql.org/documentation/use/"""
    named = {"user": user}
    if with_password and to.password is not None:
        named["password"] = to.password
    return f"jdbc:postgresql://{_where(to)}?{_query({**named, **_java_options(to)})}"


def keep_root(pem: str) -> str:
    """Return lines for a shell that put a root certificate to where clients look for it."""
    text = pem if pem.endswith("\n") else f"{pem}\n"
    return f"mkdir -p ~/.postgresql && cat >> {ROOT_FILE} <<'PEM'\n{text}PEM"


def _dbeaver(to: Connection) -> Way:
    # https://dbeaver.com/docs/dbeaver/Command-Line/
    values = {
        "name": to.stable_user,
        "driver": "postgresql",
        "host": to.host,
        "port": str(to.port),
        "database": to.dbname,
        "user": to.stable_user,
        **({"password": to.password} if to.password is not None else {}),
        **{f"prop.{name}": value for name, value in _java_options(to).items()},
        "save": "true",
        "connect": "true" if to.password is not None else "false",
    }
    specification = "|".join(f"{name}={value}" for name, value in values.items())
    told = specification.count("|") == len(values) - 1  # nothing quotes one within a value
    line = f"dbeaver -con {shlex.quote(specification)}"
    return Way(
        id="dbeaver",
        name="DBeaver",
        texts=(Text("In a terminal: makes the connection and saves it", line),) if told else (),
        fields=(
            ("Connect by", "URL"),
            ("URL", jdbc_url(to, to.stable_user, with_password=False)),
            *_typed(to),
        ),
        hint="Or by hand: Database, New Database Connection, PostgreSQL.",
    )


def _pgadmin(to: Connection) -> Way:
    # https://www.pgadmin.org/docs/pgadmin4/latest/import_export_servers.html
    root = {"sslrootcert": to.root} if to.root not in ("", SYSTEM) else {}
    server = {
        "Name": to.stable_user,
        "Group": "pgcurfew",
        "Host": to.host,
        "Port": to.port,
        "MaintenanceDB": to.dbname,
        "Username": to.stable_user,
        "ConnectionParameters": {"sslmode": to.sslmode, **root},
    }
    kept = "the file of certificates that your system trusts" if to.root == SYSTEM else to.root
    return Way(
        id="pgadmin",
        name="pgAdmin",
        texts=(
            Text(
                "Save as servers.json, then Tools, Import/Export Servers",
                json.dumps({"Servers": {"1": server}}, indent=2, ensure_ascii=False),
            ),
        ),
        fields=(
            ("Host name/address", to.host),
            ("Port", str(to.port)),
            ("Maintenance database", to.dbname),
            *_typed(to),
            ("SSL mode", to.sslmode),
            *((("Root certificate", kept),) if kept else ()),
        ),
        hint="Or by hand: Register, Server; the SSL mode is under Parameters. pgAdmin asks for the "
        "password when it connects.",
    )


def _datagrip(to: Connection) -> Way:
    return Way(
        id="datagrip",
        name="DataGrip",
        texts=(
            Text("New, Data Source from URL", jdbc_url(to, to.stable_user, with_password=False)),
        ),
        fields=(("Authentication", "User & Password"), *_typed(to)),
        hint="The same in every JetBrains IDE with database tools.",
    )


def _jdbc(to: Connection) -> Way:
    return Way(id="jdbc", name="JDBC", texts=(Text("URL", jdbc_url(to, to.user)),))


def _psycopg(to: Connection) -> Way:
    values = {**dict(_libpq(to, to.user)), "port": to.port}
    arguments = "".join(f"    {name}={_literal(value)},\n" for name, value in values.items())
    text = f"import psycopg\n\nconnection = psycopg.connect(\n{arguments})"
    return Way(id="psycopg", name="psycopg", texts=(Text("In Python", text),))


def _sqlalchemy(to: Connection) -> Way:
    secret = {} if to.password is None else {"password": to.password}
    values = {
        "username": to.user,
        **secret,
        "host": to.host,
        "port": to.port,
        "database": to.dbname,
    }
    arguments = "".join(f"    {name}={_literal(value)},\n" for name, value in values.items())
    text = (
        "import sqlalchemy\n\nurl = sqlalchemy.URL.create(\n"
        f'    "postgresql+psycopg",\n{arguments}    query={_literal(_options(to))},\n)\n'
        "engine = sqlalchemy.create_engine(url)"
    )
    url = uri(to).replace("postgresql://", "postgresql+psycopg://", 1)
    # Before 2.1 it takes the name of the database from a URL as it stands there.
    told = (Text("As a URL", url),) if _PLAIN.fullmatch(to.dbname) else ()
    return Way(id="sqlalchemy", name="SQLAlchemy", texts=(Text("In Python", text), *told))


def _service(to: Connection) -> Way:
    return Way(
        id="service",
        name="pg_service.conf",
        texts=(
            Text("Into ~/.pg_service.conf", service(to)),
            Text("Then", f"psql service={service_name(to)}"),
        ),
        hint="It stays as it is from grant to grant. The password goes into .pgpass, or is asked "
        "for.",
    )


def _pgpass(to: Connection) -> Way:
    if to.password is None:
        return Way(id="pgpass", name=".pgpass", hint="A line with the secret, once you take one.")
    return Way(
        id="pgpass",
        name=".pgpass",
        texts=(Text("Into ~/.pgpass, a file that only you can read", pgpass(to, to.password)),),
        hint="Take out the line of an earlier secret: the first one that fits is used. On Windows "
        r"the file is %APPDATA%\postgresql\pgpass.conf.",
    )


def _environment(to: Connection) -> Way:
    values = {_VARIABLES[name]: value for name, value in _libpq(to, to.user)}
    shell = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in values.items())
    power = "\n".join(f"$env:{name} = {_powershell(value)}" for name, value in values.items())
    return Way(
        id="environment",
        name="Environment variables",
        texts=(Text("For a shell", shell), Text("For PowerShell", power)),
        hint="For psql, pg_dump and everything else that uses libpq.",
    )


def _dsn(to: Connection) -> Way:
    return Way(
        id="dsn",
        name="DSN",
        texts=(Text("As a URI", uri(to)), Text("As keywords and values", keywords(to))),
    )


_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
}


def _libpq(to: Connection, user: str, *, secret: bool = True) -> Iterator[tuple[str, str]]:
    yield "host", to.host
    yield "port", str(to.port)
    yield "dbname", to.dbname
    yield "user", user
    if secret and to.password is not None:
        yield "password", to.password
    yield from _options(to).items()


def _options(to: Connection) -> dict[str, str]:
    return {"sslmode": to.sslmode, **({"sslrootcert": to.root} if to.root else {})}


def _java_options(to: Connection) -> dict[str, str]:
    if to.root == SYSTEM:
        return {"sslmode": to.sslmode, "sslfactory": _JAVA_TRUST}
    return _options(to)


def _typed(to: Connection) -> tuple[tuple[str, str], ...]:
    secret = to.password if to.password is not None else "the secret, once you take one"
    return ("Username", to.stable_user), ("Password", secret)


def _where(to: Connection) -> str:
    host = f"[{to.host}]" if ":" in to.host else to.host
    return f"{host}:{to.port}/{_escaped(to.dbname)}"


def _query(options: dict[str, str]) -> str:
    return "&".join(f"{name}={quote(value, safe='/~')}" for name, value in options.items())


def _escaped(text: str | None) -> str:
    return quote(text or "", safe="")


def _conninfo(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", r"\\").replace("'", r"\'")
    return f"'{escaped}'"


def _literal(value: object) -> str:
    """Return a value as Python reads it: JSON's strings, numbers and objects of strings are."""
    return json.dumps(value, ensure_ascii=False)


def _powershell(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
