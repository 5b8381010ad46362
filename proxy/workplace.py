"""What all sessions of a worker share."""

from dataclasses import dataclass

from proxy.keeper import KeeperLedger
from proxy.registry import Registry
from proxy.spool.writer import SpoolWriter


@dataclass(frozen=True, slots=True)
class Workplace:
    worker_id: str
    registry: Registry
    spool: SpoolWriter
    ledger: KeeperLedger
