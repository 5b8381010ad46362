"""One proxy process: its parts joined, from start to drained."""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from broker.domain.credential import ProxyKey
from broker.domain.errors import LedgerUnavailable
from broker.domain.ids import RANDOM_BYTES, IdKind, new_id
from broker.domain.server import ServerAddress
from broker.ledger.connection import LedgerLogin, open_pool
from proxy.authentication import Authenticator
from proxy.dial import Upstream
from proxy.gate import Gate
from proxy.ipfilter import Address, IpFilter
from proxy.registry import Registry
from proxy.relay import Goodbye
from proxy.server import Server
from proxy.session import House, cancel_here, serve_client

_LEDGER_POOL = 8
_GOODBYE_S = 3.0  # for clients to take their last message
_LAST_WORDS_S = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """Everything a worker needs: no setting, no admin credential."""

    ledger: LedgerLogin
    targets: Mapping[str, ServerAddress]
    proxy_keys: Mapping[str, ProxyKey]
    current_key: ProxyKey
    tls: ssl.SSLContext | None = field(repr=False)
    tls_required: bool
    ip_filter: IpFilter
    startup_timeout_s: float
    drain_timeout_s: float


async def run_worker(plan: WorkerPlan, listeners: list[socket.socket], stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then let open sessions finish for a while, and leave."""
    worker_id = new_id(IdKind.WORKER, datetime.now(UTC), os.urandom(RANDOM_BYTES))
    registry = Registry()
    async with open_pool(plan.ledger, f"pgcurfew proxy {worker_id}", _LEDGER_POOL) as pool:
        gate = Gate(pool, plan.ledger, worker_id, registry)
        house = House(
            gate=gate,
            registry=registry,
            ip_filter=plan.ip_filter,
            tls=plan.tls,
            tls_required=plan.tls_required,
            authenticator=Authenticator(gate, plan.proxy_keys, plan.current_key),
            upstreams={name: Upstream(address) for name, address in plan.targets.items()},
            worker_id=worker_id,
            startup_timeout_s=plan.startup_timeout_s,
        )
        where = ", ".join(str(listener.getsockname()[:2]) for listener in listeners)
        _log.info("worker %s listens on %s", worker_id, where)
        await _serve_until(stop, house, listeners, plan.drain_timeout_s)


async def _serve_until(
    stop: asyncio.Event,
    house: House,
    listeners: list[socket.socket],
    drain_timeout_s: float,
) -> None:
    async def serve(sock: socket.socket, address: Address) -> None:
        await serve_client(house, sock, address)

    async with asyncio.TaskGroup() as background:

        def cancel(digest: str) -> None:
            background.create_task(cancel_here(house.registry, digest))

        keepers = [
            background.create_task(house.gate.listen(cancel)),
            background.create_task(house.gate.write_ends()),
        ]
        async with asyncio.TaskGroup() as clients:
            server = Server(serve)
            accepting = clients.create_task(server.accept_all(listeners, clients))
            await stop.wait()
            accepting.cancel()
            for listener in listeners:
                listener.close()
            await _drain(house.registry, drain_timeout_s)
            await server.send_away(_GOODBYE_S)
        await _write_last_words(house.gate)
        for keeper in keepers:
            keeper.cancel()


async def _drain(registry: Registry, timeout_s: float) -> None:
    """Wait for sessions to end by themselves, then end those that are left."""
    _log.info("stopping; open sessions have %.0f s to finish", timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            await registry.wait_until_empty()
    except TimeoutError:
        registry.end_all(
            Goodbye("shutdown", "57P01", "this server is shutting down", "Connect again.")
        )


async def _write_last_words(gate: Gate) -> None:
    try:
        async with asyncio.timeout(_LAST_WORDS_S):
            await gate.wait_until_written()
    except (TimeoutError, LedgerUnavailable):
        _log.warning("the ledger did not take the last ends of sessions; brokers will notice")
