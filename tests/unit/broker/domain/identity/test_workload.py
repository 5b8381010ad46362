"""Claims of a job → the machine that it is, or why it is none."""

from typing import Any

import pytest

from broker.domain.identity.identified import Identified, Refused
from broker.domain.identity.workload import (
    Machine,
    Workload,
    identify_machine,
    machine_email,
    names_its_subject,
)
from broker.domain.person import PersonKind

# As GitHub sends them, some left out.
GITHUB_JOB: dict[str, Any] = {
    "sub": "repo:acme/orders:ref:refs/heads/main",
    "repository": "acme/orders",
    "repository_owner": "acme",
    "ref": "refs/heads/main",
    "ref_protected": "true",
    "run_attempt": 1,
    "environment": "production",
}
# As GitLab sends them, some left out.
GITLAB_JOB: dict[str, Any] = {
    "sub": "project_path:acme/shop/orders:ref_type:branch:ref:main",
    "project_path": "acme/shop/orders",
    "namespace_path": "acme/shop",
    "ref": "main",
    "ref_protected": "true",
}


def machine(name: str, **match: tuple[str, ...]) -> Machine:
    return Machine(
        email=machine_email(name, "ci"), name=name, match=match, groups=frozenset({"deployers"})
    )


def meant(claims: dict[str, Any], *machines: Machine) -> str:
    """Return the machine's name, or why there is none."""
    found = identify_machine(Workload(name="ci", machines=machines), claims)
    return found.name if isinstance(found, Identified) else found.reason


def test_a_job_is_the_machine_whose_claims_all_match() -> None:
    deploy = machine("deploy", repository=("acme/orders",), ref=("refs/heads/main",))
    assert identify_machine(Workload(name="ci", machines=(deploy,)), GITHUB_JOB) == Identified(
        email="deploy@ci.machine",
        name="deploy",
        groups=frozenset({"deployers"}),
        manager=None,
        kind=PersonKind.MACHINE,
        provider="ci",
        subject="repo:acme/orders:ref:refs/heads/main",
    )


def test_the_first_machine_that_matches_is_meant() -> None:
    exact = machine("exact", repository=("acme/orders",))
    every = machine("every", repository=("acme/*",))
    assert meant(GITHUB_JOB, exact, every) == "exact"
    assert meant(GITHUB_JOB, every, exact) == "every"
    assert meant({**GITHUB_JOB, "repository": "acme/billing"}, exact, every) == "every"


def test_globs_are_anchored_and_tell_case() -> None:
    for glob in ("orders", "acme/order", "cme/orders", "Acme/orders"):
        assert meant(GITHUB_JOB, machine("deploy", repository=(glob,))).startswith("no machine")


def test_one_of_several_globs_is_enough() -> None:
    deploy = machine("deploy", project_path=("acme/*",), ref=("main", "release-*"))
    assert meant(GITLAB_JOB, deploy) == "deploy"
    assert meant({**GITLAB_JOB, "ref": "release-7"}, deploy) == "deploy"
    assert meant({**GITLAB_JOB, "ref": "feature"}, deploy).startswith("no machine")


def test_claims_may_be_nested_lists_numbers_and_truths() -> None:
    claims = {"sub": "x", "n": 7, "on": True, "off": False, "in": {"list": ["a", "b", 3]}, "f": 1.5}
    assert (
        meant(claims, Machine(email="m", name="m", match={"n": ("7",), "in.list": ("b",)})) == "m"
    )
    assert meant(claims, Machine(email="m", name="m", match={"on": ("true",)})) == "m"
    assert meant(claims, Machine(email="m", name="m", match={"off": ("false",)})) == "m"
    for path in ("in", "in.list.a", "f", "missing"):
        unmet = Machine(email="m", name="m", match={path: ("*",)})
        assert meant(claims, unmet) == f"no machine of workload ci is meant: {path} is missing"


def test_operators_learn_what_the_token_said_instead() -> None:
    deploy = machine("deploy", repository=("acme/orders",), ref=("refs/heads/main",))
    claims = {"repository": "acme/orders", "ref": "refs/heads/" + "x" * 1000}
    assert identify_machine(Workload(name="ci", machines=(deploy,)), claims) == Refused(
        "no machine of workload ci is meant: "
        f"ref is 'refs/heads/{'x' * 89}', repository is 'acme/orders'"
    )


@pytest.mark.parametrize(
    ("match", "is_enough"),
    [
        ({"repository": ("acme/orders",)}, True),
        ({"repository": ("acme/*",)}, True),
        ({"repository": ("acme/orders", "acme/billing")}, True),
        ({"repository_id": ("42",)}, True),
        ({"sub": ("repo:acme/orders:*",)}, True),
        ({"sub": ("repo:acme/*",)}, True),
        ({"sub": ("project_path:acme/*",)}, True),
        ({"sub": ("system:serviceaccount:ci:*",)}, True),
        ({"namespace_path": ("acme/[ab]*",)}, True),
        ({"ref": ("refs/heads/main",)}, False),
        ({"environment": ("production",), "aud": ("pgcurfew",)}, False),
        ({"job_workflow_ref": ("acme/shared/.github/workflows/deploy.yml@main",)}, False),
        ({"repository": ("*",)}, False),
        ({"repository": ("*/orders",)}, False),
        ({"repository": ("acme*",)}, False),
        ({"repository": ("acme?/orders",)}, False),
        ({"repository": ("acme/orders", "*")}, False),
        ({"repository_owner": ("acme*",)}, False),
        ({"sub": ("repo:*",)}, False),
        ({"sub": ("repo:acme*",)}, False),
        ({"sub": ("organization:acme:pipeline:*",)}, True),
        ({"sub": ("organization:*",)}, False),
        ({"sub": ("repository_owner:*",)}, False),
        ({"sub": ("org/5c4a/project/*",)}, True),
        ({"sub": ("org/*",)}, False),
        ({"sub": ("00u1",)}, True),
        ({}, False),
    ],
)
def test_settings_must_say_whose_jobs_are_meant(
    match: dict[str, tuple[str, ...]], *, is_enough: bool
) -> None:
    """Everybody's repositories get tokens of the same issuer, and have a branch called main."""
    assert names_its_subject(match) is is_enough
