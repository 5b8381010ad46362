"""The record: following it, taking it along, and whether it still says what was written."""

import typer

from api.cli import audit_export, audit_tail, audit_verify

app = typer.Typer(help="The record.", no_args_is_help=True)


def register(main: typer.Typer) -> None:
    for each in (audit_tail, audit_export, audit_verify):
        each.register(app)
    main.add_typer(app, name="audit")
