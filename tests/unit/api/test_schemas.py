"""What goes out is ready to paste, and what comes in is checked."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
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
            stable_user="dev.orders.orders_reader",
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
    assert view.stable_user == "dev.orders.orders_reader"


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
        {"target": ""},
        {"target": "x" * 64},
        {"role": "a\0b"},
        {"database": "a\nb"},
        {"reason": "\x1b[31mred"},
        {"reason": "x" * 2001},
        {"unknown": 1},
        {"networks": "10.0.0.0/8"},
        {"networks": [10]},
        {"networks": ["here"]},
        {"networks": ["10.0.0.0/8"] * 101},
        {"pin_address": None},
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    body = {"target": "orders", "role": "orders_reader", "duration": "1h", **change}
    with pytest.raises(ValidationError):
        NewRequest.model_validate(body)


def test_a_reason_may_have_lines() -> None:
    body = {"target": "orders", "role": "orders_reader", "duration": "1h", "reason": "a\n\tb"}
    assert NewRequest.model_validate(body).reason == "a\n\tb"


def test_networks_are_read_once_each_and_written_as_text() -> None:
    body = {"networks": ["10.0.0.0/8", "2001:db8::7", "10.0.0.0/8"]}
    approval = Approval.model_validate(body)
    assert approval.networks == (ip_network("10.0.0.0/8"), ip_network("2001:db8::7"))
    written = approval.model_dump_json(include={"networks"})
    assert written == '{"networks":["10.0.0.0/8","2001:db8::7/128"]}'


def test_an_approval_without_networks_is_another_than_one_with_none() -> None:
    assert Approval.model_validate({}).networks is None
    assert Approval.model_validate({"networks": []}).networks == ()


def test_a_network_with_host_bits_is_refused_with_the_one_that_was_meant() -> None:
    body = {
        "target": "orders",
        "role": "orders_reader",
        "duration": "1h",
        "networks": ["10.1.2.3/8"],
    }
    with pytest.raises(ValidationError, match=r"10\.0\.0\.0/8 has not"):
        NewRequest.model_validate(body)
