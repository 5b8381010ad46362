"""What psql, and everything else that uses libpq, needs in order to connect through the proxy."""

import re
from pathlib import Path

import typer

from api.connecting import Secret


def libpq_environment(connection: Secret) -> dict[str, str]:
    """Return libpq's variables. https://www.postgresql.org/docs/current/libpq-envars.html"""
    environment = {
        "PGHOST": connection.host,
        "PGPORT": str(connection.port),
        "PGUSER": connection.user,
        "PGPASSWORD": connection.password,
        "PGDATABASE": connection.dbname,
        "PGSSLMODE": connection.sslmode,
    }
    if root := root_file(connection):
        environment["PGSSLROOTCERT"] = root
    return environment


def root_file(connection: Secret) -> str:
    """Keep the certificate that vouches for the proxy where libpq can read it."""
    if connection.root_certificate in ("", "system"):
        return connection.root_certificate
    folder = Path(typer.get_app_dir("pgcurfew"))
    folder.mkdir(parents=True, exist_ok=True)
    # A ticket's file may come from anybody, and its host must not lead out of the folder.
    name = re.sub(r"[^A-Za-z0-9.-]", "_", connection.host)
    path = folder / f"{name}-{connection.port}.pem"
    path.write_text(connection.root_certificate)
    return str(path)
