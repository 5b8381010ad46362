"""Section `identity` of the settings: who there is, and whose word we take for it."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator, field_validator, model_validator

from broker.config.values import Duration, Email, Identifier, Name, SecretRef, Section
from broker.domain.identity.claims import MACHINE_DOMAIN
from broker.domain.identity.issuer import is_issuer_url
from broker.domain.identity.workload import SUBJECT_CLAIMS, machine_email, names_its_subject

SERVICE = "service"
"""Whose machines those are that no issuer vouches for: they come with a token of ours."""

_LONGEST_SKEW = timedelta(minutes=5)
_LONGEST_LIFE = timedelta(days=366)


def _human_email(email: str) -> str:
    if email.endswith(MACHINE_DOMAIN):
        raise ValueError(f"addresses that end in {MACHINE_DOMAIN} are those of machines")
    return email


def _issuer(text: str) -> str:
    if not is_issuer_url(text) or "?" in text:
        raise ValueError("an issuer is an https:// address, exactly as its tokens have it in iss")
    return text


def _domain(text: str) -> str:
    if "@" in text or text != text.strip() or not text:
        raise ValueError("a domain is what follows the @ of an address")
    return text.lower()


def _globs(value: Any) -> tuple[str, ...]:
    globs = value if isinstance(value, list) else [value]
    if not globs or not all(isinstance(each, str) and each for each in globs):
        raise ValueError("a claim is matched by a glob, or by a list of globs; numbers in quotes")
    return tuple(globs)


def _skew(duration: timedelta) -> timedelta:
    if duration > _LONGEST_SKEW:
        raise ValueError("at most 5m: set the clocks instead")
    return duration


def _lifetime(duration: timedelta) -> timedelta:
    if duration > _LONGEST_LIFE:
        raise ValueError("at most 366d")
    return duration


HumanEmail = Annotated[Email, AfterValidator(_human_email)]
Issuer = Annotated[str, AfterValidator(_issuer)]
Domain = Annotated[str, AfterValidator(_domain)]
Globs = Annotated[tuple[str, ...], PlainValidator(_globs)]
ClaimName = Annotated[str, Field(min_length=1, max_length=200)]
Group = Annotated[str, Field(min_length=1, max_length=200)]
Lifetime = Annotated[Duration, AfterValidator(_lifetime)]


class PersonSettings(Section):
    email: HumanEmail = Field(examples=["reviewer@example.com"])
    name: str = Field(default="", examples=["On-call reviewer"])
    groups: frozenset[Group] = Field(default=frozenset(), examples=["[dba]"])
    manager: HumanEmail | None = Field(default=None, examples=["lead@example.com"])
    personal_roles: dict[Name, Identifier] = Field(default={}, examples=["{orders: alice}"])


class MachineSettings(Section):
    """A machine that no issuer vouches for: an operator makes tokens for it."""

    name: Name = Field(examples=["nightly-report"])
    groups: frozenset[Group] = Field(default=frozenset(), examples=["[reporting]"])


class StandingSettings(Section):
    """People of a standing of their own. Naming nobody, it is nobody's."""

    people: frozenset[HumanEmail] = Field(default=frozenset(), examples=["[lead@example.com]"])
    groups: frozenset[Group] = Field(default=frozenset(), examples=["[platform]"])


class ClaimSettings(Section):
    email: ClaimName = Field(default="email", examples=["email"])
    name: ClaimName = Field(default="name", examples=["name"])
    groups: ClaimName = Field(default="groups", examples=["realm_access.roles"])
    manager: ClaimName = Field(default="manager", examples=["manager"])


