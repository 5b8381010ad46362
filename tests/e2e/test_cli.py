"""The command line as people and scripts use it, against a running service."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.command_line import run_pgcurfew
from tests.support.ports import free_port
from tests.support.service import Service, clean_environment
from tests.support.settings_files import write_settings
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, Stage

pytestmark = pytest.mark.newest


async def _pgcurfew(
    service: Service, who: str, *arguments: str
) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(run_pgcurfew, service.environment(who), *arguments)


async def _json(service: Service, who: str, *arguments: str) -> Any:
    done = await _pgcurfew(service, who, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_from_request_to_relinquishment_for_people(service: Service) -> None:
    asked = await _pgcurfew(
        service, DEV, "request", "orders", "orders_reader", "--for", "15m", "--reason", "a look"
    )
    assert (asked.returncode, asked.stderr) == (0, "")
    assert "Approvers: group dba" in asked.stdout
    (request_id,) = set(re.findall(r"req_\w{16}", asked.stdout))

    waiting = await _pgcurfew(service, REVIEWER, "ls")
    assert re.search(
        rf"{request_id} +pending +{DEV} +orders +orders_reader +15m +a look", waiting.stdout
    )

    approved = await _pgcurfew(service, REVIEWER, "approve", request_id, "--comment", "fine")
    assert approved.returncode == 0
    assert "active" in approved.stdout
    (grant_id,) = set(re.findall(r"grt_\w{16}", approved.stdout))

    shown = await _pgcurfew(service, DEV, "show", request_id)
    assert "approved" in shown.stdout
    assert f"by {REVIEWER}" in shown.stdout

    handed = await _pgcurfew(service, DEV, "credential", grant_id)
    assert "sslmode      verify-full" in handed.stdout
    root = re.search(r"sslrootcert=(\S+)'", handed.stdout)
    assert root is not None
    assert Path(root[1]).read_text().startswith("-----BEGIN CERTIFICATE-----")

    ended = await _pgcurfew(service, DEV, "relinquish", grant_id)
    assert re.search(r"state +ended", ended.stdout)
    assert re.search(rf"end +relinquished by {DEV}", ended.stdout)


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
async def test_the_psql_line_that_is_printed_works_when_pasted(service: Service) -> None:
    access = await service.get_access()
    handed = await _pgcurfew(service, DEV, "credential", access.grant.id)
    line = handed.stdout.rstrip().splitlines()[-1]
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-c", f"{line} -XAtc 'SELECT current_user'"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == (access.grant.login, "")


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
async def test_connect_asks_waits_and_runs_psql(service: Service) -> None:
    arguments = ("connect", "orders", "orders_reader", "--reason", "now", "--", "-XAtc")
    connecting = asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api", *arguments, "SELECT count(*) FROM shop.orders"),
        env=service.environment(OTHER_DEV),
        stdout=subprocess.PIPE,
    )
    process = await connecting
    assert process.stdout is not None
    said = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
    assert "waiting for group dba" in said
    (request_id,) = re.findall(r"req_\w{16}", said)
    await _json(service, REVIEWER, "approve", request_id)
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert output.decode().strip() == "100"
    assert process.returncode == 0
    # The second time there is a live grant, and nobody has to approve anything.
    again = await _pgcurfew(service, OTHER_DEV, *arguments, "SELECT 7")
    assert again.stdout.strip() == "7"


async def test_request_waits_for_its_decision(service: Service) -> None:
    asked = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api", "request", "orders", "orders_reader"),
        *("--for", "5m", "--wait"),
        env=service.environment(DEV),
        stdout=subprocess.PIPE,
    )
    assert asked.stdout is not None
    said = (await asyncio.wait_for(asked.stdout.readline(), 20)).decode()
    (request_id,) = re.findall(r"req_\w{16}", said)
    await _json(service, REVIEWER, "deny", request_id, "--reason", "not today")
    output, _ = await asyncio.wait_for(asked.communicate(), 20)
    assert f"{request_id} is denied: not today" in output.decode()
    assert asked.returncode == 2


async def test_waiting_has_an_end(service: Service) -> None:
    done = await _pgcurfew(
        service,
        DEV,
        "request",
        "orders",
        "orders_reader",
        "--for",
        "5m",
        "--wait",
        "--timeout",
        "1s",
    )
    assert done.returncode == 4
    assert "is still pending" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("request", "nowhere", "orders_reader", "--for", "1h"), 2, "you may ask for orders"),
        (("request", "orders", "postgres", "--for", "1h"), 2, "you may ask for orders_owner, "),
        (("request", "orders", "orders_reader", "--for", "0h"), 2, "longer than nothing"),
        (("request", "orders", "orders_reader", "--for", "-1h"), 2, "not a duration"),
        (("request", "orders", "orders_reader", "--for", "9h"), 2, "allows at most 8h"),
        (("request", "orders", "orders_writer", "--for", "1h"), 2, "wants a reason"),
        (("approve", "req_0000000000000000"), 3, "no request req_0000000000000000"),
        (("credential", "grt_0000000000000000"), 3, "no grant grt_0000000000000000"),
        (("relinquish", "nonsense"), 3, "no grant nonsense"),
        (("show", "nonsense"), 3, "no request nonsense"),
    ],
)
async def test_a_mistake_is_explained_in_words_and_exit_code(
    service: Service, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = await _pgcurfew(service, DEV, *arguments)
    # Usage errors come in a box that breaks lines.
    assert said in re.sub(r"[\s│]+", " ", done.stderr)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


async def test_without_a_token_or_a_server_it_says_what_to_do(service: Service) -> None:
    environment = service.environment(DEV)
    without = await asyncio.to_thread(run_pgcurfew, {**environment, "PGCURFEW_TOKEN": ""}, "ls")
    assert without.returncode == 2
    assert "pgcurfew token create" in without.stderr
    wrong = await asyncio.to_thread(run_pgcurfew, {**environment, "PGCURFEW_TOKEN": "wrong"}, "ls")
    assert (wrong.returncode, wrong.stderr) == (2, "pgcurfew: a valid bearer token is needed\n")
    url = {"PGCURFEW_URL": "http://127.0.0.1:1"}
    nobody = await asyncio.to_thread(run_pgcurfew, {**environment, **url}, "ls")
    assert nobody.returncode == 1
    assert "no pgcurfew answers at http://127.0.0.1:1" in nobody.stderr


async def test_tokens_are_made_listed_and_revoked(service: Service) -> None:
    operator = {**clean_environment(), "PGCURFEW_CONFIG": str(service.stage.config)}
    create = ("token", "create")
    scopes = ("--scope", "read", "--scope", "ask")
    made = await asyncio.to_thread(run_pgcurfew, operator, *create, DEV, *scopes, "--json")
    token = json.loads(made.stdout)
    assert (token["kind"], token["scopes"]) == ("personal", ["ask", "read"])
    person = {**service.environment(DEV), "PGCURFEW_TOKEN": token["token"]}
    assert (await asyncio.to_thread(run_pgcurfew, person, "ls")).returncode == 0
    listed = await asyncio.to_thread(run_pgcurfew, operator, "token", "ls", "--json")
    (found,) = [each for each in json.loads(listed.stdout) if each["id"] == token["id"]]
    assert (found["person"], found["token"], found["revoked_at"]) == (DEV, None, None)
    revoked = await asyncio.to_thread(run_pgcurfew, operator, "token", "revoke", token["id"])
    assert revoked.returncode == 0
    assert (await asyncio.to_thread(run_pgcurfew, person, "ls")).returncode == 2
    stranger = await asyncio.to_thread(run_pgcurfew, operator, *create, "who@example.com")
    assert stranger.returncode == 1
    assert "add them under identity.people" in stranger.stderr
    machine = await asyncio.to_thread(run_pgcurfew, operator, *create, "nightly", "--service")
    assert machine.returncode == 1
    assert "'nightly@service.machine'; add them under identity.machines" in machine.stderr


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        ({"targets": {}}, "targets", "must not be empty; for example: {orders:"),
        ({"proxy.workers": "many"}, "proxy.workers", "; for example: 2"),
        ({"proxy.wrokers": 2}, "proxy.wrokers", "did you mean workers?"),
        ({"keys.current": "k2"}, "keys", "keys.proxy_keys lacks"),
        (
            {"keys.proxy_keys.k1": "env:NOWHERE"},
            "keys.proxy_keys.k1",
            "environment variable NOWHERE is not set; for example: export NOWHERE=…",
        ),
        (
            {"keys.proxy_keys.k1": "env:HOME"},
            "keys.proxy_keys.k1",
            "32 bytes in hexadecimal; for example: openssl rand -hex 32",
        ),
        ({"policies.file": "nowhere.yaml"}, "nowhere.yaml", "No such file"),
        (
            {"ledger.tls.root_certificate": "nowhere.pem"},
            "ledger.tls.root_certificate",
            "nowhere.pem cannot be used (No such file or directory)",
        ),
        (
            {"ledger.tls.root_certificate": "policies.yaml"},
            "ledger.tls.root_certificate",
            "it holds no usable PEM",
        ),
        ({"api.listen": "192.0.2.1:1"}, "api.listen", "cannot listen on 192.0.2.1:1"),
    ],
)
async def test_wrong_settings_end_the_start_with_path_reason_and_example(
    tmp_path: Path, change: dict[str, Any], where: str, what: str
) -> None:
    config = write_settings(tmp_path, change)
    rule = {"name": "all", "requesters": {"anyone": True}, "resources": [{}], "max_duration": "1h"}
    (tmp_path / "policies.yaml").write_text(
        yaml.safe_dump({"approvers": {"people": ["reviewer@example.com"]}, "policies": [rule]})
    )
    secrets = dict.fromkeys(
        ("LEDGER_PASSWORD", "LEDGER_PROXY_PASSWORD", "ORDERS_ADMIN_PASSWORD"), "x"
    )
    environment = {
        **clean_environment(),
        **secrets,
        "PGCURFEW_CONFIG": str(config),
        "PROXY_KEY": "00" * 32,
    }
    done = await asyncio.to_thread(run_pgcurfew, environment, "serve")
    assert done.returncode == 1
    assert where in done.stderr
    assert what in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_ledger_that_is_behind_is_not_served_from(stage: Stage) -> None:
    stage.write_settings(api={"listen": f"127.0.0.1:{free_port()}"})
    await stage.query_ledger("UPDATE curfew.alembic_version SET version_num = '0000'")
    done = await _operator(stage, "serve")
    assert done.returncode == 1
    assert "run pgcurfew migrate" in done.stderr


async def test_migrating_again_changes_nothing(stage: Stage) -> None:
    for _ in range(2):
        done = await _operator(stage, "migrate")
        assert (done.returncode, done.stderr) == (0, "")
        assert "proxies log in as curfew_proxy" in done.stdout


async def test_migrating_without_the_proxies_role_says_how_to_make_it(stage: Stage) -> None:
    settings = stage.settings()
    settings["ledger"]["proxy"]["user"] = "nobody_here"
    stage.write_settings(**settings)
    done = await _operator(stage, "migrate")
    assert done.returncode == 1
    assert 'CREATE ROLE "nobody_here" LOGIN' in done.stderr


async def _operator(stage: Stage, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**clean_environment(), "PGCURFEW_CONFIG": str(stage.config)}
    return await asyncio.to_thread(run_pgcurfew, environment, *arguments)


async def test_a_program_has_access_only_while_it_runs(service: Service) -> None:
    """Its exit code is ours, and nothing of its access is left, whatever it does."""
    waiting = asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api", "exec", "orders", "orders_reader", "--for", "15m"),
        *("--", "sh", "-c", "psql -XAtc 'SELECT count(*) FROM shop.orders' && exit 7"),
        env=service.environment(DEV),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    program = await waiting
    assert program.stderr is not None
    said = (await asyncio.wait_for(program.stderr.readline(), 40)).decode()
    (request_id,) = re.findall(r"(req_\w{16}): waiting for group dba", said)
    async with service.client(REVIEWER) as reviewer:
        grant = (await reviewer.approve(request_id)).given
        stdout, stderr = await asyncio.wait_for(program.communicate(), 40)
        assert (program.returncode, stdout, stderr) == (7, b"100\n", b"")
        assert (await reviewer.get_grant(grant.id)).end_reason == "relinquished"


async def test_a_program_that_is_not_there_asks_for_nothing(service: Service) -> None:
    done = await _pgcurfew(service, DEV, "exec", "orders", "orders_reader", "--", "no-such-program")
    assert (done.returncode, done.stderr) == (
        1,
        "pgcurfew: no-such-program is not there to be run\n",
    )
