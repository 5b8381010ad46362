"""How long a page takes among 1,000,000 requests, for everybody, whatever they look for and in
whatever order; how long it takes to add up a year of them; how much memory it takes to export them
all; and what pages of the web weigh.

Prints JSON; exits 1 if a bar is missed, 2 if nothing could be measured. See benchmarks/README.md.
"""

import argparse
import asyncio
import gzip
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from archive import NEWCOMER, POLICIES, fill
from errors import CannotMeasure
from ports import wait_for_listeners
from processes import broker_process, forget_peak, memory_bytes
from product import LEDGER, ROLE, TARGET, Server, run_server, set_up
from script import Report, figures, miss, positive, run, say

from api.demo.site import make_token, run_service
from broker.domain.ids import IdKind, new_id
from broker.domain.request_list import Place, Sort, encode_place
from broker.embedded import find_binaries, free_port

# The bars.
MAX_PAGE_P95_MS = 100.0
MAX_YEAR_MS = 3_000.0
MAX_EXPORT_GROWTH_MB = 32.0
MAX_WEIGHT_KB = 60.0

_MB = 1 << 20
_NEWEST_PAGES = 3
_DAY = timedelta(days=1)
# By what somebody can see: everything, what several policies of much and of little use gave, what
# those asked for whom they manage, what they asked for themselves, much or nearly nothing.
_PEOPLE = {
    "sees everything": "auditor@example.com",
    "approves much": "person.0020@example.com",
    "approves little": "person.0021@example.com",
    "manages": "person.0012@example.com",
    "asks often": "person.0003@example.com",
    "has three": NEWCOMER,
}
_APPROVES = {"person.0020@example.com": (2, 7, 31), "person.0021@example.com": (39,)}
_SPANS = (1, 30, 366)  # days
_WEB = (
    *("/", "/access", "/approvals", "/requests", "/sessions", "/targets", "/policies", "/audit"),
    "/alarms",
)


