"""`pgcurfew policy`, against a running service."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.people import HOUR
from tests.support.service import Service, wait_for
from tests.support.stage import DEV, POLICIES, REVIEWER

pytestmark = pytest.mark.newest


def _run(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "api", "policy", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def _policy(
    service: Service, who: str, *arguments: str
) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(_run, service.environment(who), *arguments)


async def test_what_if_somebody_asked(service: Service) -> None:
    writer = ("test", "--as", DEV, "--target", "orders", "--role", "orders_writer")
    denied, shown = await asyncio.gather(
        _policy(service, REVIEWER, *writer, "--for", "2h", "--reason", "a fix"),
        _policy(service, DEV, "show"),
    )
    assert (denied.returncode, denied.stderr) == (2, "")
    assert denied.stdout.startswith("Denied: ")
    assert "2h is too long: policy 'writers' allows at most 1h" in denied.stdout
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("You may ask for:\n")
    assert "orders_writer on orders" in shown.stdout


async def test_a_file_is_tried_before_it_is_in_force(service: Service, tmp_path: Path) -> None:
    readers, writers = POLICIES["policies"]
    shorter = {**POLICIES, "policies": [{**readers, "max_duration": "10m"}, writers]}
    file = tmp_path / "shorter.yaml"
    file.write_text(yaml.safe_dump(shorter))
    async with service.client(DEV) as dev:
        asked = await dev.request("orders", "orders_reader", duration=HOUR)
    tried = await _policy(service, REVIEWER, "replay", "--since", "1h", str(file), "--json")
    assert (tried.returncode, tried.stderr) == (0, "")
    shifts = {each["request"]: each for each in json.loads(tried.stdout)["shifts"]}
    assert shifts[asked.id]["after"]["outcome"] == "denied"


async def test_a_changed_file_is_in_force_after_a_signal(service: Service) -> None:
    file, sign = service.stage.folder / "policies.yaml", "policies: version"
    before = service.log.read_text().count(sign)
    added = f"# changed for the {before}. time"
    file.write_text(f"{file.read_text()}{added}\n")
    service.process.send_signal(signal.SIGHUP)
    wait_for(lambda: service.log.read_text().count(sign) > before)
    async with service.client(REVIEWER) as reviewer:
        number = (await reviewer.get_policies()).version.number
    changed = await _policy(service, REVIEWER, "diff", str(number))
    assert f"+{added}" in changed.stdout.split("\n")
