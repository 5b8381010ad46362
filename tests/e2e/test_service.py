"""The service as a whole: what its processes hold, how it starts, and how it stops."""

import asyncio
import signal
import socket
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import aiohttp
import psycopg
import pytest

from proxy.own_certificate import CertificateFiles, ensure_certificate
from tests.support.cable import lay_cable
from tests.support.ports import free_port
from tests.support.service import (
    children,
    clean_environment,
    run_service,
    wait_for,
)
from tests.support.stage import DEV, PASSWORD, PROXY_KEY, REVIEWER, Stage

pytestmark = pytest.mark.newest

PEOPLE = (DEV, REVIEWER)


def _environment_of(pid: int) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(entry.decode().split("=", 1) for entry in entries if entry)


async def test_proxies_see_no_admin_secret(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """All secrets in the broker's environment: only the proxy's own reach its processes."""
    for name in ("LEDGER_SECRET", "ORDERS_ADMIN_SECRET", "PROXY_SECRET"):
        monkeypatch.setenv(name, PASSWORD)
    monkeypatch.setenv("PROXY_KEY", PROXY_KEY.key.hex())
    monkeypatch.setenv("SOMETHING_ELSE", "not the proxy's business")
    settings = stage.settings()
    settings["ledger"]["password"] = "env:LEDGER_SECRET"
    settings["ledger"]["proxy"]["password"] = "env:PROXY_SECRET"
    settings["keys"]["proxy_keys"]["k1"] = "env:PROXY_KEY"
    settings["targets"]["orders"]["admin"]["password"] = "env:ORDERS_ADMIN_SECRET"
    with run_service(stage, PEOPLE, **settings) as service:
        access = await service.get_access()
        with access.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        proxies = [*children(service.process.pid), *service.workers(), *service.shippers()]
        assert len(proxies) == 3
        for pid in proxies:
            names = set(_environment_of(pid))
            assert {"PROXY_SECRET", "PROXY_KEY"} <= names
            assert not {"LEDGER_SECRET", "ORDERS_ADMIN_SECRET", "SOMETHING_ELSE"} & names


async def test_a_refused_address_is_told_so_over_tls(stage: Stage) -> None:
    with run_service(stage, PEOPLE, proxy={"networks": {"allow": ["192.0.2.0/24"]}}) as service:
        access = await service.get_access()
        with pytest.raises(psycopg.OperationalError) as refusal:
            access.connect()
    said = str(refusal.value)
    assert "FATAL:  no access from this address" in said
    assert "DETAIL:  Your address is 127.0.0.1." in said


async def test_the_operators_own_certificate_is_shown_to_clients(stage: Stage) -> None:
    files = CertificateFiles(
        *(stage.folder / f"own-{name}.pem" for name in ("leaf", "key", "root"))
    )
    ensure_certificate(files, ["localhost"], datetime.now(UTC))
    tls = {
        "certificate": files.certificate.name,
        "key": files.key.name,
        "root_certificate": files.root.name,
    }
    with run_service(stage, PEOPLE, proxy={"tls": tls}) as service:
        access = await service.get_access()
        assert access.root.read_text() == files.root.read_text()
        with access.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert list((stage.folder / "state").glob("proxy*")) == []


async def test_a_cancel_reaches_its_query_through_any_worker(stage: Stage) -> None:
    """The kernel gives a cancel request to either worker, the query runs on one of them."""
    with run_service(stage, PEOPLE, proxy={"workers": 2}) as service:
        await asyncio.to_thread(wait_for, lambda: len(service.workers()) == 2)
        access = await service.get_access()
        loop = asyncio.get_running_loop()
        with access.connect() as connection:
            for _ in range(8):
                running = loop.run_in_executor(None, connection.execute, "SELECT pg_sleep(34)")
                await service.until_a_backend_runs("SELECT pg_sleep(34)", running)
                await loop.run_in_executor(None, connection.cancel_safe)
                with pytest.raises(psycopg.errors.QueryCanceled):
                    await running


async def test_without_a_ledger_nobody_comes_in_and_nobody_is_thrown_out(stage: Stage) -> None:
    """And what could not be written down is, once it is back."""
    with lay_cable(stage.server.host, stage.server.port) as cable:
        ledger = {**stage.settings()["ledger"], "port": cable.port}
        with run_service(stage, PEOPLE, ledger=ledger) as service:
            access = await service.get_access()
            with access.connect() as connection:
                cable.cut()
                with pytest.raises(psycopg.OperationalError, match="cannot be checked"):
                    access.connect()
                assert connection.execute("SELECT 1").fetchone() == (1,)
            cable.mend()

            async def reason() -> str | None:
                found: str | None = await stage.query_ledger(
                    "SELECT end_reason FROM curfew.sessions"
                )
                return found

            async with asyncio.timeout(20):
                while await reason() is None:
                    await asyncio.sleep(0.05)
            assert await reason() == "closed by the client"
            with access.connect() as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)


