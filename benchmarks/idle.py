"""What a session that does nothing costs the proxy in memory.

Prints JSON; exits 1 if a bar is missed, 2 if nothing could be measured. See benchmarks/README.md.
"""

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from crowd import Crowd, Entry, run_crowd
from errors import CannotMeasure
from product import DATABASE, LEDGER, TARGET, Product, run_product
from script import Report, miss, positive, run, say
from standin import StandIn, run_stand_in
from worker import Worker, allow_many_files, run_worker

from api.schemas import CredentialView
from broker.embedded import find_binaries

# The bars, in KB (1024 bytes) for each session.
MAX_PLAIN_KB = 40.0
MAX_TLS_KB = 100.0

SESSIONS = 10_000
_WARM_UP = 50
_SPARE_FILES = 100  # of a worker, beside the two of each session
_QUIET_S = 1.0
_QUIET_SHARE = 0.03  # of one CPU
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Variant:
    """Whether TLS is on, towards the client and towards the target."""

    client_tls: bool
    target_tls: bool
    max_kb: float | None

    def __str__(self) -> str:
        if self.client_tls and self.target_tls:
            return "TLS on both sides"
        return "TLS" if self.client_tls else "plain"


VARIANTS = (
    Variant(client_tls=False, target_tls=False, max_kb=MAX_PLAIN_KB),
    Variant(client_tls=True, target_tls=False, max_kb=MAX_TLS_KB),
    Variant(client_tls=True, target_tls=True, max_kb=None),
)


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes of the worker: with no session, with all of them idle since their first query, and
    idle since they all had another query at the same moment."""

    before: int
    idle: int
    idle_again: int


def measure(wanted: int, binaries: Path) -> Report:
    files = allow_many_files()
    sessions = min(wanted, (files - _SPARE_FILES) // 2)
    if sessions < wanted:
        say(f"only {files} files may be open here: {sessions} sessions")
    say("setting the stage")
    weights = {}
    with run_product(binaries) as product:
        credential, verifier = asyncio.run(_get_access(product, sessions))
        for variant in VARIANTS:
            weights[variant] = _measure_variant(product, credential, verifier, variant, sessions)
            say(f"{variant}: {_kb(weights[variant].idle - weights[variant].before, sessions)} KB")
    return _report(weights, wanted, sessions, files)


async def _get_access(product: Product, sessions: int) -> tuple[CredentialView, str]:
    """Return a credential, and what PostgreSQL keeps of its keys, for the stand-in to verify."""
    async with product.people() as people:
        _grant, credential = await people.issue(await people.ask())
    async with product.server.superuser() as db:
        verifier = await db.fetchval(
            "SELECT rolpassword FROM pg_authid WHERE rolname = $1", credential.user
        )
    async with product.server.superuser(LEDGER) as db:
        # More than any catalog allows: here it is not the login that is measured.
        await db.execute("UPDATE curfew.logins SET connection_limit = $1", sessions + _WARM_UP)
    return credential, str(verifier)


def _measure_variant(
    product: Product, credential: CredentialView, verifier: str, variant: Variant, sessions: int
) -> Weight:
    state = product.server.home / "state"
    certificate = (state / "proxy.pem", state / "proxy.key") if variant.target_tls else ()
    with run_stand_in(StandIn(verifier, *certificate)) as standin_port:
        tls = {"mode": "disable"}
        if variant.target_tls:
            tls = {"mode": "verify-full", "root_certificate": str(state / "proxy-root.pem")}
        changes = {
            "targets": {TARGET: {"host": "127.0.0.1", "port": standin_port, "tls": tls}},
            "proxy": {"tls": {"required": False}},
        }
        with run_worker(product, str(variant), changes) as worker:
            entry = Entry(
                port=worker.port,
                user=credential.user,
                password=credential.password,
                database=DATABASE,
                tls=variant.client_tls,
            )
            with run_crowd(entry) as crowd:
                return _weigh(product, worker, crowd, sessions)


def _weigh(product: Product, worker: Worker, crowd: Crowd, sessions: int) -> Weight:
    # What the first sessions need is needed once: code, the ledger's connections, caches.
    crowd.open(_WARM_UP)
    crowd.leave()
    before = _memory_at_rest(worker)
    since = datetime.now(UTC)
    crowd.open(sessions)
    idle = _memory_at_rest(worker)
    recorded = asyncio.run(_fetch_states(product, since))
    if recorded != {"open": sessions}:
        raise CannotMeasure(f"not {sessions} open sessions, but {recorded}")
    crowd.ask()
    return Weight(before, idle, _memory_at_rest(worker))


def _memory_at_rest(worker: Worker) -> int:
    """Wait until the worker has nothing to do."""
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        before = worker.cpu_s()
        time.sleep(_QUIET_S)
        if worker.cpu_s() - before <= _QUIET_SHARE * _QUIET_S:
            return worker.memory_bytes()
    raise CannotMeasure("the worker does not come to rest")


async def _fetch_states(product: Product, since: datetime) -> dict[str, int]:
    """Return how many of the sessions are open, and how many ended why."""
    async with product.server.superuser(LEDGER) as db:
        rows = await db.fetch(
            "SELECT coalesce(end_reason, 'open') AS state, count(*) FROM curfew.sessions "
            "WHERE started_at >= $1 GROUP BY 1",
            since,
        )
    return {row["state"]: row["count"] for row in rows}


def _report(weights: dict[Variant, Weight], wanted: int, sessions: int, files: int) -> Report:
    rows = [
        {
            "variant": str(variant),
            "kb_per_session": _kb(weight.idle - weight.before, sessions),
            "kb_per_session_after_all_asked_at_once": _kb(
                weight.idle_again - weight.before, sessions
            ),
            "worker_mb_without_sessions": round(weight.before / 1024**2, 1),
        }
        for variant, weight in weights.items()
    ]
    return {
        "benchmark": "idle",
        "sessions_wanted": wanted,
        "sessions": sessions,
        "open_files_allowed": files,
        "bars": {str(each): each.max_kb for each in VARIANTS if each.max_kb is not None},
        "table": rows,
        "missed": [
            miss(f"{variant}: kb_per_session", worst, variant.max_kb)
            for variant, weight in weights.items()
            if variant.max_kb is not None
            and (worst := _kb(max(weight.idle, weight.idle_again) - weight.before, sessions))
            > variant.max_kb
        ],
    }


def _kb(size: int, sessions: int) -> float:
    return round(size / 1024 / sessions, 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="memory of sessions that do nothing")
    parser.add_argument("--sessions", type=positive, default=SESSIONS)
    parser.add_argument("--binaries", type=Path, help="of PostgreSQL; default: the embedded one")
    return parser.parse_args()


if __name__ == "__main__":
    options = _options()
    sys.exit(run(lambda: measure(options.sessions, options.binaries or find_binaries())))
