"""What it costs the proxy to turn away those who come from a refused network.

Prints JSON; exits 1 if a bar is missed, 2 if nothing could be measured. See benchmarks/README.md.
"""

import argparse
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from struct import pack

from errors import CannotMeasure
from measure import busy_share
from product import Product, run_product
from script import Report, miss, positive, run, say
from worker import run_worker

from broker.config.network_file import read_networks
from broker.domain.network import Address, Network
from broker.embedded import find_binaries
from proxy.ipfilter import Deny, IpFilter

# The bars.
MAX_CPU_US = 100.0
MAX_LOOK_UP_US = 3.0

NETWORKS = 100_000
_REFUSED = IPv4Network("127.0.1.0/24")  # of loopback; nobody else here comes from there
_EVERYBODY = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
_SEED = 20_260_101  # the same list every time

_AT_ONCE = 100
_WARM_UP = 2_000
_SETTLE_S = 1.0
_ANSWER_TIMEOUT_S = 10.0
_SSL_REQUEST = pack("!II", 8, 80877103)

_LOOK_UPS = 20_000
_LOOK_UP_ROUNDS = 9
_ADDRESSES = 2_000


@dataclass(frozen=True, slots=True)
class Flood:
    """Microseconds of the worker's CPU time for each connection, and what became of them."""

    networks: int
    cpu_us: float
    outcomes: Counter[str]


def measure(connections: int, rounds: int, binaries: Path) -> Report:
    say("setting the stage")
    with run_product(binaries) as product:
        short, long = product.server.home / "short.txt", product.server.home / "long.txt"
        short.write_text(f"{_REFUSED}\n")
        long.write_text("".join(f"{each}\n" for each in [*_networks(NETWORKS - 1), _REFUSED]))
        began = time.perf_counter()
        networks = read_networks(long)
        read_s = time.perf_counter() - began
        began = time.perf_counter()
        ip_filter = IpFilter(allow=_EVERYBODY, deny=networks)
        put_in_s = time.perf_counter() - began
        look_ups = _measure_look_ups(ip_filter, networks)
        busy = busy_share(_SETTLE_S)
        floods = {
            path: _measure_flood(product, path, connections, rounds) for path in (short, long)
        }
    return {
        "benchmark": "refuse",
        "networks": len(networks),
        "connections": connections,
        "rounds": rounds,
        "bars": {"cpu_us_per_connection": MAX_CPU_US, "look_up_us": MAX_LOOK_UP_US},
        "measured": {
            "cpu_us_per_connection": round(median(each.cpu_us for each in floods[long]), 1),
            "look_up_us": max(look_ups.values()),
        },
        "look_up_us": look_ups,
        "read_list_s": round(read_s, 2),
        "put_in_list_s": round(put_in_s, 2),
        "floods": [_flood(each) for each in (*floods[short], *floods[long])],
        "used_by_others": round(busy, 2),
        "missed": list(_misses(floods[long], look_ups)),
    }


def _networks(count: int) -> Iterator[Network]:
    """Return networks of both families and many lengths, as block lists hold them, but for
    loopback."""
    chance = random.Random(_SEED)  # noqa: S311  (not a secret)
    for number in range(count):
        if number % 4 == 3:
            length = chance.choice((32, 48, 56, 64, 64, 128))
            yield IPv6Network((chance.getrandbits(length) << (128 - length), length))
        else:
            length = chance.choice((12, 16, 20, 22, 24, 24, 24, 28, 32, 32, 32))
            prefix = chance.getrandbits(length)
            while prefix >> (length - 8) == _REFUSED.network_address.packed[0]:
                prefix = chance.getrandbits(length)
            yield IPv4Network((prefix << (32 - length), length))


