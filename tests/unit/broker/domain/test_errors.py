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
    errors.NotIdentified: "unauthenticated",
    errors.Unavailable: "unavailable",
    errors.SignInFailed: "sign-in-failed",
    errors.SignInOver: "sign-in-over",
    errors.NotFromOurPage: "not-from-our-page",
    errors.InvalidDuration: "invalid-duration",
    errors.DurationTooLong: "duration-too-long",
    errors.InvalidSize: "invalid-size",
    errors.BudgetTooLarge: "budget-too-large",
    errors.KeyMalformed: "idempotency-key-malformed",
    errors.KeyReused: "idempotency-key-reused",
    errors.NoSuchBudget: "no-such-budget",
    errors.ScopeTooWide: "scope-too-wide",
    errors.InvalidNetwork: "invalid-network",
    errors.InvalidPlace: "invalid-place",
    errors.InvalidStretch: "invalid-stretch",
    errors.InvalidSearch: "invalid-search",
    errors.UnknownTarget: "unknown-target",
    errors.UnknownRole: "unknown-role",
    errors.NotInCatalog: "not-in-catalog",
    errors.UnusablePolicies: "unusable-policies",
    errors.UnknownPerson: "unknown-person",
    errors.RoleUnusable: "role-unusable",
    errors.KindNotOffered: "kind-not-offered",
    errors.NoPersonalRole: "no-personal-role",
    errors.NotThroughProxy: "not-through-proxy",
    errors.TicketTooLong: "ticket-too-long",
    errors.ReasonRequired: "reason-required",
    errors.DurationRequired: "duration-required",
    errors.NetworkOutside: "network-outside",
    errors.PolicyDenied: "policy-denied",
    errors.ApprovalNeeded: "approval-needed",
    errors.OutsideHours: "outside-hours",
    errors.PreApprovalRequired: "pre-approval-required",
    errors.NobodyCouldApprove: "nobody-could-approve",
    errors.TooManyAtOnce: "too-many-at-once",
    errors.ApproversOnly: "approvers-only",
    errors.NotApprover: "not-approver",
    errors.NotYoursToConfirm: "not-yours-to-confirm",
    errors.SelfApproval: "self-approval",
    errors.AuditorChangesNothing: "auditor-changes-nothing",
    errors.StandingNeeded: "standing-needed",
    errors.NotForMachines: "not-for-machines",
    errors.OutOfScope: "out-of-scope",
    errors.NotYourToken: "not-your-token",
    errors.UnlistedRoute: "unlisted-route",
    errors.IllegalTransition: "illegal-transition",
    errors.KeyInUse: "idempotency-key-in-use",
    errors.OutcomeUnknown: "idempotency-outcome-unknown",
    errors.AnswerNotKept: "idempotency-answer-not-kept",
    errors.CommitSettled: "commit-settled",
    errors.NothingInCommon: "nothing-in-common",
    errors.AlreadyDecided: "already-decided",
    errors.NotEscalatable: "not-escalatable",
    errors.ReviewOverdue: "review-overdue",
    errors.SessionOver: "session-over",
    errors.NotASignIn: "not-a-sign-in",
    errors.NotReady: "not-ready",
    errors.TargetGone: "target-gone",
    errors.HeldByTicket: "held-by-ticket",
    errors.LedgerUnavailable: "ledger-unavailable",
    errors.ProviderUnreachable: "provider-unreachable",
    errors.TargetUnreachable: "target-unreachable",
    errors.TargetRefused: "target-refused",
    errors.PageFailed: "page-failed",
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
        (errors.NotIdentified("token tok_1 has expired"), "a valid bearer token is needed"),
        (
            errors.ProviderUnreachable("https://id.example.com"),
            "who you are cannot be checked: https://id.example.com does not answer as it should; "
            "try again",
        ),
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
        (
            errors.ApproversOnly(),
            "policies are shown to those who approve under one of them; "
            "what they say about you, pgcurfew policy show and policy test tell",
        ),
        (
            errors.NotInCatalog("target", "oders", ["billing", "orders"]),
            "there is no target 'oders'; there are billing, orders",
        ),
        (errors.ReasonRequired("orders-readers"), "policy 'orders-readers' wants a reason"),
        (
            errors.DurationRequired("orders-readers", "8h"),
            "policy 'orders-readers' wants a duration; it allows at most 8h",
        ),
        (
            errors.NetworkOutside("10.0.0.0/7", "orders-readers", ["10.0.0.0/8", "fd00::/8"]),
            "network 10.0.0.0/7 is not within what policy 'orders-readers' allows: "
            "10.0.0.0/8, fd00::/8",
        ),
        (
            errors.OutsideHours(
                "office", "mon-fri 09:00-17:30 Europe/Berlin", "mon 2026-03-02 09:00 Europe/Berlin"
            ),
            "policy 'office' gives access only mon-fri 09:00-17:30 Europe/Berlin: "
            "it opens mon 2026-03-02 09:00 Europe/Berlin",
        ),
        (
            errors.PreApprovalRequired("owners"),
            "policy 'owners' wants an approval in advance, and there is none now",
        ),
        (
            errors.NobodyCouldApprove(
                "owners", ["a@example.com or b@example.com", "c@example.com"]
            ),
            "policy 'owners' needs the approval of a@example.com or b@example.com "
            "and of c@example.com; nobody could give it for this request",
        ),
        (
            errors.TooManyAtOnce("deploys", 2, 2),
            "2 grants live already, and policy 'deploys' allows 2 at once; "
            "relinquish one, or wait for its end",
        ),
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
            errors.RoleUnusable("orders_reader", "orders", ["it may log in", "it is a superuser"]),
            "role 'orders_reader' on target 'orders' cannot be given at the moment: "
            "it may log in; it is a superuser",
        ),
        (
            errors.KindNotOffered("orders_reader", "membership", ["login"]),
            "role 'orders_reader' is not given as a membership, only as a login",
        ),
        (
            errors.NoPersonalRole("dev@example.com", "orders"),
            "dev@example.com has no role of their own on target 'orders' that could become a "
            "member; add it under identity.people: personal_roles, or ask for a login",
        ),
        (
            errors.InvalidPlace("-target"),
            "after must be what `next` of a page with sort=-target was; leave it out to begin anew",
        ),
        (errors.InvalidStretch(), "since must be before until"),
        (errors.InvalidSearch("needs a word"), "q needs a word"),
        (
            errors.InvalidNetwork("here", "it is not a network"),
            "network 'here': it is not a network; "
            "write 10.0.0.0/8, 2001:db8::/32 or a single address",
        ),
        (
            errors.NotThroughProxy("orders_reader"),
            "a membership of 'orders_reader' is used without the proxy, so nothing would keep it "
            "to networks, to one address, or to what is said of statements; ask for a login",
        ),
        (errors.InvalidSize(), "a size is a whole number with its unit: B, kB, MB, GB or TB"),
        (
            errors.BudgetTooLarge("70,000 more rows", "readers", 60_000, "rows"),
            "70,000 more rows are too many: policy 'readers' allows at most 60,000 rows more now",
        ),
        (
            errors.NoSuchBudget("rows"),
            "the rows of this grant are not bounded: it needs no more of them",
        ),
        (
            errors.NotYoursToConfirm(by_approver=True),
            "this commit waits for an approver of the grant, who is not its holder, "
            "and may be rolled back by either",
        ),
        (
            errors.NotYoursToConfirm(by_approver=False),
            "this commit waits for its person, and may be rolled back by either",
        ),
        (
            errors.CommitSettled("hld_1", "timed out"),
            "commit hld_1 waits no longer: it was timed out",
        ),
        (
            errors.TicketTooLong(640, 600),
            "the ticket would have 640 bytes, and 600 are the most: name fewer networks",
        ),
        (
            errors.HeldByTicket("grt_1"),
            "grant grt_1 belongs to a sealed ticket, which holds its only secret and all of its "
            "time; make a request of your own",
        ),
        (errors.SessionOver("ses_1"), "session ses_1 has already ended"),
        (
            errors.NotASignIn(),
            "this token was made to be kept, not by signing in; it ends with pgcurfew token revoke",
        ),
        (
            errors.NotFromOurPage(),
            "this did not come from a page of ours; open the page again, then send",
        ),
        (
            errors.SelfApproval(),
            "nobody approves their own request; ask one of the approvers",
        ),
        (
            errors.AuditorChangesNothing(),
            "auditors see everything and change nothing: somebody else has to do this",
        ),
        (errors.NotForMachines(), "machines ask for access and use it; all else is for people"),
        (
            errors.NotYourToken(),
            "people make tokens of their own, and operators those of machines",
        ),
        (
            errors.ApprovalNeeded("writers", ("lead@example.com", "group dba")),
            "under policy 'writers' somebody has to agree first: lead@example.com or group dba; "
            "make a request, and wait for the approval",
        ),
        (
            errors.NothingInCommon(),
            "the approvers' networks have no address in common; "
            "deny the request, or let it be asked again",
        ),
        (
            errors.AlreadyDecided("req_1"),
            "you have approved request req_1 already; others still have to",
        ),
        (
            errors.NotEscalatable("writers"),
            "policy 'writers' names nobody on call who could be asked instead",
        ),
        (
            errors.ReviewOverdue("grt_1"),
            "the review of break-glass grant grt_1 is overdue; until it is written, "
            "nobody breaks the glass for you again",
        ),
        (
            errors.PageFailed("primary", "it did not answer"),
            "who is on call in 'primary' could not be paged: it did not answer",
        ),
        (errors.UnlistedRoute(), "nothing says who may do this, so nobody may"),
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
