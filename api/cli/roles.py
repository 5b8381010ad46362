"""What roles may do, and who is in them."""

import typer

from api.cli.calling import with_client
from api.cli.options import AsJson
from api.cli.output import ExitCode, fail, out, print_json, print_table
from api.cli.role_views import (
    print_role,
    short_ability,
    way_of,
    who_has,
)
from api.client import Client
from api.schemas import Page
from api.schemas.insight import LeftoversView, MembersView, RoleInsightView
from broker.domain.duration import format_duration

app = typer.Typer(help="What roles may do, and who is in them.", no_args_is_help=True)


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="roles")


@app.command()
def ls(target: str, as_json: AsJson = False) -> None:
    """List the roles of a target that you may ask for, with what each may do."""
    roles = _fetch_roles(target).items
    if as_json:
        print_json(roles)
        return
    print_table(
        f"Roles of {target}",
        ("role", "may do", "level", "at most", "grants", "description"),
        [
            (
                each.name,
                short_ability(each),
                each.assessment.level if each.assessment is not None else "",
                format_duration(each.longest) if each.longest is not None else "not for you",
                str(each.living_grants),
                each.description,
            )
            for each in roles
        ],
    )


@app.command()
def show(target: str, role: str, as_json: AsJson = False) -> None:
    """Show all that a role may do."""
    roles = {each.name: each for each in _fetch_roles(target).items}
    if role not in roles:
        names = ", ".join(roles) or "none"
        said = f"no role {role} on {target}, or none that you may see; there is: {names}"
        raise typer.Exit(fail(said, ExitCode.NOT_FOUND))
    if as_json:
        print_json(roles[role])
    else:
        print_role(roles[role])


@app.command()
def members(target: str, as_json: AsJson = False) -> None:
    """Show who is in which role of a target's server. For operators and auditors."""

    async def fetch(client: Client) -> MembersView:
        return await client.list_members(target)

    view = with_client(fetch)
    if as_json:
        print_json(view)
        return
    _require_seen(target, view.unseen)
    rows = [
        (group.name, who_has(each), way_of(each)) for group in view.groups for each in group.members
    ]
    print_table(f"Members of roles on {target}", ("role", "member", "how"), rows)
    out.print(f"Superusers: {', '.join(each.name for each in view.superusers)}", markup=False)
    left_out = sum(each.member_count - len(each.members) for each in view.groups)
    if left_out or not view.complete:
        out.print("There are more than are listed here.")


@app.command()
def leftovers(target: str, as_json: AsJson = False) -> None:
    """Find what should not be on a target, or no longer. For operators and auditors."""

    async def fetch(client: Client) -> LeftoversView:
        return await client.list_leftovers(target)

    view = with_client(fetch)
    if as_json:
        print_json(view)
        return
    print_table(
        f"Leftovers on {target}",
        ("kind", "login", "grant", "person", "what"),
        [
            (each.kind, each.name or "", each.grant_id or "", each.person or "", each.sentence)
            for each in view.items
        ],
    )
    for statement in (sql for each in view.items for sql in each.sql):
        out.print(f"{statement};", markup=False)
    _require_seen(target, view.unseen)


def _fetch_roles(target: str) -> Page[RoleInsightView]:
    async def fetch(client: Client) -> Page[RoleInsightView]:
        return await client.list_roles(target)

    return with_client(fetch)


def _require_seen(target: str, unseen: str | None) -> None:
    """Exit if the target could not be looked at."""
    if unseen is not None:
        raise typer.Exit(fail(f"{target} could not be looked at: {unseen}", ExitCode.ERROR))