def _measure_look_ups(ip_filter: IpFilter, networks: tuple[Network, ...]) -> dict[str, float]:
    chance = random.Random(_SEED)  # noqa: S311  (not a secret)
    refused = {
        family: [each.network_address for each in networks if isinstance(each, family)]
        for family in (IPv4Network, IPv6Network)
    }
    anywhere: dict[str, Iterator[Address]] = {
        "IPv4": (IPv4Address(chance.getrandbits(32)) for _ in cycle("x")),
        "IPv6": (IPv6Address(chance.getrandbits(128)) for _ in cycle("x")),
    }
    kinds: dict[str, list[Address]] = {
        "IPv4 refused": chance.sample(refused[IPv4Network], _ADDRESSES),
        "IPv6 refused": chance.sample(refused[IPv6Network], _ADDRESSES),
    }
    for family, addresses in anywhere.items():
        allowed = (each for each in addresses if not isinstance(ip_filter.decide(each), Deny))
        kinds[f"{family} allowed"] = list(islice(allowed, _ADDRESSES))
    return {kind: _look_up_us(ip_filter, addresses) for kind, addresses in kinds.items()}


def _look_up_us(ip_filter: IpFilter, addresses: list[Address]) -> float:
    asked = list(islice(cycle(addresses), _LOOK_UPS))
    times = []
    for _ in range(_LOOK_UP_ROUNDS):
        began = time.process_time()  # so that others on this machine do not count
        for address in asked:
            ip_filter.decide(address)
        times.append(time.process_time() - began)
    return round(median(times) / _LOOK_UPS * 1e6, 2)


def _measure_flood(product: Product, path: Path, connections: int, rounds: int) -> list[Flood]:
    changes = {"proxy": {"networks": {"deny_files": [str(path)]}}}
    floods = []
    with run_worker(product, path.stem, changes) as worker:
        if _knock(worker.port, "127.0.0.1", 1) != Counter(answered=1):
            raise CannotMeasure("the worker does not answer those who are allowed")
        _flood_from_everywhere(worker.port, _WARM_UP)
        for _ in range(rounds):
            time.sleep(_SETTLE_S)
            before = worker.cpu_s()
            outcomes = _flood_from_everywhere(worker.port, connections)
            time.sleep(_SETTLE_S)
            cpu_us = (worker.cpu_s() - before) / connections * 1e6
            floods.append(Flood(len(read_networks(path)), cpu_us, outcomes))
            say(f"{floods[-1].networks} networks: {cpu_us:.1f} µs each, {dict(outcomes)}")
    return floods


def _flood_from_everywhere(port: int, connections: int) -> Counter[str]:
    """Knock from all addresses of the refused network in turn."""
    outcomes: Counter[str] = Counter()
    sources = cycle(map(str, _REFUSED.hosts()))
    while connections:
        count = min(_AT_ONCE, connections)
        outcomes += _knock(port, next(sources), count)
        connections -= count
    return outcomes


def _knock(port: int, source: str, count: int) -> Counter[str]:
    """Begin so many connections as a client would, at once; return what became of them."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.settimeout(_ANSWER_TIMEOUT_S)
            sock.bind((source, 0))
            sock.connect(("127.0.0.1", port))
        return Counter(map(_outcome, sockets))
    finally:
        for sock in sockets:
            sock.close()


def _outcome(sock: socket.socket) -> str:
    try:
        sock.sendall(_SSL_REQUEST)
        return "answered" if sock.recv(1) else "closed"
    except (ConnectionResetError, BrokenPipeError):
        return "closed"
    except TimeoutError:
        raise CannotMeasure("a refused connection is neither answered nor closed") from None


def _flood(flood: Flood) -> dict[str, object]:
    return {
        "networks": flood.networks,
        "cpu_us_per_connection": round(flood.cpu_us, 1),
        **flood.outcomes,
    }


def _misses(floods: list[Flood], look_ups: dict[str, float]) -> Iterator[dict[str, object]]:
    cpu_us = median(each.cpu_us for each in floods)
    if cpu_us > MAX_CPU_US:
        yield miss("cpu_us_per_connection", cpu_us, MAX_CPU_US)
    for kind, look_up_us in look_ups.items():
        if look_up_us > MAX_LOOK_UP_US:
            yield miss(f"look_up_us, {kind}", look_up_us, MAX_LOOK_UP_US)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the price of turning somebody away")
    parser.add_argument("--connections", type=positive, default=20_000, help="of each round")
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--binaries", type=Path, help="of PostgreSQL; default: the embedded one")
    return parser.parse_args()


if __name__ == "__main__":
    options = _options()
    sys.exit(
        run(
            lambda: measure(
                options.connections, options.rounds, options.binaries or find_binaries()
            )
        )
    )
