"""pgcurfew itself, run and used as people do: settings, a request, an approval, a credential."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from errors import CannotMeasure
from measure import Entrance
from ports import wait_for_listeners
from processes import proxy_processes

from api.client import open_client
from api.demo.site import (
    REQUESTER,
    REVIEWER,
    make_token,
    run_pgcurfew,
    run_service,
)
from api.schemas import CredentialView
from broker.domain.duration import parse_duration
from broker.embedded import EmbeddedServer, free_port
from proxy.own_certificate import CertificateFiles

_CONNECTION_LIMIT = 200
_GRANT_LASTS = "8h"


@contextmanager
def run_proxy(
    home: Path,
    server: EmbeddedServer,
    passwords: dict[str, str],
    certificate: CertificateFiles,
    workers: int,
) -> Iterator[Entrance]:
    """Run pgcurfew, and get a credential as a person would."""
    proxy_port, api_port = free_port(), free_port()
    _write_secrets(home, {**passwords, "proxy-key": secrets.token_hex(32)})
    config = home / "pgcurfew.yaml"
    settings = _settings(server)
    settings["proxy"] = {
        "listen": f"127.0.0.1:{proxy_port}",
        "workers": workers,
        "tls": {
            "required": False,
            "certificate": str(certificate.certificate),
            "key": str(certificate.key),
            "root_certificate": str(certificate.root),
        },
    }
    settings["api"] = {"listen": f"127.0.0.1:{api_port}"}
    config.write_text(yaml.safe_dump(settings))
    (home / "policies.yaml").write_text(yaml.safe_dump(_POLICIES))
    run_pgcurfew(config, "migrate")
    tokens = [make_token(config, who) for who in (REQUESTER, REVIEWER)]
    with run_service(config, home / "pgcurfew.log", proxy_port, api_port):
        wait_for_listeners(proxy_port, workers)
        credential = asyncio.run(_get_access(f"http://127.0.0.1:{api_port}", *tokens))
        yield Entrance(
            name="proxy",
            port=proxy_port,
            user=credential.user,
            password=credential.password,
            processes=proxy_processes("worker", workers),
            tls=True,
            shipper=proxy_processes("ship", 1)[0],
        )


def _write_secrets(home: Path, values: dict[str, str]) -> None:
    folder = home / "secrets"
    folder.mkdir(mode=0o700)
    for name, secret in values.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(secret)


def _settings(server: EmbeddedServer) -> dict[str, object]:
    address = {"host": server.host, "port": server.port, "tls": {"mode": "disable"}}
    return {
        "state_dir": "state",
        "ledger": {
            **address,
            "database": "curfew",
            "user": "curfew",
            "password": "file:secrets/curfew",
            "proxy": {"user": "curfew_proxy", "password": "file:secrets/curfew_proxy"},
        },
        "keys": {"current": "k1", "proxy_keys": {"k1": "file:secrets/proxy-key"}},
        "targets": {
            "bench": {
                **address,
                "database": "bench",
                "admin": {
                    "user": "curfew_broker_1",
                    "password": "file:secrets/curfew_broker_1",
                    "role": "curfew_admin",
                },
                "roles": {"bench_reader": {"connection_limit": _CONNECTION_LIMIT}},
            }
        },
        "identity": {"people": [{"email": REQUESTER}, {"email": REVIEWER, "groups": ["dba"]}]},
        "policies": {"file": "policies.yaml"},
    }


_POLICIES = {
    "approvers": {"groups": ["dba"]},
    "policies": [
        {
            "name": "bench",
            "requesters": {"anyone": True},
            "resources": [{"target": "bench"}],
            "max_duration": _GRANT_LASTS,
        }
    ],
}


async def _get_access(url: str, requester_token: str, reviewer_token: str) -> CredentialView:
    async with (
        open_client(url, requester_token) as requester,
        open_client(url, reviewer_token) as reviewer,
    ):
        request = await requester.request(
            "bench", "bench_reader", duration=parse_duration(_GRANT_LASTS), reason="a benchmark"
        )
        grant = (await reviewer.approve(request.id)).given
        if grant.state != "active":
            raise CannotMeasure(f"the grant is {grant.state}: {grant.last_error}")
        return await requester.hand_out(grant.id)
