"""A real client of the proxy: the machine's psql, or a driver with its own libpq.

Both verify the proxy's certificate and name (verify-full). The embedded psql knows no TLS, so a
machine without a psql of its own uses psycopg, whose wheel brings a libpq that does.
"""

import os
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psycopg

from api.schemas import CredentialView

_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client printed. `error` is empty if all went well."""

    output: str
    error: str = ""


class SqlClient(Protocol):
    @property
    def name(self) -> str: ...

    def run(self, sql: str, **overrides: str) -> Answer:
        """Run one statement. `overrides` replace connection parameters, by libpq's names."""


class Psql:
    """The machine's own psql."""

    def __init__(self, path: str, parameters: dict[str, str]) -> None:
        self._path = path
        self._parameters = parameters
        version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)  # noqa: S603
        self.name = version.stdout.strip()

    def run(self, sql: str, **overrides: str) -> Answer:
        parameters = {**self._parameters, **overrides}
        conninfo = " ".join(
            f"{name}='{value}'" for name, value in parameters.items() if name != "password"
        )
        done = subprocess.run(  # noqa: S603
            [self._path, "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", conninfo, "-c", sql],
            env={**os.environ, "PGPASSWORD": parameters["password"]},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        return Answer(done.stdout.strip(), done.stderr.strip() if done.returncode else "")


class Driver:
    """psycopg with the libpq of its own wheel."""

    name = (
        f"psycopg {psycopg.__version__} "
        f"with libpq {psycopg.pq.version_pretty(psycopg.pq.version())}"
    )

    def __init__(self, parameters: dict[str, str]) -> None:
        self._parameters = parameters

    def run(self, sql: str, **overrides: str) -> Answer:
        try:
            with psycopg.connect(
                psycopg.conninfo.make_conninfo("", **{**self._parameters, **overrides}),
                autocommit=True,
            ) as connection:
                cursor = connection.execute(sql.encode())
                rows = cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            return Answer("", str(error).strip())
        return Answer("\n".join("|".join(str(value) for value in row) for row in rows))


def find_client(credential: CredentialView, root: Path) -> SqlClient:
    """Return the machine's psql if it knows TLS, else the driver, with verify-full."""
    root.write_text(credential.root_certificate)
    parameters = {
        "host": credential.host,
        "port": str(credential.port),
        "user": credential.user,
        "password": credential.password,
        "dbname": credential.dbname,
        "sslmode": "verify-full",
        "sslrootcert": str(root),
        "connect_timeout": "10",
    }
    path = shutil.which("psql")
    if path is not None:
        psql = Psql(path, parameters)
        if "not compiled in" not in psql.run("SELECT 1").error:
            return psql
    return Driver(parameters)


class Background:
    """A statement that runs while something else happens."""

    def __init__(self, client: SqlClient, sql: str) -> None:
        self._answer: Answer | None = None

        def run() -> None:
            self._answer = client.run(sql)

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def wait(self) -> Answer:
        self._thread.join(_TIMEOUT_S)
        return self._answer or Answer("", "it never ended")
