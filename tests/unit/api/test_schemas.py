"""What goes out is ready to paste, and what comes in is checked."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import ValidationError

from api.schemas import Approval, CredentialView, NewRequest
from broker.service.context import Entrance
from broker.service.grants import Credential


def _view(host: str, root: "Path | Literal['system']") -> CredentialView:
    entrance = Entrance(host=host, port=7432, sslmode="verify-full", root_certificate=root)
    return CredentialView.of(
        Credential(
            entrance=entrance,
            user="jit_dev_orders_reader_1",
            password="S3CRET",
            database="orders",
            expires_at=datetime(2030, 1, 1, tzinfo=UTC),
        )
    )


def test_a_credential_comes_with_lines_to_paste(tmp_path: Path) -> None:
    view = _view("db.example.com", tmp_path / "missing.pem")
    where = "db.example.com:7432/orders?sslmode=verify-full"
    assert view.dsn == f"postgresql://jit_dev_orders_reader_1:S3CRET@{where}"
    assert view.psql == f"PGPASSWORD=S3CRET psql 'postgresql://jit_dev_orders_reader_1@{where}'"
    assert view.root_certificate == ""


def test_an_ipv6_host_is_bracketed(tmp_path: Path) -> None:
    assert "@[2001:db8::7]:7432/orders" in _view("2001:db8::7", tmp_path / "none").dsn


def test_the_certificate_that_vouches_for_the_proxy_comes_along(tmp_path: Path) -> None:
    root = tmp_path / "root.pem"
    root.write_text("PEM")
    assert _view("localhost", root).root_certificate == "PEM"


def test_the_clients_own_trust_is_named_where_the_operator_says_so() -> None:
    assert _view("localhost", "system").dsn.endswith("?sslmode=verify-full&sslrootcert=system")


@pytest.mark.parametrize(
    ("text", "duration"),
    [("1h", timedelta(hours=1)), ("PT1H30M", timedelta(minutes=90)), ("2d", timedelta(days=2))],
)
def test_durations_come_in_both_ways(text: str, duration: timedelta) -> None:
    assert Approval.model_validate({"duration": text}).duration == duration


@pytest.mark.parametrize(
    "change",
    [
        {"duration": "0s"},
        {"duration": 3600},
        {"duration": None},
        {"target": ""},
        {"target": "x" * 64},
        {"role": "a\0b"},
        {"database": "a\nb"},
        {"reason": "\x1b[31mred"},
        {"reason": "x" * 2001},
        {"unknown": 1},
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    body = {"target": "orders", "role": "orders_reader", "duration": "1h", **change}
    with pytest.raises(ValidationError):
        NewRequest.model_validate(body)


def test_a_reason_may_have_lines() -> None:
    body = {"target": "orders", "role": "orders_reader", "duration": "1h", "reason": "a\n\tb"}
    assert NewRequest.model_validate(body).reason == "a\n\tb"
