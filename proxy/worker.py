"""One proxy process: its parts joined, from start to drained."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from broker.domain.errors import LedgerUnavailable
from broker.domain.ids import RANDOM_BYTES, IdKind, new_id
from broker.ledger.connection import LedgerLogin, open_pool
from proxy.gate import Gate
from proxy.goodbye import Goodbye
from proxy.keeper_ledger import Ledger
from proxy.news import News
from proxy.orders import Orders
from proxy.reception import Reception
from proxy.registry import Registry
from proxy.rules import Rules
from proxy.server import Server
from proxy.spool.writer import SpoolRules, SpoolWriter
from proxy.throttle import Bans
from proxy.ticket_office import TicketOffice
from proxy.ticket_records import TicketRecords
from proxy.ticket_reports import TicketReports
from proxy.workplace import Workplace

_LEDGER_POOL = 8
_GOODBYE_S = 3.0  # for clients to take their last message
_LAST_WORDS_S = 5.0
_CERTIFICATE_CHECK_EVERY_S = 60.0
_REPORT_EVERY_S = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """What a worker needs: no admin credential. `read_again` takes its time, and returns None for
    settings that cannot be used."""

    ledger: LedgerLogin
    rules: Rules
    read_again: Callable[[], Rules | None]
    drain_timeout_s: float
    ticket_folder: Path
    spool_folder: Path
    spool: SpoolRules


async def run_worker(plan: WorkerPlan, listeners: list[socket.socket], orders: Orders) -> None:
    """Serve until told to stop, then let open sessions finish for a while, and leave."""
    worker_id = new_id(IdKind.WORKER, datetime.now(UTC), os.urandom(RANDOM_BYTES))
    with (
        closing(TicketRecords(plan.ticket_folder, worker_id)) as records,
        closing(SpoolWriter(plan.spool_folder, worker_id, plan.spool)) as spool,
    ):
        await _work(plan, listeners, orders, worker_id, records, spool)


async def _work(
    plan: WorkerPlan,
    listeners: list[socket.socket],
    orders: Orders,
    worker_id: str,
    records: TicketRecords,
    spool: SpoolWriter,
) -> None:
    registry, bans = Registry(), Bans()
    async with open_pool(plan.ledger, f"pgcurfew proxy {worker_id}", _LEDGER_POOL) as pool:
        gate = Gate(pool, worker_id, bans)
        office = TicketOffice(gate, bans, records, worker_id)
        reports = TicketReports(pool, records, office.news, worker_id)
        ledger = Ledger(pool, registry)
        place = Workplace(worker_id, registry, spool, ledger)
        reception = Reception(plan.rules, gate, office, place, bans)
        _look_at_records(records, reception)
        where = ", ".join(str(listener.getsockname()[:2]) for listener in listeners)
        _log.info("worker %s listens on %s", worker_id, where)
        async with asyncio.TaskGroup() as background:

            def cancel(digest: str) -> None:
                background.create_task(reception.cancel_for_another(digest))

            news = News(pool, plan.ledger, place, bans, cancel, reception.cancelled_elsewhere)
            await spool.take_room()
            # Before the first session, which would else belong to a worker that nobody knows of.
            await news.show_life_once()
            keepers = [
                background.create_task(each)
                for each in (
                    news.follow(),
                    news.show_life(),
                    spool.keep_room(),
                    gate.write_ends(),
                    ledger.write_late_uses(),
                    office.write_ends(),
                    reports.keep_reporting(),
                    _reload_when_told(plan, reception, orders.reload),
                    _watch_certificates(reception),
                    _report_turned_away(reception),
                )
            ]
            await _serve_until(orders.stop, reception, registry, listeners, plan.drain_timeout_s)
            await _write_last_words(gate, ledger)
            await _report_last_words(office, reports)
            for keeper in keepers:
                keeper.cancel()


async def _serve_until(
    stop: asyncio.Event,
    reception: Reception,
    registry: Registry,
    listeners: list[socket.socket],
    drain_timeout_s: float,
) -> None:
    async with asyncio.TaskGroup() as clients:
        server = Server(reception.receive)
        accepting = clients.create_task(server.accept_all(listeners, clients))
        await stop.wait()
        accepting.cancel()
        for listener in listeners:
            listener.close()
        await _drain(registry, drain_timeout_s)
        await server.send_away(_GOODBYE_S)


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


async def _write_last_words(gate: Gate, ledger: Ledger) -> None:
    try:
        async with asyncio.timeout(_LAST_WORDS_S):
            await gate.wait_until_written()
            await ledger.wait_until_counted()
    except (TimeoutError, LedgerUnavailable):
        _log.warning("the ledger did not take the last ends of sessions; brokers will notice")


async def _report_last_words(office: TicketOffice, reports: TicketReports) -> None:
    try:
        async with asyncio.timeout(_LAST_WORDS_S):
            await office.wait_until_written()
            await reports.report()
    except (TimeoutError, LedgerUnavailable):
        _log.warning("what tickets were used for is still to be reported, by the next worker")
    except Exception:
        _log.exception("what tickets were used for is still to be reported, by the next worker")


def _look_at_records(records: TicketRecords, reception: Reception) -> None:
    if reception.rules.tickets is not None:
        try:
            records.prepare()
        except OSError as error:
            _log.error("tickets will be refused, as nothing can be written down: %s", error)


async def _reload_when_told(plan: WorkerPlan, reception: Reception, told: asyncio.Event) -> None:
    """Take up what the operator has changed."""
    while True:
        await told.wait()
        told.clear()
        rules = await asyncio.to_thread(plan.read_again)
        if rules is not None:
            reception.adopt(rules)
            _log.info("took up the new settings; open sessions go on under the old ones")


async def _watch_certificates(reception: Reception) -> None:
    """Take up a renewed certificate, whoever renewed it."""
    while True:
        await asyncio.sleep(_CERTIFICATE_CHECK_EVERY_S)
        certificates = reception.rules.certificates
        if certificates is not None:
            await asyncio.to_thread(certificates.refresh)


async def _report_turned_away(reception: Reception) -> None:
    while True:
        await asyncio.sleep(_REPORT_EVERY_S)
        if count := reception.take_turned_away():
            _log.warning("closed %d connections without a word: refused or too many", count)
