"""What the operator decides about connections: all that may change while a worker runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.domain.credential import ProxyKey
from broker.domain.grant import Grant
from broker.domain.network import Address
from broker.domain.ticket import Verify
from broker.ledger.bans import ThrottleRules
from proxy.deadlines import SessionRules
from proxy.dial import Upstream
from proxy.ipfilter import Allow, Deny, IpFilter, Layer, NetworkSet, decide
from proxy.refusals import Guide
from proxy.tls import CertificateWatch, ClientTls


@dataclass(frozen=True, slots=True)
class Limits:
    """What one worker takes from strangers: connections that have not logged in, in all and per
    address; cancel requests a second per address; refusals a second that are explained."""

    half_open: int
    half_open_per_address: int
    cancels_per_s: int
    explained_refusals_per_s: int


@dataclass(frozen=True, slots=True)
class RoleRules:
    networks: IpFilter
    sessions: SessionRules


@dataclass(frozen=True, slots=True)
class TargetRules:
    upstream: Upstream
    networks: IpFilter
    roles: Mapping[str, RoleRules]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """`behind` are the load balancers whose connections begin with a PROXY protocol header.
    `proxy_keys` holds older keys too, for the grants made under them. `tickets` tells genuine ones
    from others, or is None where none are accepted."""

    certificates: CertificateWatch | None = field(repr=False)
    tls_required: bool
    networks: IpFilter
    behind: NetworkSet
    targets: Mapping[str, TargetRules]
    sessions: SessionRules
    proxy_keys: Mapping[str, ProxyKey]
    current_key: ProxyKey
    throttle: ThrottleRules
    limits: Limits
    guide: Guide
    startup_timeout_s: float
    longest_text: int
    tickets: Verify | None = None

    @property
    def tls(self) -> ClientTls | None:
        return self.certificates.current if self.certificates is not None else None

    def may_come_from(self, address: Address, grant: Grant) -> Allow | Deny:
        """Decide about somebody who has proved whose grant it is, from an address that the
        settings allow at large."""
        target = self.targets[grant.target]
        layers = [target.networks]
        if grant.role in target.roles:
            layers.append(target.roles[grant.role].networks)
        if grant.networks:
            layers.append(IpFilter(allow=grant.networks, deny=(), layer=Layer.GRANT))
        return decide(address, layers)

    def sessions_of(self, grant: Grant) -> SessionRules:
        """Return what the grant's sessions are held to: its role's own rules, or everybody's."""
        role = self.targets[grant.target].roles.get(grant.role)
        own = role.sessions if role is not None else SessionRules()
        return SessionRules(
            idle_timeout=own.idle_timeout or self.sessions.idle_timeout,
            longest=own.longest or self.sessions.longest,
            warn_before=self.sessions.warn_before,
        )
