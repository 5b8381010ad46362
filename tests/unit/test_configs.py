"""The settings files that we ship are usable, and explain every key there is."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from broker.config.faults import keys
from broker.config.policy_file import load_policies
from broker.config.policy_models import Policies
from broker.config.settings import CatalogRoleSettings, Settings, load_settings
from broker.domain.picture import FindingKind
from broker.domain.undo import SweepRules

CONFIGS = Path(__file__).parents[2] / "configs"


def test_the_shipped_settings_are_usable() -> None:
    config = CONFIGS / "pgcurfew.yaml"
    settings = load_settings(config)
    assert settings.targets["orders"].admin.role == "curfew_admin"
    assert [policy.name for policy in load_policies(settings, config).book.policies] == [
        "orders-readers",
        "orders-writers",
    ]


@pytest.mark.parametrize(("name", "model"), [("pgcurfew", Settings), ("policies", Policies)])
def test_every_key_is_explained(name: str, model: type[BaseModel]) -> None:
    text = (CONFIGS / f"{name}.yaml").read_text()
    missing = [key for key in _keys(model) if f"{key}:" not in text]
    assert missing == []


def test_the_shipped_values_of_optional_keys_are_the_defaults() -> None:
    """So that the file can be trusted as the list of defaults."""
    shipped = yaml.safe_load((CONFIGS / "pgcurfew.yaml").read_text())
    role = shipped["targets"]["orders"]["roles"]["orders_reader"]
    described = {"description": role["description"]}
    assert CatalogRoleSettings(**role) == CatalogRoleSettings(**described)
    for section in ("proxy", "api"):
        model = Settings.model_fields[section].annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        assert model(**shipped[section]) == model(), section


def test_the_shipped_policies_name_every_kind_of_change_and_choose_none() -> None:
    text = (CONFIGS / "policies.yaml").read_text()
    words = set(re.findall(r"[a-z_]+", text.partition("# What a grant left behind")[2]))
    assert words >= set(FindingKind)
    policies = Policies(**yaml.safe_load(text)).policies
    assert [policy.sweep.rule() for policy in policies] == [SweepRules()] * len(policies)


def _keys(model: type[BaseModel]) -> set[str]:
    """Return the names of all settings, of nested sections too."""
    found = set(keys(model))
    for field in keys(model).values():
        for nested in _models_in(field.annotation):
            found |= _keys(nested)
    return found


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [
        model for argument in getattr(annotation, "__args__", ()) for model in _models_in(argument)
    ]
