"""The policy file, and what is said about one that cannot be used."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.domain.policy import People, Policy, Resource
from broker.policy_file import load_policies
from broker.settings import load_settings
from broker.settings_faults import SettingsError
from tests.support.settings_files import ABSENT, changed, write_settings

SMALLEST: dict[str, Any] = {
    "approvers": {"groups": ["dba"]},
    "policies": [
        {
            "name": "orders-readers",
            "requesters": {"anyone": True},
            "resources": [{"target": "orders"}],
            "max_duration": "8h",
        }
    ],
}
NOBODY = "names nobody: say anyone, people or groups"
DURATIONS = "write 90s, 30m, 8h, 2d or ISO 8601, for example PT1H"
SOME_APPROVERS = "{people: [reviewer@example.com]}"
SOME_REQUESTERS = "{groups: [developers]}"
SOME_POLICIES = "[{name: readers, …}]"
FULL = """
approvers: {people: [Reviewer@Example.com], groups: [dba]}
policies:
  - name: orders-readers
    requesters: {anyone: true}
    resources:
      - {target: orders, role: orders_reader}
      - {target: "orders-*", database: orders, role: "*_reader"}
    max_duration: 8h
  - name: orders-owners
    requesters: {people: [dev@example.com]}
    resources: [{}]
    approvers: {anyone: true}
    max_duration: PT30M
    reason_required: true
"""


def load(folder: Path, text: str) -> tuple[Policy, ...]:
    config = write_settings(folder)
    (folder / "policies.yaml").write_text(text)
    return load_policies(load_settings(config), config)


def complaints(folder: Path, text: str) -> list[str]:
    with pytest.raises(SettingsError) as error:
        load(folder, text)
    head, *faults = str(error.value).splitlines()
    assert head == f"settings in {folder / 'policies.yaml'} cannot be used:"
    return [fault.removeprefix("  ") for fault in faults]


def test_policies_are_read_in_the_order_of_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, FULL) == (
        Policy(
            name="orders-readers",
            requesters=People(anyone=True),
            resources=(
                Resource("orders", "*", "orders_reader"),
                Resource("orders-*", "orders", "*_reader"),
            ),
            approvers=People(emails=frozenset({"reviewer@example.com"}), groups=frozenset({"dba"})),
            max_duration=timedelta(hours=8),
            reason_required=False,
        ),
        Policy(
            name="orders-owners",
            requesters=People(emails=frozenset({"dev@example.com"})),
            resources=(Resource("*", "*", "*"),),
            approvers=People(anyone=True),
            max_duration=timedelta(minutes=30),
            reason_required=True,
        ),
    )


def test_the_policy_file_is_found_beside_the_settings(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "all.yaml").write_text(FULL)
    config = write_settings(tmp_path, {"policies.file": "policies/all.yaml"})
    policies = load_policies(load_settings(config), config)
    assert [policy.name for policy in policies] == ["orders-readers", "orders-owners"]


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("approvers", ABSENT, f"approvers: is missing; for example: {SOME_APPROVERS}"),
        ("approvers", {}, f"approvers: {NOBODY}; for example: {SOME_APPROVERS}"),
        ("approvers", {"anyone": False}, f"approvers: {NOBODY}; for example: {SOME_APPROVERS}"),
        (
            "approvers.people",
            ["reviewer"],
            "approvers.people.0: not an e-mail address; for example: [dev@example.com]",
        ),
        (
            "approvers.group",
            ["dba"],
            "approvers.group: is not a known key; did you mean groups? "
            "for example: groups: [developers]",
        ),
        ("policies", [], f"policies: must not be empty; for example: {SOME_POLICIES}"),
        ("policies", {}, f"policies: must be a list; for example: {SOME_POLICIES}"),
        (
            "polices",
            [],
            "polices: is not a known key; did you mean policies? "
            f"for example: policies: {SOME_POLICIES}",
        ),
        (
            "policies",
            SMALLEST["policies"] * 2,
            f"policies: two policies are named 'orders-readers'; for example: {SOME_POLICIES}",
        ),
    ],
)
def test_a_fault_at_the_top_names_its_place_the_reason_and_an_example(
    tmp_path: Path, path: str, value: Any, fault: str
) -> None:
    assert complaints(tmp_path, yaml.safe_dump(changed(SMALLEST, {path: value}))) == [fault]


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (
            "name",
            "Orders Readers",
            "name: a name is at most 63 of a-z, 0-9, dot, dash and underscore, "
            "and begins with a letter or a digit; for example: orders-readers",
        ),
        ("requesters", ABSENT, f"requesters: is missing; for example: {SOME_REQUESTERS}"),
        ("requesters", {}, f"requesters: {NOBODY}; for example: {SOME_REQUESTERS}"),
        (
            "requesters.people",
            ["dev"],
            "requesters.people.0: not an e-mail address; for example: [dev@example.com]",
        ),
        (
            "approvers",
            "dba",
            f"approvers: must be a mapping of keys to values; for example: {SOME_APPROVERS}",
        ),
        (
            "approvers",
            {"groups": ["dba", 5]},
            "approvers.groups.1: must be text; in quotes, if it looks like something else; "
            "for example: [developers]",
        ),
        (
            "resources",
            [],
            "resources: must not be empty; for example: [{target: orders, role: orders_reader}]",
        ),
        (
            "resources",
            [{"target": "orders"}, {"databse": "orders"}],
            "resources.1.databse: is not a known key; did you mean database? "
            "for example: database: orders",
        ),
        ("max_duration", ABSENT, "max_duration: is missing; for example: 8h"),
        (
            "max_duration",
            8,
            f"max_duration: duration '8': it is not a duration; {DURATIONS}; for example: 8h",
        ),
        (
            "max_duration",
            "0s",
            "max_duration: duration '0s': it must be longer than nothing; "
            f"{DURATIONS}; for example: 8h",
        ),
        (
            "reason_required",
            "sometimes",
            "reason_required: must be a valid boolean, unable to interpret input; "
            "for example: true",
        ),
    ],
)
def test_a_fault_in_a_policy_names_the_policy_by_its_place(
    tmp_path: Path, path: str, value: Any, fault: str
) -> None:
    wrong = changed(SMALLEST["policies"][0], {"name": "second", path: value})
    text = yaml.safe_dump({**SMALLEST, "policies": [*SMALLEST["policies"], wrong]})
    assert complaints(tmp_path, text) == [f"policies.1.{fault}"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: b: c", "it is not YAML at line 1: mapping values are not allowed here"),
        ("", "it must be a mapping of keys to values"),
        ("- name: readers", "it must be a mapping of keys to values"),
    ],
)
def test_a_policy_file_that_is_no_yaml_mapping_is_refused(
    tmp_path: Path, text: str, why: str
) -> None:
    assert complaints(tmp_path, text) == [f"{why}; for example: policies: [{{name: readers, …}}]"]


def test_a_missing_policy_file_is_blamed_on_the_key_that_names_it(tmp_path: Path) -> None:
    config = write_settings(tmp_path)
    with pytest.raises(SettingsError) as error:
        load_policies(load_settings(config), config)
    assert str(error.value) == (
        f"settings in {config} cannot be used:\n"
        f"  policies.file: {tmp_path}/policies.yaml cannot be read (No such file or directory); "
        "for example: policies.yaml"
    )