class ProviderSettings(Section):
    name: Name = Field(examples=["company"])
    issuer: Issuer = Field(examples=["https://id.example.com"])
    client_id: str = Field(min_length=1, examples=["pgcurfew"])
    client_secret: SecretRef | None = Field(default=None, examples=["env:OIDC_CLIENT_SECRET"])
    cli_client_id: str | None = Field(default=None, min_length=1, examples=["pgcurfew-cli"])
    scopes: tuple[str, ...] = Field(
        default=("openid", "email", "profile"), examples=["[openid, email, profile, groups]"]
    )
    claims: ClaimSettings = Field(default=ClaimSettings(), examples=["{groups: roles}"])
    domains: frozenset[Domain] = Field(default=frozenset(), examples=["[example.com]"])
    require_verified_email: bool = Field(default=True, examples=["false"])

    @field_validator("scopes")
    @classmethod
    def _openid(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in scopes:
            raise ValueError("without the scope openid nobody is identified")
        return scopes

    @property
    def audiences(self) -> frozenset[str]:
        return frozenset({self.client_id, self.cli_client_id or self.client_id})


class WorkloadMachineSettings(MachineSettings):
    match: dict[ClaimName, Globs] = Field(
        min_length=1, examples=["{repository: acme/orders, ref: refs/heads/main}"]
    )

    @field_validator("match")
    @classmethod
    def _somebody(cls, match: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if not names_its_subject(match):
            raise ValueError(
                "others on the same issuer would match too: at least one of "
                f"{', '.join(SUBJECT_CLAIMS)} must be given, without a wildcard or as acme/*"
            )
        return match


class WorkloadSettings(Section):
    name: Name = Field(examples=["github"])
    issuer: Issuer = Field(examples=["https://token.actions.githubusercontent.com"])
    audience: str = Field(min_length=1, examples=["pgcurfew"])
    machines: tuple[WorkloadMachineSettings, ...] = Field(
        min_length=1, examples=["[{name: deploy-orders, match: {repository: acme/orders}}]"]
    )

    @field_validator("name")
    @classmethod
    def _not_ours(cls, name: str) -> str:
        if name == SERVICE:
            raise ValueError(f"{SERVICE} is what identity.machines belong to")
        return name

    @field_validator("machines")
    @classmethod
    def _one_of_each(
        cls, machines: tuple[WorkloadMachineSettings, ...]
    ) -> tuple[WorkloadMachineSettings, ...]:
        _require_distinct("machine", (each.name for each in machines))
        return machines


class SignInSettings(Section):
    lifetime: Lifetime = Field(default=timedelta(hours=12), examples=["12h"])
    idle: Lifetime = Field(default=timedelta(hours=1), examples=["1h"])
    known_for: Lifetime = Field(default=timedelta(days=7), examples=["7d"])
    cookie_keys: tuple[SecretRef, ...] = Field(default=(), examples=["[file:secrets/cookie-key]"])

    @model_validator(mode="after")
    def _ordered(self) -> "SignInSettings":
        if self.idle > self.lifetime:
            raise ValueError("idle is longer than lifetime, so it would never be reached")
        if self.known_for < self.lifetime:
            raise ValueError("known_for is shorter than lifetime: people would vanish while in")
        return self


class TokenSettings(Section):
    longest: Lifetime = Field(default=timedelta(days=90), examples=["90d"])


class IdentitySettings(Section):
    people: tuple[PersonSettings, ...] = Field(default=(), examples=["[{email: dev@example.com}]"])
    machines: tuple[MachineSettings, ...] = Field(default=(), examples=["[{name: nightly-report}]"])
    groups: frozenset[Group] = Field(default=frozenset(), examples=["[dba, developers]"])
    operators: StandingSettings = Field(
        default=StandingSettings(), examples=["{groups: [platform]}"]
    )
    auditors: StandingSettings = Field(
        default=StandingSettings(), examples=["{people: [auditor@example.com]}"]
    )
    providers: tuple[ProviderSettings, ...] = Field(
        default=(), examples=["[{name: company, issuer: 'https://id.example.com', client_id: …}]"]
    )
    workloads: tuple[WorkloadSettings, ...] = Field(
        default=(), examples=["[{name: github, issuer: 'https://…', audience: pgcurfew, …}]"]
    )
    sign_in: SignInSettings = Field(default=SignInSettings(), examples=["{lifetime: 12h}"])
    tokens: TokenSettings = Field(default=TokenSettings(), examples=["{longest: 90d}"])
    clock_skew: Annotated[Duration, AfterValidator(_skew)] = Field(
        default=timedelta(seconds=30), examples=["30s"]
    )

    @property
    def known_groups(self) -> frozenset[str]:
        """Return all groups that somebody may be in, for those who name one."""
        of_people = (each.groups for each in self.people)
        of_machines = (each.groups for _email, each in self.all_machines())
        return self.groups.union(*of_people, *of_machines)

    @property
    def machine_emails(self) -> frozenset[str]:
        """Return the addresses of all machines, for those who name one."""
        return frozenset(email for email, _machine in self.all_machines())

    def all_machines(self) -> Iterator[tuple[str, MachineSettings]]:
        """Yield every machine and its address."""
        for each in self.machines:
            yield machine_email(each.name, SERVICE), each
        for workload in self.workloads:
            for machine in workload.machines:
                yield machine_email(machine.name, workload.name), machine

    @model_validator(mode="after")
    def _distinct(self) -> "IdentitySettings":
        _require_distinct("person", (each.email for each in self.people))
        _require_distinct("machine", (each.name for each in self.machines))
        names = [each.name for each in self.providers] + [each.name for each in self.workloads]
        _require_distinct("provider or workload", names)
        _require_distinct("workload's issuer", (each.issuer for each in self.workloads))
        return self

    @model_validator(mode="after")
    def _nobody_speaks_for_others(self) -> "IdentitySettings":
        if len(self.providers) > 1 and not all(each.domains for each in self.providers):
            raise ValueError(
                "with several providers each needs domains, or one could vouch for others' people"
            )
        taken = {(each.issuer, name) for each in self.providers for name in each.audiences}
        for workload in self.workloads:
            if (workload.issuer, workload.audience) in taken:
                raise ValueError(
                    f"workload {workload.name} has the audience of a provider: people would be "
                    "taken for machines"
                )
        return self

    @model_validator(mode="after")
    def _known_groups_only(self) -> "IdentitySettings":
        for key, rule in (("operators", self.operators), ("auditors", self.auditors)):
            unknown = sorted(rule.groups - self.known_groups)
            if unknown:
                raise ValueError(
                    f"{key} names group {unknown[0]!r}, which nobody is in: "
                    "add it under identity.groups if a provider says who is"
                )
        return self


def _require_distinct(what: str, names: Iterable[str]) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what} {name!r} is there twice")
        seen.add(name)
