"""Section `identity`: what is refused, since it would let in others than the operator means."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.config.faults import SettingsError
from broker.config.settings import load_settings
from tests.support.settings_files import write_settings

COMPANY = {"name": "company", "issuer": "https://id.example.com", "client_id": "pgcurfew"}
PARTNER = {"name": "partner", "issuer": "https://id.example.org", "client_id": "pgcurfew"}
DEPLOY = {"name": "deploy-orders", "match": {"repository": "acme/orders", "ref": "refs/heads/main"}}
GITHUB = {
    "name": "github",
    "issuer": "https://token.actions.githubusercontent.com",
    "audience": "pgcurfew",
    "machines": [DEPLOY],
}


def load(folder: Path, **identity: Any) -> Any:
    changes = {f"identity.{key}": value for key, value in identity.items()}
    changes["api.public_url"] = "https://curfew.example.com"
    return load_settings(write_settings(folder, changes)).identity


def fault(folder: Path, **identity: Any) -> str:
    """Return the one complaint about these settings."""
    with pytest.raises(SettingsError) as error:
        load(folder, **identity)
    _head, line = str(error.value).splitlines()
    return line.strip()


def test_a_provider_needs_three_keys_and_gets_safe_defaults(tmp_path: Path) -> None:
    (provider,) = load(tmp_path, providers=[COMPANY]).providers
    assert provider.model_dump(exclude={"name", "issuer", "client_id"}) == {
        "client_secret": None,
        "cli_client_id": None,
        "scopes": ("openid", "email", "profile"),
        "claims": {"email": "email", "name": "name", "groups": "groups", "manager": "manager"},
        "domains": frozenset(),
        "require_verified_email": True,
    }
    assert provider.audiences == {"pgcurfew"}


def test_the_command_line_may_be_a_client_of_its_own(tmp_path: Path) -> None:
    (provider,) = load(tmp_path, providers=[{**COMPANY, "cli_client_id": "cli"}]).providers
    assert provider.audiences == {"pgcurfew", "cli"}


def test_providers_need_an_address_to_send_people_back_to(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"api\.public_url: is missing: providers send people"):
        load_settings(write_settings(tmp_path, {"identity.providers": [COMPANY]}))


def test_a_claim_is_matched_by_one_glob_or_several(tmp_path: Path) -> None:
    match = {"repository": "acme/orders", "environment": ["staging", "prod*"]}
    identity = load(tmp_path, workloads=[{**GITHUB, "machines": [{**DEPLOY, "match": match}]}])
    (machine,) = identity.workloads[0].machines
    assert machine.match == {"repository": ("acme/orders",), "environment": ("staging", "prod*")}


def test_machines_have_addresses_of_their_own(tmp_path: Path) -> None:
    identity = load(tmp_path, workloads=[GITHUB], machines=[{"name": "nightly", "groups": ["g"]}])
    assert identity.machine_emails == {"deploy-orders@github.machine", "nightly@service.machine"}


def test_groups_are_those_of_the_lists_and_those_that_are_only_named(tmp_path: Path) -> None:
    identity = load(
        tmp_path,
        people=[{"email": "a@example.com", "groups": ["dba"]}],
        machines=[{"name": "nightly", "groups": ["reporting"]}],
        workloads=[{**GITHUB, "machines": [{**DEPLOY, "groups": ["deployers"]}]}],
        groups=["platform"],
        operators={"groups": ["platform", "dba"]},
    )
    assert identity.known_groups == {"dba", "reporting", "deployers", "platform"}


def test_what_is_written_about_time_is_read(tmp_path: Path) -> None:
    identity = load(tmp_path, clock_skew="5m", sign_in={"lifetime": "1d", "idle": "1d"})
    assert identity.clock_skew == timedelta(minutes=5)
    assert (identity.sign_in.lifetime, identity.sign_in.idle) == (timedelta(1), timedelta(1))


@pytest.mark.parametrize(
    ("identity", "complaint"),
    [
        (
            {"people": [{"email": "x@github.machine"}]},
            "identity.people.0.email: addresses that end in .machine are those of machines; "
            "for example: reviewer@example.com",
        ),
        (
            {"people": [{"email": "a@example.com"}, {"email": "A@example.com"}]},
            "identity: person 'a@example.com' is there twice; "
            "for example: {people: [{email: dev@example.com}]}",
        ),
        (
            {"providers": [{**COMPANY, "issuer": "http://id.example.com"}]},
            "identity.providers.0.issuer: an issuer is an https:// address, exactly as its tokens "
            "have it in iss; for example: https://id.example.com",
        ),
        (
            {"providers": [{**COMPANY, "issuer": "https://id.example.com?tenant=1"}]},
            "identity.providers.0.issuer: an issuer is an https:// address, exactly as its tokens "
            "have it in iss; for example: https://id.example.com",
        ),
        (
            {"providers": [{**COMPANY, "client_secret": "hush"}]},
            "identity.providers.0.client_secret: a secret is never written here: name where it is, "
            "env:NAME or file:PATH; for example: env:OIDC_CLIENT_SECRET",
        ),
        (
            {"providers": [{**COMPANY, "scopes": ["email"]}]},
            "identity.providers.0.scopes: without the scope openid nobody is identified; "
            "for example: [openid, email, profile, groups]",
        ),
        (
            {"providers": [{**COMPANY, "domains": ["dev@example.com"]}]},
            "identity.providers.0.domains.0: a domain is what follows the @ of an address; "
            "for example: [example.com]",
        ),
        (
            {"providers": [{**COMPANY, "claims": {"group": "roles"}}]},
            "identity.providers.0.claims.group: is not a known key; did you mean groups? "
            "for example: groups: realm_access.roles",
        ),
        (
            {"providers": [{**COMPANY, "domains": ["example.com"]}, PARTNER]},
            "identity: with several providers each needs domains, or one could vouch for others' "
            "people; for example: {people: [{email: dev@example.com}]}",
        ),
        (
            {"providers": [COMPANY], "workloads": [{**GITHUB, "name": "company"}]},
            "identity: provider or workload 'company' is there twice; "
            "for example: {people: [{email: dev@example.com}]}",
        ),
        (
            {"workloads": [GITHUB, {**GITHUB, "name": "again"}]},
            "identity: workload's issuer 'https://token.actions.githubusercontent.com' is there "
            "twice; for example: {people: [{email: dev@example.com}]}",
        ),
        (
            {"providers": [COMPANY], "workloads": [{**GITHUB, "issuer": COMPANY["issuer"]}]},
            "identity: workload github has the audience of a provider: people would be taken for "
            "machines; for example: {people: [{email: dev@example.com}]}",
        ),
        (
            {"workloads": [{**GITHUB, "name": "service"}]},
            "identity.workloads.0.name: service is what identity.machines belong to; "
            "for example: github",
        ),
        (
            {"workloads": [{**GITHUB, "machines": []}]},
            "identity.workloads.0.machines: must not be empty; "
            "for example: [{name: deploy-orders, match: {repository: acme/orders}}]",
        ),
        (
            {"workloads": [{**GITHUB, "machines": [DEPLOY, DEPLOY]}]},
            "identity.workloads.0.machines: machine 'deploy-orders' is there twice; "
            "for example: [{name: deploy-orders, match: {repository: acme/orders}}]",
        ),
        (
            {"machines": [{"name": "nightly"}, {"name": "nightly"}]},
            "identity: machine 'nightly' is there twice; "
            "for example: {people: [{email: dev@example.com}]}",
        ),
        (
            {"operators": {"groups": ["platfrom"]}, "groups": ["platform"]},
            "identity: operators names group 'platfrom', which nobody is in: add it under "
            "identity.groups if a provider says who is; "
            "for example: {people: [{email: dev@example.com}]}",
        ),
        (
            {"auditors": {"people": ["nightly@service.machine"]}},
            "identity.auditors.people.0: addresses that end in .machine are those of machines; "
            "for example: [lead@example.com]",
        ),
        (
            {"clock_skew": "6m"},
            "identity.clock_skew: at most 5m: set the clocks instead; for example: 30s",
        ),
        (
            {"tokens": {"longest": "367d"}},
            "identity.tokens.longest: at most 366d; for example: 90d",
        ),
        (
            {"sign_in": {"lifetime": "1h", "idle": "2h"}},
            "identity.sign_in: idle is longer than lifetime, so it would never be reached; "
            "for example: {lifetime: 12h}",
        ),
        (
            {"sign_in": {"lifetime": "8d"}},
            "identity.sign_in: known_for is shorter than lifetime: people would vanish while in; "
            "for example: {lifetime: 12h}",
        ),
        (
            {"sign_in": {"cookie_keys": ["0123456789abcdef"]}},
            "identity.sign_in.cookie_keys.0: a secret is never written here: name where it is, "
            "env:NAME or file:PATH; for example: [file:secrets/cookie-key]",
        ),
    ],
)
def test_what_would_let_in_others_is_refused_with_its_place_the_reason_and_an_example(
    tmp_path: Path, identity: dict[str, Any], complaint: str
) -> None:
    assert fault(tmp_path, **identity) == complaint


@pytest.mark.parametrize(
    ("match", "complaint"),
    [
        ({}, "must not be empty"),
        ({"repository": []}, "a claim is matched by a glob, or by a list of globs"),
        ({"repository": ""}, "a claim is matched by a glob, or by a list of globs"),
        ({"repository_id": 42}, "numbers in quotes"),
        ({"ref": "refs/heads/main"}, "others on the same issuer would match too"),
        ({"repository": "acme*"}, "others on the same issuer would match too"),
    ],
)
def test_a_machine_must_say_whose_jobs_it_means(
    tmp_path: Path, match: dict[str, Any], complaint: str
) -> None:
    said = fault(tmp_path, workloads=[{**GITHUB, "machines": [{**DEPLOY, "match": match}]}])
    assert said.startswith("identity.workloads.0.machines.0.match")
    assert complaint in said
