"""The operator's two files, read again while we run."""

from pathlib import Path
from typing import Any

import pytest

from broker.assembly.operator_files import FilesOnDisk
from broker.config.settings import load_settings
from broker.domain.errors import UnusablePolicies
from broker.service.in_force import Broken, PoliciesRead, Reading, SettingsRead
from tests.support.settings_files import write_settings

POLICIES = """
approvers: {people: [reviewer@example.com]}
policies:
  - name: readers
    requesters: {anyone: true}
    resources: [{target: orders, role: orders_reader}]
    max_duration: 8h
"""


class Place:
    """A folder with settings and policies, and what reads them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = write_settings(folder)
        self.policies = folder / "policies.yaml"
        self.policies.write_text(POLICIES)
        self.files = FilesOnDisk(self.config, load_settings(self.config))

    def change(self, **changes: Any) -> None:
        write_settings(self.folder, {key.replace("__", "."): each for key, each in changes.items()})

    def read(self) -> Reading:
        reading = self.files.read()
        assert reading is not None
        return reading

    def read_settings(self) -> SettingsRead:
        settings = self.read().settings
        assert isinstance(settings, SettingsRead)
        return settings


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def why(part: object) -> str:
    assert isinstance(part, Broken)
    return part.why


def test_a_look_tells_changed_contents_from_others(place: Place) -> None:
    seen = [place.files.look()]
    assert place.files.look() == seen[0] == place.read().seen
    place.policies.write_text(POLICIES + "# more\n")
    seen.append(place.files.look())
    place.change(proxy__workers=2)
    seen.append(place.files.look())
    place.policies.unlink()
    seen.append(place.files.look())
    assert len(set(seen)) == 4


def test_people_and_terms_are_those_of_the_newest_settings(place: Place) -> None:
    place.change(
        identity__people=[{"email": "new@example.com"}],
        identity__operators={"people": ["new@example.com"]},
        policies__review_within="1d",
    )
    settings = place.read_settings()
    assert settings.directory.find("new@example.com") is not None
    assert settings.authority.operators.emails == {"new@example.com"}
    assert settings.terms.review_within.days == 1
    assert settings.waiting == ()


def test_what_is_not_taken_up_is_named(place: Place) -> None:
    workload = {
        "name": "github",
        "issuer": "https://ci.example.com",
        "audience": "pgcurfew",
        "machines": [{"name": "deploy", "match": {"repository": "acme/orders"}}],
    }
    place.change(proxy__workers=2, identity__workloads=[workload], state_dir="elsewhere")
    assert place.read_settings().waiting == ("state_dir", "proxy", "identity.workloads")
    # As it was again: nothing waits any more.
    place.change()
    assert place.read_settings().waiting == ()


def test_policies_may_move_to_another_file(place: Place) -> None:
    other = place.folder / "others.yaml"
    other.write_text(POLICIES.replace("readers", "lookers"))
    place.change(policies__file="others.yaml")
    policies = place.read().policies
    assert isinstance(policies, PoliciesRead)
    assert [each.name for each in policies.policies.policies] == ["lookers"]
    before = place.files.look()
    other.write_text(POLICIES)
    assert place.files.look() != before


def test_each_file_is_broken_for_itself(place: Place) -> None:
    place.policies.write_text(POLICIES.replace("8h", "long"))
    assert f"{place.policies}:7: policies.0.max_duration: " in why(place.read().policies)
    place.config.write_text("ledger: [")
    assert "not YAML" in why(place.read().settings)
    place.policies.write_text(POLICIES)
    reading = place.read()
    assert isinstance(reading.settings, Broken)
    assert isinstance(reading.policies, PoliciesRead)


def test_files_that_are_gone_or_no_text_are_broken(place: Place) -> None:
    place.config.write_bytes(place.config.read_text().encode("utf-16"))
    assert "not UTF-8" in why(place.read().settings)
    place.config.unlink()
    place.policies.unlink()
    reading = place.read()
    assert "No such file" in why(reading.settings)
    assert "No such file" in why(reading.policies)


def test_a_group_that_is_gone_breaks_the_policies_that_name_it(place: Place) -> None:
    place.change(identity__groups=["dba"])
    place.policies.write_text(POLICIES.replace("anyone: true", "groups: [dba]"))
    assert isinstance(place.read().policies, PoliciesRead)
    place.change()
    reading = place.read()
    assert isinstance(reading.settings, SettingsRead)
    assert "no group 'dba'" in why(reading.policies)


def test_a_secret_is_found_wherever_settings_name_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In lists, too; but not those that this process may not open."""
    (place.folder / "cookie").write_text("hunter2\n")
    monkeypatch.setenv("PROXY_KEY", "correct horse")
    place.change(identity__sign_in={"cookie_keys": ["file:cookie"]})
    text = place.config.read_text()
    place.config.write_text(f"{text}# correct horse\n# incorrect horse\n# hunter2\n")
    settings = place.read_settings()
    number = text.count("\n") + 1
    assert sorted(settings.spills) == [
        f"{place.config}:{number + at}: what {key} names is written out here; take it out, and "
        "replace the secret"
        for at, key in ((0, "keys.proxy_keys.k1"), (2, "identity.sign_in.cookie_keys.0"))
    ]
    assert settings.written.text == (
        f"{text}# [a secret, left out]\n# incorrect horse\n# [a secret, left out]\n"
    )


def test_a_file_that_somebody_sent_is_held_against_the_newest_settings(place: Place) -> None:
    text = POLICIES.replace("anyone: true", "groups: [dba]")
    with pytest.raises(UnusablePolicies, match="no group 'dba'"):
        place.files.parse_policies(text)
    place.change(identity__groups=["dba"])
    place.read()
    assert place.files.parse_policies(text).find("readers") is not None
