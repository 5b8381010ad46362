"""Which roles can do less than another, and nothing else: what an approver may offer instead."""

from broker.domain.role.facts import Ability, Alike, Look, RoleOnServer, Thing
from broker.domain.role.holdings import Holdings

_DATA = (
    Ability.SELECT
    | Ability.INSERT
    | Ability.UPDATE
    | Ability.DELETE
    | Ability.TRUNCATE
    | Ability.SELECT_COLUMNS
    | Ability.INSERT_COLUMNS
    | Ability.UPDATE_COLUMNS
)


def smaller_roles(of: Holdings) -> tuple[str, ...] | None:
    """Return the roles of the look that can do some, and not all, of what this one can, the nearest
    first; None if that cannot be told. One that reads and changes nothing here is no help."""
    look = of.look
    if not look.complete:
        return None
    found = [
        number
        for number, role in enumerate(look.roles)
        if number != of.number and _is_less(look, number, role, of) and _is_useful(look, number, of)
    ]
    sizes = {number: _size(look, number) for number in found}
    nearest = sorted(found, key=lambda number: (-sizes[number], look.roles[number].name))
    return tuple(look.roles[number].name for number in nearest)


def _is_less(look: Look, number: int, role: RoleOnServer, of: Holdings) -> bool:
    within = all(_is_within(each, number, of.number) for each in look.alike)
    special, allowed = _special(role), _special(of.role)
    if not within or not special <= allowed:
        return False
    same = all(each.abilities[number] == each.abilities[of.number] for each in look.alike)
    return not same or special < allowed


def _is_within(each: Alike, less: int, more: int) -> bool:
    one, other = each.abilities[less], each.abilities[more]
    # Each may have policies of its own there: what they show is not told by privileges.
    if each.row_security and one and not (one | other) & Ability.EVERY_ROW:
        return False
    return not one & ~other


def _special(role: RoleOnServer) -> frozenset[tuple[str, ...]]:
    """Return what a role has beside privileges on what there is, as things that can be compared."""
    attributes = {(attribute.value,) for attribute in role.attributes}
    memberships = {
        (above.name, *(str(each) for each in (above.inherits, above.sets, above.admin)))
        for above in role.above
        if above.predefined or above.attributes or not above.inherits or above.admin
    }
    futures = {
        (future.maker, future.schema or "", future.things, privilege)
        for future in role.futures
        for privilege in future.privileges
    }
    return frozenset(attributes | memberships | futures)


def _is_useful(look: Look, number: int, of: Holdings) -> bool:
    does = any(each.abilities[number] & _DATA for each in look.alike)
    connects = [each for each in look.alike if each.thing is Thing.DATABASE]
    let_in = all(
        bool(each.abilities[number] & Ability.CONNECT)
        >= bool(each.abilities[of.number] & Ability.CONNECT)
        for each in connects
    )
    return does and let_in


def _size(look: Look, number: int) -> int:
    """Return how much a role can do, to order roles by."""
    return sum(each.count * each.abilities[number].bit_count() for each in look.alike)