async def test_a_grant_that_ends_while_a_proxy_is_deaf_ends_its_sessions_all_the_same(
    stage: Stage,
) -> None:
    """The notification is lost with the connection; the proxy looks again when it is back."""
    with lay_cable(stage.server.host, stage.server.port) as cable:
        ledger = {**stage.settings()["ledger"], "port": cable.port}
        with run_service(stage, PEOPLE, ledger=ledger) as service:
            access = await service.get_access()
            with access.connect() as connection:
                cable.cut()
                await stage.query_ledger(
                    "UPDATE curfew.grants SET state = 'revoking', end_reason = 'revoked', "
                    "ended_by = 'somebody', next_attempt_at = now() + interval '1 hour'"
                )
                cable.mend()
                with pytest.raises(psycopg.errors.AdminShutdown, match="was revoked by somebody"):
                    connection.execute("SELECT pg_sleep(30)")


async def test_a_target_that_is_down_at_start_stops_nothing_else(stage: Stage) -> None:
    settings = stage.settings()
    down = {**settings["targets"]["orders"], "port": 1}
    targets = {**settings["targets"], "asleep": down}
    with run_service(stage, PEOPLE, targets=targets) as service:
        access = await service.get_access()
        with access.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        async with aiohttp.ClientSession() as session:
            ready = await (await session.get(f"{service.api_url}/readyz")).json()
        log = service.log.read_text()
    assert ready["ledger"] == "ok"
    assert ready["targets"] == {"orders": "ok", "asleep": "unreachable"}
    assert "target 'asleep' cannot be reached" in log


async def test_the_proxies_leave_when_the_broker_is_killed(stage: Stage) -> None:
    with run_service(stage, PEOPLE) as service:
        await asyncio.to_thread(wait_for, service.shippers)
        pids = [*children(service.process.pid), *service.workers(), *service.shippers()]
        assert len(pids) == 3
        service.process.kill()
        service.process.wait()
        for pid in pids:
            await asyncio.to_thread(wait_for, partial(_is_gone, pid))


async def test_stopping_drains_and_tells_who_is_left(stage: Stage) -> None:
    with run_service(stage, PEOPLE) as service:
        access = await service.get_access()
        with access.connect() as connection:
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(None, connection.execute, "SELECT pg_sleep(33)")
            await service.until_a_backend_runs("SELECT pg_sleep(33)", running)
            service.process.send_signal(signal.SIGTERM)
            with pytest.raises(psycopg.errors.AdminShutdown, match="shutting down"):
                await running
        assert service.process.wait(20) == 0
        reason = await service.stage.query_ledger("SELECT end_reason FROM curfew.sessions")
        assert reason == "shutdown"


async def test_a_taken_port_ends_the_start_with_the_reason(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stage.write_settings(
            proxy={"listen": f"127.0.0.1:{port}"}, api={"listen": f"127.0.0.1:{free_port()}"}
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "api", "serve"),
            env={**clean_environment(), "PGCURFEW_CONFIG": str(stage.config)},
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await asyncio.wait_for(process.communicate(), 40)
    assert process.returncode == 1
    assert f"proxy.listen: cannot listen on 127.0.0.1:{port}" in said.decode()
    assert "Traceback" not in said.decode()


async def test_a_proxy_may_do_in_the_ledger_only_what_it_must(stage: Stage) -> None:
    connection = await stage.server.connect(
        stage.ledger_database, user="curfew_proxy", password=PASSWORD
    )
    try:
        for forbidden in (
            "SELECT * FROM curfew.tokens",
            "SELECT * FROM curfew.grants",
            "UPDATE curfew.grants SET state = 'active'",
            "UPDATE curfew.logins SET stored_key = NULL",
            "SELECT * FROM curfew.audit_events",
            "DELETE FROM curfew.sessions",
            "CREATE TABLE curfew.mine (id int)",
        ):
            with pytest.raises(Exception, match="permission denied"):
                await connection.execute(forbidden)
    finally:
        await connection.close()


def _is_gone(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True
