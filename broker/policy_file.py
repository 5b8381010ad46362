"""The policy file → the policies of broker.domain.policy, or a SettingsError."""

from pathlib import Path

from pydantic import Field, ValidationError, field_validator, model_validator

from broker.domain import policy as rules
from broker.settings import Duration, Email, Name, Section, Settings, beside
from broker.settings_faults import SettingsError, faults
from broker.yaml_file import read_yaml


class PeopleRule(Section):
    anyone: bool = Field(default=False, examples=["true"])
    people: frozenset[Email] = Field(default=frozenset(), examples=["[dev@example.com]"])
    groups: frozenset[str] = Field(default=frozenset(), examples=["[developers]"])

    @model_validator(mode="after")
    def _somebody(self) -> "PeopleRule":
        if not (self.anyone or self.people or self.groups):
            raise ValueError("names nobody: say anyone, people or groups")
        return self

    def rule(self) -> rules.People:
        return rules.People(self.anyone, self.people, self.groups)


class ResourceRule(Section):
    target: str = Field(default="*", examples=["orders"])
    database: str = Field(default="*", examples=["orders"])
    role: str = Field(default="*", examples=["orders_reader"])


class PolicyRule(Section):
    name: Name = Field(examples=["orders-readers"])
    requesters: PeopleRule = Field(examples=["{groups: [developers]}"])
    resources: tuple[ResourceRule, ...] = Field(
        min_length=1, examples=["[{target: orders, role: orders_reader}]"]
    )
    approvers: PeopleRule | None = Field(
        default=None, examples=["{people: [reviewer@example.com]}"]
    )
    max_duration: Duration = Field(examples=["8h"])
    reason_required: bool = Field(default=False, examples=["true"])


class Policies(Section):
    """The policy file. `approvers` at its top decide wherever a policy names none itself."""

    approvers: PeopleRule = Field(examples=["{people: [reviewer@example.com]}"])
    policies: tuple[PolicyRule, ...] = Field(min_length=1, examples=["[{name: readers, …}]"])

    @field_validator("policies")
    @classmethod
    def _unique_names(cls, policies: tuple[PolicyRule, ...]) -> tuple[PolicyRule, ...]:
        names = [policy.name for policy in policies]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two policies are named {twice[0]!r}")
        return policies

    def rules(self) -> tuple[rules.Policy, ...]:
        return tuple(
            rules.Policy(
                name=policy.name,
                requesters=policy.requesters.rule(),
                resources=tuple(
                    rules.Resource(each.target, each.database, each.role)
                    for each in policy.resources
                ),
                approvers=(policy.approvers or self.approvers).rule(),
                max_duration=policy.max_duration,
                reason_required=policy.reason_required,
            )
            for policy in self.policies
        )


def load_policies(settings: Settings, config: Path) -> tuple[rules.Policy, ...]:
    """Read the policy file that the settings name. Raises SettingsError."""
    path = beside(config, settings.policies.file)
    try:
        values = read_yaml(path, "policies: [{name: readers, …}]")
    except OSError as error:
        why = f"policies.file: {path} cannot be read ({error.strerror})"
        raise SettingsError(str(config), [f"  {why}; for example: policies.yaml"]) from None
    try:
        return Policies(**values).rules()
    except ValidationError as error:
        raise SettingsError(str(path), faults(error, Policies)) from None
