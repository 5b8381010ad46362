"""What /metrics says, in Prometheus' text format: gauges as they are now, and no history."""

from collections.abc import Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from broker.ledger.counts import Counts
from broker.service.health import TargetHealth
from broker.service.instruments import Proxies

CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposition(targets: Sequence[TargetHealth], known: tuple[Proxies, Counts] | None) -> bytes:
    """Return the text. What is not `known`, as the ledger does not answer, is left out."""
    registry = CollectorRegistry()
    registry.register(_Families(_families(targets, known)))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _families(
    targets: Sequence[TargetHealth], known: tuple[Proxies, Counts] | None
) -> list[Metric]:
    up = GaugeMetricFamily("pgcurfew_targets_up", "Whether a target answers.", labels=["target"])
    for each in targets:
        up.add_metric([each.target], float(each.reachable))
    ledger = GaugeMetricFamily(
        "pgcurfew_ledger_up", "Whether the ledger answers.", value=float(known is not None)
    )
    return [up, ledger, *(_of_ledger(*known) if known is not None else ())]


def _of_ledger(proxies: Proxies, counts: Counts) -> list[Metric]:
    labels = ["shipper"]
    size = GaugeMetricFamily(
        "pgcurfew_spool_bytes", "What waits in a machine's spool.", labels=labels
    )
    limit = GaugeMetricFamily(
        "pgcurfew_spool_limit_bytes", "How much may wait there.", labels=labels
    )
    oldest = GaugeMetricFamily(
        "pgcurfew_spool_oldest_seconds",
        "Age of the oldest statement that is not in the ledger.",
        labels=labels,
    )
    behind = GaugeMetricFamily(
        "pgcurfew_sink_oldest_seconds",
        "Age of the oldest statement that the sink does not have.",
        labels=labels,
    )
    shipped = CounterMetricFamily(
        "pgcurfew_statements_shipped", "Rows taken to the ledger.", labels=labels
    )
    for each in proxies.spools:
        size.add_metric([each.shipper], each.size)
        limit.add_metric([each.shipper], each.limit)
        oldest.add_metric([each.shipper], each.oldest_s)
        shipped.add_metric([each.shipper], each.shipped)
        if each.sink_oldest_s is not None:
            behind.add_metric([each.shipper], each.sink_oldest_s)
    single = {
        "pgcurfew_workers_refusing": (
            "Workers that let nobody in, as nothing can be recorded.",
            len(proxies.refusing),
        ),
        "pgcurfew_sessions_holding": (
            "Sessions that wait until something can be recorded.",
            proxies.holding,
        ),
        "pgcurfew_sessions_open": ("Sessions that are open.", counts.sessions_open),
        "pgcurfew_grants_active": ("Grants that are active.", counts.grants_active),
        "pgcurfew_requests_pending": ("Requests that wait.", counts.requests_pending),
    }
    gauges = [GaugeMetricFamily(name, *said) for name, said in single.items()]
    return [size, limit, oldest, behind, shipped, *gauges]