def _filters() -> dict[str, dict[str, str]]:
    now = datetime.now(UTC)

    def ago(days: int) -> str:
        return (now - days * _DAY).isoformat()

    return {
        "all": {},
        "pending": {"status": "pending"},
        "denied": {"status": "denied"},
        "a target": {"target": "target-020"},
        "a role": {"role": "target_055_reader"},
        "a rare role": {"role": "target_120_owner"},
        "a policy": {"policy": "policy-05"},
        "a person": {"requester": "person.2500@example.com"},
        "who asks often": {"requester": "person.0003@example.com"},
        "of a month": {"since": ago(30)},
        "of a day long ago": {"since": ago(1000), "until": ago(999)},
        "of long ago": {"until": ago(1500)},
        "waits for me": {"needs": "me"},
        "a target, denied": {"target": "target-111", "status": "denied"},
        "a common word": {"q": "fix"},
        "a word of all": {"q": "example.com"},
        "a rare word": {"q": "quetzal"},
        "no word": {"q": "nosuchword"},
        "a word of once": {"q": "heron"},
        "a ticket": {"q": "ORD-1234"},
        "two words": {"q": "backfill kite"},
        "a letter, and no word": {"q": "p nosuchword"},
        "an address": {"q": "person.2500@example.com"},
        "words and more": {"q": "invoices", "status": "lapsed", "target": "target-037"},
        "a word of a month": {"q": "refunds", "since": ago(30)},
    }


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing that somebody asks for, page after page."""

    who: str
    what: str
    query: dict[str, str]
    pages: int = _NEWEST_PAGES
    path: str = "/v1/requests"


@dataclass(slots=True)
class Times:
    """Seconds that pages took, under who asked and under what for."""

    of: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    def by(self, place: int) -> dict[str, dict[str, float]]:
        found: defaultdict[str, list[float]] = defaultdict(list)
        for key, seconds in self.of.items():
            found[key[place]] += seconds
        return {name: figures(seconds) for name, seconds in found.items()}

    @property
    def all(self) -> list[float]:
        return [each for seconds in self.of.values() for each in seconds]


def _asks(chance: random.Random) -> list[Ask]:
    asks = []
    for who in _PEOPLE:
        for what, wanted in _filters().items():
            asks += [Ask(who, what, {**wanted, "sort": sort}) for sort in Sort]
        asks += [Ask(who, "deep", query) for query in _deep()]
        asks += [
            Ask(who, f"{path} {status}", {"status": status}, path=f"/v1/{path}")
            for path, status in (("grants", "active"), ("grants", "ended"), ("sessions", "ended"))
        ]
    chance.shuffle(asks)
    return asks


def _deep() -> Iterator[dict[str, str]]:
    """Pages that begin in the middle of years, and of every other order."""
    request_id = new_id(IdKind.REQUEST, datetime.now(UTC) - 900 * _DAY, bytes(4))
    keys: dict[Sort, Any] = {
        Sort.NEWEST: None,
        Sort.OLDEST: None,
        Sort.TARGET: "target-100",
        Sort.ROLE_BACKWARDS: "target_100_reader",
        Sort.PERSON: "person.0100@example.com",
        Sort.STATE: "approved",
        Sort.DURATION_BACKWARDS: timedelta(hours=2),
        Sort.CLOSED: datetime.now(UTC) - 900 * _DAY,
    }
    for sort, key in keys.items():
        for wanted in ({}, {"status": "approved"}, {"q": "orders"}):
            yield {**wanted, "sort": sort, "after": encode_place(Place(sort, key, request_id))}


async def _time(session: aiohttp.ClientSession, token: str, ask: Ask, times: Times) -> None:
    query = dict(ask.query)
    for _ in range(ask.pages):
        began = time.perf_counter()
        page = await _get(session, token, ask.path, query)
        times.of[ask.who, ask.what].append(time.perf_counter() - began)
        if page["next"] is None:
            return
        query["after"] = page["next"]


async def _get(
    session: aiohttp.ClientSession, token: str, path: str, query: dict[str, str]
) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    async with session.get(path, params=query, headers=headers) as response:
        if response.status != 200:
            raise CannotMeasure(f"{path} {query}: {response.status} {await response.text()}")
        return dict(await response.json())


async def _add_up(session: aiohttp.ClientSession, tokens: dict[str, str]) -> Report:
    """Return what the overview takes who asks first, by who and for how many days, in ms."""
    took: dict[str, dict[str, float]] = {}
    for who, token in tokens.items():
        for days in _SPANS:
            began = time.perf_counter()
            await _get(session, token, "/v1/overview", {"days": str(days)})
            ms = 1000 * (time.perf_counter() - began)
            took.setdefault(who, {})[f"{days} days"] = round(ms, 1)
    return took


async def _export(session: aiohttp.ClientSession, token: str, count: int) -> Report:
    broker = broker_process()
    forget_peak(broker)
    before, began = memory_bytes(broker, "VmRSS"), time.perf_counter()
    lines = size = 0
    headers = {"Authorization": f"Bearer {token}"}
    async with session.get("/v1/requests.tsv", headers=headers) as response:
        async for piece in response.content.iter_any():
            lines += piece.count(b"\n")
            size += len(piece)
    if lines != count + 1:
        raise CannotMeasure(f"the export has {lines} lines for {count} requests")
    took = time.perf_counter() - began
    return {
        "seconds": round(took, 1),
        "rows_per_s": round(count / took),
        "mb": round(size / 1e6, 1),
        "broker_grew_by_mb": round((memory_bytes(broker, "VmHWM") - before) / _MB, 1),
    }


async def _weigh(session: aiohttp.ClientSession, token: str) -> dict[str, float]:
    """Return what pages weigh on the wire, in KB of 1,000 bytes, without what is cached."""
    weights = {}
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/html"}
    for path in _WEB:
        async with session.get(path, headers=headers) as response:
            body = await response.read()
            if response.status != 200:
                raise CannotMeasure(f"{path}: {response.status}")
        weights[path] = round(len(gzip.compress(body, 6)) / 1000, 1)
    return weights


async def _measure(url: str, tokens: dict[str, str], count: int) -> Report:
    times = Times()
    timeout = aiohttp.ClientTimeout(total=None, sock_read=60.0)
    async with aiohttp.ClientSession(url, timeout=timeout) as session:
        asks = _asks(random.Random(1))  # noqa: S311
        for number, ask in enumerate(asks):
            if number % 500 == 0:
                say(f"asking for {number:,} of {len(asks):,} lists …")
            await _time(session, tokens[ask.who], ask, times)
        say("adding up …")
        overview = await _add_up(session, tokens)
        everything = tokens["sees everything"]
        weights = await _weigh(session, everything)
        say("exporting everything …")
        export = await _export(session, everything, count)
    by_person, by_question = times.by(0), times.by(1)
    missed = [
        miss(f"ms for a page, of who {who}", of_them["p95_ms"], MAX_PAGE_P95_MS)
        for who, of_them in by_person.items()
        if of_them["p95_ms"] > MAX_PAGE_P95_MS
    ]
    missed += [
        miss(f"ms for a year's overview, of who {who}", took[f"{max(_SPANS)} days"], MAX_YEAR_MS)
        for who, took in overview.items()
        if took[f"{max(_SPANS)} days"] > MAX_YEAR_MS
    ]
    missed += [
        miss(f"KB of {path}", weight, MAX_WEIGHT_KB)
        for path, weight in weights.items()
        if weight > MAX_WEIGHT_KB
    ]
    if export["broker_grew_by_mb"] > MAX_EXPORT_GROWTH_MB:
        grown = export["broker_grew_by_mb"]
        missed.append(miss("MB that an export grew the broker by", grown, MAX_EXPORT_GROWTH_MB))
    return {
        "pages": figures(times.all),
        "by_person": by_person,
        "by_question": by_question,
        "overview_ms": overview,
        "weights_kb": weights,
        "export": export,
        "missed": missed,
    }


def _write_people(config: Path) -> None:
    """Let the settings know everybody, and policies as the requests have them."""
    settings = yaml.safe_load(config.read_text())
    settings["identity"]["people"] += [
        {"email": email, "groups": [f"approvers-{each:02}" for each in _APPROVES.get(email, ())]}
        for email in _PEOPLE.values()
    ]
    settings["identity"]["groups"] = [f"approvers-{each:02}" for each in range(POLICIES)]
    settings["identity"]["auditors"] = {"people": [_PEOPLE["sees everything"]]}
    config.write_text(yaml.safe_dump(settings))
    policies = [
        {
            "name": f"policy-{number:02}",
            "requesters": {"anyone": True},
            "resources": [{"target": TARGET, "role": ROLE}],
            "approval": {"from": [{"groups": [f"approvers-{number:02}"], "manager": True}]},
            "max_duration": "24h",
        }
        for number in range(POLICIES)
    ]
    text = yaml.safe_dump({"approvers": {"groups": ["dba"]}, "policies": policies})
    (config.parent / "policies.yaml").write_text(text)


@contextmanager
def _service(server: Server, config: Path, api_port: int, proxy_port: int) -> Iterator[str]:
    with run_service(config, server.home / "pgcurfew.log", proxy_port, api_port):
        wait_for_listeners(proxy_port, 1)
        yield f"http://127.0.0.1:{api_port}"


def _run(count: int) -> Report:
    with run_server(find_binaries()) as server:
        proxy_port, api_port = free_port(), free_port()
        config = set_up(server, proxy_port, api_port)
        _write_people(config)
        say(f"filling the ledger with {count:,} requests …")
        began = time.perf_counter()
        filled = asyncio.run(_fill(server, count))
        took = round(time.perf_counter() - began)
        tokens = {who: make_token(config, email) for who, email in _PEOPLE.items()}
        with _service(server, config, api_port, proxy_port) as url:
            report = asyncio.run(_measure(url, tokens, count))
    return {**filled, "filled_in_s": took, "postgresql": server.version, **report}


async def _fill(server: Server, count: int) -> Report:
    async with server.superuser(LEDGER) as db:
        filled = await fill(db, count)
    return {
        "requests": filled.requests,
        "decisions": filled.decisions,
        "grants": filled.grants,
        "sessions": filled.sessions,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(";")[0])
    parser.add_argument("--requests", type=positive, default=1_000_000)
    count = parser.parse_args().requests
    return run(lambda: _run(count))


if __name__ == "__main__":
    sys.exit(main())
