"""Nothing on the target could log somebody in: not its log, not its views of what runs and ran."""

from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from broker.domain.credential import client_keys, target_keys
from tests.support.people import get_grant, get_person
from tests.support.servers import SETTINGS, Server, Source, find_local_binaries, run_cluster
from tests.support.stage import DEV, PASSWORD, PROXY_KEY, Stage, prepare, set_up

# All that PostgreSQL can be told to write down.
_TELL_ALL = (
    "shared_preload_libraries=pg_stat_statements",
    "pg_stat_statements.track_utility=on",
    "log_statement=all",
    "log_min_duration_statement=0",
    "log_min_error_statement=debug5",
    "log_connections=on",
    "track_activity_query_size=65536",
)


@pytest.fixture(scope="module")
def talkative(source: Source) -> Iterator[Server]:
    binaries = source.binaries or find_local_binaries().get(source.major)
    if binaries is None:
        pytest.skip(f"no binaries of PostgreSQL {source.major} here to run with other settings")
    with run_cluster(binaries, source.major, settings=(*SETTINGS, *_TELL_ALL)) as server:
        yield server


@pytest.fixture
async def talkative_stage(talkative: Server, tmp_path: Path) -> AsyncIterator[Stage]:
    await prepare(talkative)
    async with set_up(talkative, tmp_path) as stage:
        secret = stage.folder / "admin-password"
        secret.write_text(PASSWORD)
        orders = stage.settings()["targets"]["orders"]
        admin = {**orders["admin"], "password": f"file:{secret.name}"}
        stage.write_settings(targets={"orders": {**orders, "admin": admin}})
        yield stage


async def test_no_secret_shows_up_anywhere_on_the_target(talkative_stage: Stage) -> None:
    """A whole life: made, handed out twice, extended, ended, the admin's password rotated."""
    stage = talkative_stage
    await stage.query("CREATE EXTENSION pg_stat_statements")
    secrets = [PASSWORD]
    seen = ""
    async with stage.broker() as broker:
        details = await get_grant(broker, "orders_owner")
        dev = await get_person(broker, DEV)
        for _ in range(2):
            credential = await broker.grants.hand_out(details.grant.id, dev, source=None)
            salt = await stage.query_ledger("SELECT salt FROM curfew.logins")
            verifier = await stage.query(
                "SELECT rolpassword FROM pg_authid WHERE rolname = $1", details.login
            )
            user = client_keys(credential.password, salt, 4096)
            target = target_keys(PROXY_KEY, details.grant.id, user.client_key)
            secrets.append(credential.password)
            # Not user.server_key: that is the ledger's to keep, and here it is on this server too.
            for key in (user.client_key, target.client_key, target.server_key):
                secrets += [key.hex(), b64encode(key).decode()]
            secrets.append(verifier.rpartition("$")[2])
            seen += await stage.query("SELECT string_agg(query, E'\\n') FROM pg_stat_activity")
        await broker.relinquish(details.grant.id, dev)
        await broker.rotation.rotate(broker.context.targets["orders"])
        seen += await stage.query("SELECT string_agg(query, E'\\n') FROM pg_stat_activity")
        seen += await stage.query("SELECT string_agg(query, E'\\n') FROM pg_stat_statements")
    secrets.append((stage.folder / "admin-password").read_text())
    rotated = await stage.query(
        "SELECT rolpassword FROM pg_authid WHERE rolname = 'curfew_broker_1'"
    )
    secrets.append(rotated.rpartition("$")[2])
    assert stage.server.log is not None
    log = stage.server.log.read_text()
    # What the test itself said to make the stage is not what pgcurfew says.
    ours = "\n".join(line for line in log.splitlines() if f"PASSWORD '{PASSWORD}'" not in line)
    assert "REVOKE" in ours, "the log was not what we think it is"
    assert "curfew_handout" in seen, "the views were not what we think they are"
    assert [secret for secret in secrets if secret in ours] == []
    assert [secret for secret in secrets[1:] if secret in seen] == []
