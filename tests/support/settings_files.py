"""Settings files that are right, and one change away from wrong."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

ABSENT = object()
"""What `write_settings` takes for a key that is to be left out."""

SMALLEST: dict[str, Any] = {
    "ledger": {
        "host": "127.0.0.1",
        "user": "curfew",
        "password": "env:LEDGER_PASSWORD",
        "proxy": {"user": "curfew_proxy", "password": "env:LEDGER_PROXY_PASSWORD"},
    },
    "keys": {"current": "k1", "proxy_keys": {"k1": "env:PROXY_KEY"}},
    "targets": {
        "orders": {
            "host": "orders-db.internal",
            "database": "orders",
            "admin": {"user": "curfew_broker_1", "password": "env:ORDERS_ADMIN_PASSWORD"},
            "roles": {"orders_reader": {}},
        }
    },
}


def write_settings(folder: Path, changes: dict[str, Any] | None = None) -> Path:
    """Write the smallest settings that work, with `changes` by dotted path, and return the file."""
    config = folder / "pgcurfew.yaml"
    config.write_text(yaml.safe_dump(changed(SMALLEST, changes or {})))
    return config


def changed(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of `values` with each dotted path set to its value, or left out if ABSENT."""
    values = deepcopy(values)
    for path, value in changes.items():
        *sections, key = path.split(".")
        section = values
        for name in sections:
            section = section.setdefault(name, {})
        if value is ABSENT:
            del section[key]
        else:
            section[key] = value
    return values
