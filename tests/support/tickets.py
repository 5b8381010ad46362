"""A proxy that accepts sealed tickets, and a ledger that can be taken away from it."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from broker.config.settings import load_settings
from broker.endpoints import read_ticket_key
from broker.service.broker import Broker
from broker.service.sealing import NewTicket, Order
from tests.support.cable import Cable, lay_cable
from tests.support.people import HOUR
from tests.support.ports import free_port
from tests.support.service import (
    children,
    clean_environment,
    command_line,
    is_open,
    wait_for,
)
from tests.support.stage import DEV, Stage

OPERATOR = "operator:test"
ANYWHERE = ("0.0.0.0/0", "::/0")

Result = TypeVar("Result")


def make_ticket_key(folder: Path, name: str = "ticket") -> Ed25519PrivateKey:
    """Write `name`.key and `name`.pem."""
    key = Ed25519PrivateKey.generate()
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pem").write_bytes(public)
    return key


def order(
    *networks: str,
    role: str = "orders_reader",
    access: timedelta = HOUR,
    validity: timedelta = timedelta(days=90),
) -> Order:
    return Order(
        person=DEV,
        target="orders",
        role=role,
        database=None,
        networks=tuple(ip_network(each) for each in networks or ANYWHERE),
        access=access,
        validity=validity,
    )


def at(broker: Broker, now: datetime) -> Broker:
    return Broker(replace(broker.context, now=lambda: now))


@dataclass(frozen=True, slots=True)
class TicketProxy:
    """`process` is `pgcurfew proxy`, whose ledger hangs on `cable`. The broker's does not."""

    stage: Stage
    process: "subprocess.Popen[bytes]"
    port: int
    cable: Cable
    log: Path

    @property
    def root(self) -> Path:
        return self.stage.folder / "state" / "proxy-root.pem"

    @property
    def records(self) -> Path:
        return self.stage.folder / "state" / "tickets"

    async def seal(self, wanted: Order | None = None, *, ago: timedelta | None = None) -> NewTicket:
        """Seal a ticket, as if some time `ago`."""
        sign = read_ticket_key(load_settings(self.stage.config), self.stage.config)
        async with self.stage.broker() as broker:
            then = at(broker, datetime.now(UTC) - ago) if ago else broker
            return await then.sealing.seal(wanted or order(), sign, actor=OPERATOR)

    def parameters(self, new: NewTicket, **overrides: str) -> dict[str, str]:
        return {
            "host": "localhost",
            "port": str(self.port),
            "user": new.user,
            "password": new.password,
            "dbname": new.ticket.database,
            "sslmode": "verify-full",
            "sslrootcert": str(self.root),
            "connect_timeout": "10",
            **overrides,
        }

    def connect(self, new: NewTicket, **overrides: str) -> "psycopg.Connection[tuple[Any, ...]]":
        return psycopg.connect(**self.parameters(new, **overrides), autocommit=True)  # type: ignore[arg-type]

    def workers(self) -> list[int]:
        everybody = children(self.process.pid)
        return [pid for pid in everybody if "worker" in command_line(pid)]

    def answers(self) -> bool:
        return is_open(self.port)

    async def ledger(self, sql: str, *arguments: object) -> Any:
        return await self.stage.query_ledger(sql, *arguments)


@contextmanager
def run_ticket_proxy(stage: Stage, **proxy: Any) -> Iterator[TicketProxy]:
    """Run one whose ledger is away until its cable is mended."""
    port = free_port()
    make_ticket_key(stage.folder)
    keys = {**stage.settings()["keys"], "ticket_key": "file:ticket.key"}
    settings = {
        "keys": keys,
        "proxy": {
            "listen": f"127.0.0.1:{port}",
            "tickets": {"public_keys": ["ticket.pem"]},
            "throttle": {"failures": 10_000},  # all tests come from one address
            "drain_timeout": "1s",
            **proxy,
        },
    }
    stage.write_settings(**settings)
    log = stage.folder / "proxy.log"
    with lay_cable(stage.server.host, stage.server.port) as cable:
        cable.cut()
        ledger = {**stage.settings()["ledger"], "port": cable.port}
        config = stage.folder / "proxy.yaml"
        config.write_text(yaml.safe_dump({**stage.settings(), **settings, "ledger": ledger}))
        with _started(config, log, port) as process:
            yield TicketProxy(stage, process, port, cable, log)


@contextmanager
def _started(config: Path, log: Path, port: int) -> "Iterator[subprocess.Popen[bytes]]":
    """Run `pgcurfew proxy`, whatever becomes of everything else."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "api", "proxy"],
            env={**clean_environment(), "PGCURFEW_CONFIG": str(config)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(lambda: is_open(port), process, log)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


async def eventually(look: Callable[[], Awaitable[Result | None]]) -> Result:
    """Look again and again until there is something."""
    async with asyncio.timeout(30):
        while (found := await look()) is None:
            await asyncio.sleep(0.02)
    return found
