"""What a proxy process may see of the broker's environment."""

from typing import Any

import pytest

from api.cli.proxy_process import proxy_environment
from broker.config.settings import Settings


def _settings(**changes: Any) -> Settings:
    values = {
        "ledger": {
            "host": "127.0.0.1",
            "user": "curfew",
            "password": "env:LEDGER_PASSWORD",
            "proxy": {"user": "curfew_proxy", "password": "env:PROXY_PASSWORD"},
        },
        "keys": {
            "current": "k2",
            "proxy_keys": {"k1": "env:OLD_KEY", "k2": "file:secrets/key"},
        },
        "targets": {
            "orders": {
                "host": "127.0.0.1",
                "database": "orders",
                "admin": {"user": "curfew_broker_1", "password": "env:ADMIN_PASSWORD"},
                "roles": {"orders_reader": {}},
            }
        },
        **changes,
    }
    return Settings(**values)


ENVIRONMENT = {
    "PATH": "/usr/bin",
    "PGCURFEW_CONFIG": "/etc/pgcurfew.yaml",
    "PGCURFEW_PROXY__WORKERS": "4",
    "PGCURFEW_TOKEN": "a person's",
    "LEDGER_PASSWORD": "1",
    "ADMIN_PASSWORD": "2",
    "PROXY_PASSWORD": "3",
    "OLD_KEY": "4",
    "AWS_SECRET_ACCESS_KEY": "5",
}


def test_a_proxy_gets_its_own_secrets_the_settings_and_nothing_else() -> None:
    assert set(proxy_environment(_settings(), ENVIRONMENT)) == {
        "PATH",
        "PGCURFEW_CONFIG",
        "PGCURFEW_PROXY__WORKERS",
        "PROXY_PASSWORD",
        "OLD_KEY",
    }


def test_a_proxy_gets_the_token_of_the_sink() -> None:
    sink = {"url": "https://siem.example.com/ingest", "token": "env:SIEM_TOKEN"}
    environment = {**ENVIRONMENT, "SIEM_TOKEN": "6"}
    assert "SIEM_TOKEN" in proxy_environment(_settings(audit={"sink": sink}), environment)
    assert "SIEM_TOKEN" not in proxy_environment(_settings(), environment)


@pytest.mark.parametrize("key", ["ticket_key", "audit_key"])
def test_what_signs_tickets_and_checkpoints_stays_out_of_proxies(key: str) -> None:
    keys = {"current": "k1", "proxy_keys": {"k1": "env:OLD_KEY"}, key: "env:PATH"}
    assert "PATH" not in proxy_environment(_settings(keys=keys), ENVIRONMENT)


def test_an_admin_secret_stays_out_whatever_its_name() -> None:
    """Even one that is named like a setting, or like something harmless."""
    orders = _settings().targets["orders"].model_dump(mode="json")
    for name in ("PGCURFEW_ADMIN__PASSWORD", "PATH"):
        orders["admin"]["password"] = f"env:{name}"
        settings = _settings(targets={"orders": orders})
        assert name not in proxy_environment(settings, {**ENVIRONMENT, name: "secret"})


def test_keys_of_who_is_on_call_stay_out_whatever_their_names() -> None:
    for place in ("pagerduty", "incident_io", "routing_key"):
        names = dict.fromkeys(("pagerduty", "incident_io", "routing_key"), "env:OTHER")
        names[place] = "env:PGCURFEW_KEY__OF"
        schedule = {"pagerduty": "PI7DH85", "routing_key": names["routing_key"]}
        oncall = {
            "schedules": {"primary": schedule},
            "pagerduty": {"token": names["pagerduty"]},
            "incident_io": {"token": names["incident_io"]},
        }
        settings = _settings(oncall=oncall)
        environment = {**ENVIRONMENT, "PGCURFEW_KEY__OF": "secret", "OTHER": "secret"}
        assert "secret" not in proxy_environment(settings, environment).values()
