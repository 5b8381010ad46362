"""libpq of every major: what most languages' drivers are made of."""

from pathlib import Path

import pytest

from tests.compatibility.reports import Report, check, python_client
from tests.support.servers import SUPPORTED

pytestmark = pytest.mark.newest

_SERVERS = Path(__file__).parents[1] / "postgresql" / "node_modules"
_SINCE = {
    "queries": 13,
    "COPY both ways": 13,
    "LISTEN and NOTIFY": 13,
    "cancel (`PQcancel`)": 13,
    "`channel_binding=require`": 13,
    "pipeline mode": 14,
    "cancel (`PQcancelBlocking`)": 17,
    "`sslnegotiation=direct`": 17,
    "protocol 3.2 only, both ways to cancel": 18,
}


@pytest.fixture
def command(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Return the command for the libpq that comes with npm's servers."""
    library = _SERVERS / f"postgresql-{request.param}" / "native" / "lib" / "libpq.so.5"
    if not library.exists():
        pytest.skip(f"libpq {request.param}: it is fetched for Linux on x64 only")
    return python_client("libpq", str(library))


@pytest.mark.parametrize(
    ("command", "feature"),
    [
        pytest.param(
            *(major, feature),
            marks=(pytest.mark.client(f"libpq {major}"), pytest.mark.feature(feature)),
        )
        for major in SUPPORTED
        for feature, since in _SINCE.items()
        if major >= since
    ],
    indirect=["command"],
)
def test_libpq(report: Report, feature: str) -> None:
    check(report, feature)
