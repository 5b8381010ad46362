"""What a policy is about: catalog roles in databases of targets."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

_WILD = frozenset("*?[")


def is_glob(pattern: str) -> bool:
    return not _WILD.isdisjoint(pattern)


@dataclass(frozen=True, slots=True)
class Resource:
    """Catalog roles on targets, each named exactly or by a glob of the whole name: `orders_*` is
    not `xorders_a`."""

    target: str = "*"
    database: str = "*"
    role: str = "*"

    def matches(self, target: str, database: str, role: str) -> bool:
        return self.matches_somewhere(target, role) and fnmatchcase(database, self.database)

    def matches_somewhere(self, target: str, role: str) -> bool:
        """Say whether this is the role on the target, in whichever database."""
        return fnmatchcase(target, self.target) and fnmatchcase(role, self.role)

    def holds_databases_of(self, other: "Resource") -> bool:
        """Say whether every database that `other` names is one of ours, as far as globs tell."""
        if is_glob(other.database):
            return self.database in ("*", other.database)
        return fnmatchcase(other.database, self.database)


@dataclass(frozen=True, slots=True)
class Resources:
    """What is kept, without what is removed."""

    keep: tuple[Resource, ...]
    remove: tuple[Resource, ...] = ()

    def matches(self, target: str, database: str, role: str) -> bool:
        return any(each.matches(target, database, role) for each in self.keep) and not any(
            each.matches(target, database, role) for each in self.remove
        )

    def matches_somewhere(self, target: str, role: str) -> bool:
        """Say whether this is the role on the target, in some database."""
        return bool(self.databases(target, role))

    def databases(self, target: str, role: str) -> tuple[str, ...]:
        """Return the databases in which this is the role on the target, as the policy names them:
        exactly, or by globs."""
        removed = [each for each in self.remove if each.matches_somewhere(target, role)]
        return tuple(
            dict.fromkeys(
                keep.database
                for keep in self.keep
                if keep.matches_somewhere(target, role)
                and not any(each.holds_databases_of(keep) for each in removed)
            )
        )
