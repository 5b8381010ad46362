"""Clients that are not written in Python: node-postgres, postgres.js, JDBC and who builds on it."""

import shutil
import sysconfig
from pathlib import Path

import pytest

from tests.compatibility.clients.fetch import HERE, JDBC_DRIVER, can_be_fetched
from tests.compatibility.reports import Report, check, python_client

pytestmark = pytest.mark.newest

_INSTALLED_DRIVER = Path("/usr/share/java/postgresql.jar")  # Debian's and Ubuntu's package
_FEATURES = {
    "node-postgres": (
        "queries and prepared statements",
        "transactions",
        "LISTEN and NOTIFY",
        "a pool of four",
        "cancel",
        "SCRAM-SHA-256-PLUS (`enableChannelBinding`)",
    ),
    "postgres.js": (
        "queries, fifty at once on two connections",
        "transactions and savepoints",
        "cursors",
        "COPY both ways",
        "LISTEN and NOTIFY",
        "cancel",
    ),
    "JDBC driver": (
        "queries, prepared on the server from the fifth on",
        "batches",
        "rows in portions (`setFetchSize`)",
        "`CopyManager` both ways",
        "`currentSchema` and `options`",
        "`DatabaseMetaData`",
        "LISTEN and NOTIFY",
        "large objects",
        "`Statement.cancel()`",
    ),
    "DBeaver's and DataGrip's queries, over JDBC": (
        "DBeaver's start-up queries on three connections",
        "DataGrip's start-up queries on two connections",
    ),
}


@pytest.fixture
def command(request: pytest.FixtureRequest) -> tuple[str, ...]:
    match request.param:
        case "node-postgres":
            return _node("node_postgres.mjs")
        case "postgres.js":
            return _node("postgres_js.mjs")
        case _:
            return python_client("jdbc", str(_find_driver()))


def _node(script: str) -> tuple[str, ...]:
    if not (HERE / "node_modules").exists():
        _say_what_is_missing("the packages from npm")
    in_environment = Path(sysconfig.get_path("scripts")) / "node"
    node = str(in_environment) if in_environment.exists() else shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    return (node, str(HERE / script))


def _find_driver() -> Path:
    for driver in (JDBC_DRIVER, _INSTALLED_DRIVER):
        if driver.exists():
            return driver
    return _say_what_is_missing("the JDBC driver")


def _say_what_is_missing(what: str) -> Path:
    if can_be_fetched():
        pytest.fail(f"{what}: not here; `make test` fetches the clients (clients/fetch.py does)")
    pytest.skip(f"{what}: fetched for Linux on x64 only, and not installed")


@pytest.mark.parametrize(
    ("command", "feature"),
    [
        pytest.param(
            *(client, feature), marks=(pytest.mark.client(client), pytest.mark.feature(feature))
        )
        for client, features in _FEATURES.items()
        for feature in features
    ],
    indirect=["command"],
)
def test_client(report: Report, feature: str) -> None:
    check(report, feature)
