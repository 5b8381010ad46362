"""What our client programs have in common. They import nothing of ours but this."""

import json
import os
import traceback
from collections.abc import Callable, Mapping

OK = "ok"


def from_environment() -> dict[str, str]:
    """Return libpq's parameters from its environment variables."""
    names = {"PGDATABASE": "dbname", "PGCONNECT_TIMEOUT": "connect_timeout"}
    return {
        names.get(name, name.removeprefix("PG").lower()): value
        for name, value in os.environ.items()
        if name.startswith("PG")
    }


def report_on(version: str, features: Mapping[str, Callable[[], None]]) -> None:
    """Try each feature and print the report."""
    results = {name: _try(feature) for name, feature in features.items()}
    print(json.dumps({"version": version, "results": results}))


def _try(feature: Callable[[], None]) -> str:
    try:
        feature()
    except Exception:
        return traceback.format_exc()
    return OK
