"""What both kinds of grants are made and removed with."""

from dataclasses import dataclass

from broker.service.context import Context
from broker.service.receipts import Receipts
from broker.service.role_checks import RoleChecks
from broker.service.sweep import Sweep


@dataclass(frozen=True, slots=True)
class Means:
    context: Context
    receipts: Receipts
    sweep: Sweep
    role_checks: RoleChecks
