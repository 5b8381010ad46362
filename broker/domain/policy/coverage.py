"""Which policies concern a person and a resource, found without looking at each.

There is a bit for each policy and resource that it keeps, in file order; a set of them is an int.
So the lowest bit of a set is the first policy, whatever the set came from. The same goes for
resources that policies remove, which have bits of their own. Disabled policies have none.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate

from broker.domain.person import Person, PersonKind
from broker.domain.policy.people import People
from broker.domain.policy.resources import Resource, is_glob
from broker.domain.policy.rule import Policy


@dataclass(frozen=True, slots=True)
class Coverage:
    """`owners` has the policy of each bit, `bits` those of each policy by its name."""

    owners: tuple[Policy, ...]
    bits: dict[str, int]
    _requesters: "PeopleIndex"
    _kept: "_ResourceIndex"
    _removed: "_ResourceIndex"
    _removed_from: tuple[int, ...]

    @classmethod
    def of(cls, policies: Sequence[Policy]) -> "Coverage":
        enabled = [policy for policy in policies if policy.enabled]
        owners = tuple(policy for policy in enabled for _ in policy.resources.keep)
        bits = dict.fromkeys((policy.name for policy in enabled), 0)
        for number, owner in enumerate(owners):
            bits[owner.name] |= 1 << number
        removed: defaultdict[Resource, int] = defaultdict(int)
        for policy in enabled:
            for resource in policy.resources.remove:
                removed[resource] |= bits[policy.name]
        return cls(
            owners,
            bits,
            PeopleIndex.of((policy.requesters, bits[policy.name]) for policy in enabled),
            _ResourceIndex.of([each for policy in enabled for each in policy.resources.keep]),
            _ResourceIndex.of(list(removed)),
            tuple(removed.values()),
        )

    def covering(self, person: Person, target: str, database: str, role: str) -> int:
        """Return the bits of the policies that cover this person and resource."""
        found = self._requesters.bits(person)
        if found:
            found &= self._kept.bits(target, database, role)
        if found:
            for number in numbers(self._removed.bits(target, database, role)):
                found &= ~self._removed_from[number]
        return found

    def covering_somewhere(self, person: Person, target: str, role: str) -> tuple[Policy, ...]:
        """Return the policies that cover the person and the role in some database, in order."""
        found = self._requesters.bits(person) & self._kept.bits_somewhere(target, role)
        return tuple(
            policy
            for policy in self.policies(found)
            if policy.resources.matches_somewhere(target, role)
        )

    def first(self, bits: int) -> Policy:
        return self.owners[(bits & -bits).bit_length() - 1]

    def policies(self, bits: int) -> Iterator[Policy]:
        while bits:
            policy = self.first(bits)
            yield policy
            bits &= ~self.bits[policy.name]


def numbers(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


@dataclass(frozen=True, slots=True)
class PeopleIndex:
    """Sets of people, each with bits: which bits has a person?"""

    anyone: int
    emails: dict[str, int]
    groups: dict[str, int]
    machines: dict[str, int]

    @classmethod
    def of(cls, sets: "Iterator[tuple[People, int]]") -> "PeopleIndex":
        anyone = 0
        emails: defaultdict[str, int] = defaultdict(int)
        groups: defaultdict[str, int] = defaultdict(int)
        machines: defaultdict[str, int] = defaultdict(int)
        for people, bits in sets:
            anyone |= bits if people.anyone else 0
            for names, index in (
                (people.emails, emails),
                (people.groups, groups),
                (people.machines, machines),
            ):
                for name in names:
                    index[name] |= bits
        return cls(anyone, dict(emails), dict(groups), dict(machines))

    def bits(self, person: Person) -> int:
        if person.kind is PersonKind.MACHINE:
            found = self.machines.get(person.email, 0)
        else:
            found = self.anyone | self.emails.get(person.email, 0)
        for group in person.groups:
            found |= self.groups.get(group, 0)
        return found


@dataclass(frozen=True, slots=True)
class _ResourceIndex:
    targets: "NameIndex"
    databases: "NameIndex"
    roles: "NameIndex"

    @classmethod
    def of(cls, resources: Sequence[Resource]) -> "_ResourceIndex":
        return cls(
            NameIndex.of([each.target for each in resources]),
            NameIndex.of([each.database for each in resources]),
            NameIndex.of([each.role for each in resources]),
        )

    def bits(self, target: str, database: str, role: str) -> int:
        found = self.bits_somewhere(target, role)
        return found and found & self.databases.bits(database)

    def bits_somewhere(self, target: str, role: str) -> int:
        found = self.targets.bits(target)
        return found and found & self.roles.bits(role)


_Match = Callable[[str], object]
_WILD_PART = re.compile(r"[*?]|\[!?\]?[^\]]*\]")


@dataclass(frozen=True, slots=True)
class NameIndex:
    """Names and globs, each with the bit of its place: which of them fit a name?

    Most globs are the begin or the end of a name: these are looked up like names. Of the others
    those are tried that begin as the name does, and whose longest literal part is in it.
    """

    every: int
    exact: dict[str, int]
    begins: dict[str, int]
    ends: dict[str, int]
    others: dict[str, list[tuple[str, _Match, int]]]
    lengths: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, patterns: Sequence[str]) -> "NameIndex":
        places: defaultdict[str, int] = defaultdict(int)
        for number, pattern in enumerate(patterns):
            places[pattern] |= 1 << number
        every = places.pop("*", 0)
        exact: dict[str, int] = {}
        begins: dict[str, int] = {}
        ends: dict[str, int] = {}
        others: dict[str, list[tuple[str, _Match, int]]] = {}
        for pattern, bits in places.items():
            if not is_glob(pattern):
                exact[pattern] = bits
            elif pattern.endswith("*") and not is_glob(pattern[:-1]):
                begins[pattern[:-1]] = bits
            elif pattern.startswith("*") and not is_glob(pattern[1:]):
                ends[pattern[1:]] = bits
            else:
                parts = _WILD_PART.split(pattern)
                match = re.compile(translate(pattern)).match
                others.setdefault(parts[0], []).append((max(parts, key=len), match, bits))
        lengths = (tuple({len(text) for text in texts}) for texts in (begins, ends, others))
        return cls(every, exact, begins, ends, others, tuple(lengths))

    def bits(self, name: str) -> int:
        found = self.every | self.exact.get(name, 0)
        begins, ends, others = self.lengths
        for length in begins:
            found |= self.begins.get(name[:length], 0)
        for length in ends:
            found |= self.ends.get(name[-length:], 0)
        for length in others:
            for part, match, bits in self.others.get(name[:length], ()):
                if part in name and match(name):
                    found |= bits
        return found
