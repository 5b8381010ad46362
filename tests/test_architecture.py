"""Imports point inwards. A failing line here is a design question, not lint.

    api ─► broker.service ─► broker.ledger, broker.target ─► broker.domain
    proxy ─► broker.ledger, broker.domain

The tests read the syntax tree of every file, so an import inside a function counts too.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("broker", "proxy", "api")
IO_MODULES = ("asyncio", "ssl", "asyncpg", "socket", "logging", "time", "uvloop", "aiohttp", "os")

# package or module → the project's own packages and modules that it may import
ALLOWED = {
    "broker.domain": ("broker.domain",),
    "broker.tls": ("broker.domain",),
    "broker.embedded": (),
    # What the operator wrote knows nothing of what is done with it.
    "broker.config": ("broker.config", "broker.domain"),
    # Outside issuers, as broker.target is managed servers: what we ask them, not who asks us.
    "broker.identity": ("broker.domain", "broker.hanging_up", "broker.identity", "broker.tls"),
    # Who is on call: what others know, over HTTP.
    "broker.hanging_up": (),
    "broker.oncall": ("broker.domain", "broker.hanging_up", "broker.oncall"),
    # What SQL says, by PostgreSQL's own grammar.
    "broker.sql": ("broker.domain", "broker.sql"),
    "broker.ledger": ("broker.domain", "broker.ledger", "broker.tls"),
    "broker.target": ("broker.domain", "broker.target", "broker.tls"),
    "broker.service": (
        "broker.domain",
        "broker.ledger",
        "broker.service",
        "broker.sql",
        "broker.target",
    ),
    "broker.reaper": ("broker.domain", "broker.service"),
    # A copy of the record for others: what they speak, not what is on record.
    "broker.sink": ("broker.domain", "broker.sink"),
    "broker.endpoints": (
        "broker.config",
        "broker.domain",
        "broker.ledger",
        "broker.sink",
        "broker.tls",
    ),
    # Where the broker's parts are joined.
    "broker.assembly": (
        "broker.assembly",
        "broker.config",
        "broker.domain",
        "broker.endpoints",
        "broker.identity",
        "broker.ledger",
        "broker.oncall",
        "broker.service",
        "broker.sink",
        "broker.target",
        "broker.tls",
    ),
    "proxy.wire": ("proxy.wire",),
    # Where the proxy's parts are joined.
    "proxy.__main__": ("proxy", "broker.config", "broker.endpoints"),
    "proxy.assembly": ("proxy", "broker.config", "broker.endpoints", "broker.ledger"),
    "proxy": ("proxy", "broker.domain", "broker.ledger", "broker.sink", "broker.sql", "broker.tls"),
    "api": ("api", "broker"),
}
PURE_PROXY = (
    "proxy.channel_binding",
    "proxy.deadlines",
    "proxy.ipfilter",
    "proxy.limits",
    "proxy.prepared",
    "proxy.scram",
    "proxy.spool.records",
    "proxy.spool.shipping",
    "proxy.startup",
    "proxy.throttle",
    "proxy.transcript",
    "proxy.upstream",
    "proxy.watch",
)


def _modules() -> list[str]:
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return sorted(name.removesuffix(".__init__") for name in names)


def _imports(module: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(_source(module).read_text())):
        match node:
            case ast.Import(names=names):
                found |= {name.name for name in names}
            case ast.ImportFrom(module=str(origin), level=0, names=names):
                # `from broker import ledger` names a module too
                found |= {origin, *(f"{origin}.{name.name}" for name in names)}
            case ast.ImportFrom():
                raise AssertionError(f"{module} has a relative import")
    return found


def _source(module: str) -> Path:
    path = ROOT / Path(*module.split("."))
    return path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"


def _is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _rule_of(module: str) -> tuple[str, ...]:
    """Return what the most particular rule lets the module import."""
    rules = [package for package in ALLOWED if _is_within(module, package)]
    if not rules:
        assert module == "broker", f"{module} has no rule: where does it belong?"
        return ()
    return ALLOWED[max(rules, key=len)]


@pytest.mark.parametrize("module", _modules())
def test_a_module_imports_only_what_its_place_allows(module: str) -> None:
    allowed = _rule_of(module)
    ours = {name for name in _imports(module) if name.partition(".")[0] in PACKAGES}
    strangers = {
        name
        for name in ours
        if not any(_is_within(name, place) for place in allowed)
        # `from broker.ledger import audit` also yields the bare `broker.ledger`
        and not any(_is_within(place, name) for place in allowed if name.count("."))
    }
    assert strangers == set()


@pytest.mark.parametrize(
    "module",
    [
        name
        for name in _modules()
        if any(_is_within(name, place) for place in ("broker.domain", "proxy.wire", *PURE_PROXY))
    ],
)
def test_decisions_know_no_input_output_and_no_clock(module: str) -> None:
    roots = {name.partition(".")[0] for name in _imports(module)}
    assert roots.isdisjoint(IO_MODULES)


def test_a_proxy_cannot_even_name_an_admin_credential() -> None:
    """Not directly, and not through anything that it imports."""
    reached: set[str] = set()
    waiting = [name for name in _modules() if _is_within(name, "proxy")]
    known = set(_modules())
    while waiting:
        module = waiting.pop()
        if module in reached:
            continue
        reached.add(module)
        waiting += [name for name in _imports(module) if name in known]
    assert not [name for name in reached if _is_within(name, "broker.target")]
    assert not [name for name in reached if _is_within(name, "broker.service")]
    assert not [name for name in reached if _is_within(name, "api")]


def test_only_one_place_in_the_proxy_and_one_in_the_broker_make_tls_contexts() -> None:
    importers = {name for name in _modules() if "ssl" in _imports(name)}
    makers = {
        name
        for name in importers
        if "SSLContext(" in (ROOT / Path(*name.split("."))).with_suffix(".py").read_text()
        or "create_default_context("
        in (ROOT / Path(*name.split("."))).with_suffix(".py").read_text()
    }
    assert makers == {"broker.tls", "proxy.tls"}
