"""How a grant fitted what was done with it."""

from collections.abc import Iterable

import typer

from api.cli.calling import with_client
from api.cli.options import AsJson, GrantId
from api.cli.output import out, print_fields, print_json, print_table
from api.client import Client
from api.schemas.fit import HeldView, PrivilegeFitView

_SHOWN = 20  # of what was not used: the rest is counted


def register(main: typer.Typer) -> None:
    main.command()(fit)


def fit(grant_id: GrantId, as_json: AsJson = False) -> None:
    """Show what a grant's statements used of its privileges, and which role would have done."""

    async def fetch(client: Client) -> PrivilegeFitView:
        return await client.get_privilege_fit(grant_id)

    view = with_client(fetch)
    if as_json:
        print_json(view)
    else:
        _print_fit(view)


def _print_fit(view: PrivilegeFitView) -> None:
    print_fields(
        (
            ("role", view.role),
            ("would have done", view.smallest or "no catalog role that can be named"),
            ("but" if view.smallest else "because", "; ".join(view.reasons)),
            ("statements", _counted(view)),
            ("also did", ", ".join(f"{each.label} ({each.statements})" for each in view.beyond)),
            ("not held now", _listed(view.not_held)),
            (
                "not there now",
                ", ".join(
                    f"{each.privilege} on {'.'.join(filter(None, (each.schema_name, each.name)))}"
                    for each in view.unresolved
                ),
            ),
        )
    )
    out.print()
    print_table(
        "Used",
        ("privilege", "on", "statements"),
        [
            (each.privilege, f"{each.schema_name}.{each.name}", str(each.statements))
            for each in view.used
        ],
    )
    out.print()
    print_table(
        "Not used",
        ("privilege", "on"),
        [(each.privilege, f"{each.schema_name}.{each.name}") for each in view.unused[:_SHOWN]],
    )
    if len(view.unused) > _SHOWN:
        out.print(f"and {len(view.unused) - _SHOWN} more: --json has them all")


def _counted(view: PrivilegeFitView) -> str:
    parts = [f"{view.statements} read"]
    if view.unread:
        parts.append(f"{view.unread} could not be read")
    if view.not_looked:
        parts.append(f"{view.not_looked} were too many to look at")
    return ", ".join(parts)


def _listed(held: Iterable[HeldView]) -> str:
    return ", ".join(f"{each.privilege} on {each.schema_name}.{each.name}" for each in held)
