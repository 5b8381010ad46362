"""Deliberate failures: codes that clients rely on, messages that people can act on."""

import pytest

from broker.domain import errors
from broker.domain.errors import BrokerError

# HTTP clients and scripts tell failures apart by these codes: they are part of the interface.
CODES = {
    errors.BrokerError: "broker-error",
    errors.Invalid: "invalid",
    errors.Forbidden: "forbidden",
    errors.NotFound: "not-found",
    errors.Conflict: "conflict",
    errors.Unauthenticated: "unauthenticated",
    errors.Unavailable: "unavailable",
    errors.InvalidDuration: "invalid-duration",
    errors.DurationTooLong: "duration-too-long",
    errors.UnknownTarget: "unknown-target",
    errors.UnknownRole: "unknown-role",
    errors.UnknownPerson: "unknown-person",
    errors.ReasonRequired: "reason-required",
    errors.PolicyDenied: "policy-denied",
    errors.NotApprover: "not-approver",
    errors.SelfApproval: "self-approval",
    errors.IllegalTransition: "illegal-transition",
    errors.NotReady: "not-ready",
    errors.TargetGone: "target-gone",
    errors.LedgerUnavailable: "ledger-unavailable",
    errors.TargetUnreachable: "target-unreachable",
    errors.TargetRefused: "target-refused",
}


def test_every_failure_has_its_stable_code() -> None:
    found = {
        each: each.code
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, BrokerError)
    }
    assert found == CODES


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.NotFound("request", "req_1"), "no request req_1, or none that you may see"),
        (errors.Unauthenticated(), "a valid bearer token is needed"),
        (errors.Unauthenticated("the token has expired"), "the token has expired"),
        (
            errors.InvalidDuration("soon", "it is not a duration"),
            "duration 'soon': it is not a duration; "
            "write 90s, 30m, 8h, 2d or ISO 8601, for example PT1H",
        ),
        (
            errors.DurationTooLong("2h", "1h", "policy 'orders-readers'"),
            "2h is too long: policy 'orders-readers' allows at most 1h",
        ),
        (
            errors.UnknownTarget("x", ["billing", "orders"]),
            "unknown target 'x'; you may ask for billing, orders",
        ),
        (
            errors.UnknownRole("x", "orders", ["orders_reader"]),
            "unknown role 'x' on target 'orders'; you may ask for orders_reader",
        ),
        (errors.ReasonRequired("orders-readers"), "policy 'orders-readers' wants a reason"),
        (
            errors.IllegalTransition("grant grt_1", "ended", "revoked"),
            "grant grt_1 is ended: it cannot be revoked now",
        ),
        (
            errors.UnknownTarget("x", []),
            "unknown target 'x'; you may ask for nothing: no policy names you",
        ),
        (
            errors.UnknownPerson("dev@example.com"),
            "nobody is known as 'dev@example.com'; add them under identity.people",
        ),
        (
            errors.SelfApproval(),
            "nobody approves their own request; ask one of the approvers",
        ),
        (
            errors.LedgerUnavailable(),
            "the ledger cannot be reached; nothing was changed, try again",
        ),
        (
            errors.TargetUnreachable("orders"),
            "target 'orders' cannot be reached at the moment",
        ),
        (
            errors.TargetGone("orders", "orders_reader"),
            "role 'orders_reader' on target 'orders' is no longer in the settings",
        ),
    ],
)
def test_a_failure_says_what_is_wrong_and_what_to_do(error: BrokerError, message: str) -> None:
    assert str(error) == message


def test_a_refusing_target_is_quoted_with_its_sqlstate() -> None:
    refused = errors.TargetRefused("orders", "42501", "permission denied to create role")
    assert str(refused) == "target 'orders' refused: permission denied to create role (42501)"
    assert refused.sqlstate == "42501"
