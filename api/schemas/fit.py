"""Views of how a grant fitted what was done with it."""

from typing import TYPE_CHECKING

from api.schemas import View

if TYPE_CHECKING:  # as in api.schemas
    from broker.domain.privilege_fit import Fit, Held, Use


class HeldView(View):
    """A privilege on a table or view, by the name that it has there."""

    privilege: str
    schema_name: str
    name: str

    @classmethod
    def of(cls, held: "Held") -> "HeldView":
        relation = held.relation
        return cls(privilege=held.privilege, schema_name=relation.schema, name=relation.name)


class UsedView(HeldView):
    """`statements` is how many used it."""

    statements: int


class UnresolvedView(View):
    """What a statement named and is not there now. `schema_name` is null if it named none."""

    privilege: str
    schema_name: str | None
    name: str

    @classmethod
    def of(cls, use: "Use") -> "UnresolvedView":
        return cls(privilege=use.privilege, schema_name=use.schema, name=use.name)


class BeyondView(View):
    """Statements that take more than privileges on tables, such as CREATE TABLE."""

    label: str
    statements: int


class PrivilegeFitView(View):
    """`smallest` is the catalog role with the fewest privileges that has all that was used, and
    null for `reasons`; with a role they are doubts. `not_held` was used, though the role does not
    have it now. `statements` could be read, `unread` could not, `not_looked` were too many."""

    role: str
    used: tuple[UsedView, ...]
    unused: tuple[HeldView, ...]
    not_held: tuple[HeldView, ...]
    unresolved: tuple[UnresolvedView, ...]
    beyond: tuple[BeyondView, ...]
    smallest: str | None
    reasons: tuple[str, ...]
    statements: int
    unread: int
    not_looked: int

    @classmethod
    def of(cls, fit: "Fit") -> "PrivilegeFitView":
        return cls(
            role=fit.role,
            used=tuple(
                UsedView(**HeldView.of(held).model_dump(), statements=count)
                for held, count in fit.used
            ),
            unused=tuple(HeldView.of(each) for each in fit.unused),
            not_held=tuple(HeldView.of(each) for each in fit.not_held),
            unresolved=tuple(UnresolvedView.of(each) for each in fit.unresolved),
            beyond=tuple(
                BeyondView(label=label, statements=count)
                for label, count in sorted(fit.done.beyond.items())
            ),
            smallest=fit.smallest,
            reasons=fit.reasons,
            statements=fit.done.read,
            unread=fit.done.unread,
            not_looked=fit.done.not_looked,
        )
