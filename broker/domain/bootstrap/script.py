"""What the operator runs once on a managed server: settings in, SQL text out.

Nothing here knows the server: the text asks for its version where that matters. Two forms: the
usual one, whose admin role has CREATEROLE, and the restricted one for 13 to 15, where CREATEROLE is
as good as superuser and the admin role gets functions instead.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from broker.domain.bootstrap import functions, restricted
from broker.domain.bootstrap import sql as blocks
from broker.domain.credential import (
    VERIFIER_PATTERN,
)
from broker.domain.sqltext import ident, literal

LIMITED_FROM = 160000  # server_version_num from which CREATEROLE is no longer superuser
ALREADY_LIMITED = (
    "CREATEROLE is already limited from PostgreSQL 16 on: run bootstrap without --restricted, and "
    "without admin.restricted in the settings"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapPlan:
    """Who is who on the target. `verifier` is None where the password of the login is not at hand;
    `password_note` then says what to do about it."""

    target: str
    database: str
    admin: str
    login: str
    catalog_roles: tuple[str, ...]
    restricted: bool = False
    verifier: str | None = None
    password_note: str = ""


def bootstrap_script(plan: BootstrapPlan) -> str:
    """Return the SQL to paste: one transaction, with comments."""
    return f"{_fill(blocks.HEADER, plan)}\nBEGIN;\n{bootstrap_body(plan)}\nCOMMIT;\n"


def bootstrap_body(plan: BootstrapPlan) -> str:
    """Return the statements, to run in one transaction."""
    limited = [restricted.GUARD, blocks.ADMIN, blocks.LOGIN, restricted.WITHOUT_ADMIN_OPTION]
    usual = [blocks.ADMIN, blocks.LOGIN, blocks.CATALOG_ROLES]
    everybody = [blocks.SIGNALS, blocks.DATABASES, blocks.HBA_RULES, blocks.SCHEMA]
    calls = [restricted.CHECKS, *functions.ALL, restricted.PRIVILEGES]
    parts = [
        blocks.GUARD,
        *(limited if plan.restricted else usual),
        *everybody,
        *(calls if plan.restricted else []),
        blocks.MARKS,
    ]
    return "".join(_fill(part, plan) for part in parts)


def _fill(template: str, plan: BootstrapPlan) -> str:
    values = _values(plan)

    def value(match: re.Match[str]) -> str:
        return values[match[1]]

    text = re.sub(r"@(\w+)@", value, template)
    # A name that holds our dollar quote must not end the block.
    quote = "curfew"
    while f"${quote}$" in text:
        quote += "_"
    return text.replace(_QUOTE, f"${quote}$")


_QUOTE = "\0quote\0"  # no name can hold a zero byte


def _values(plan: BootstrapPlan) -> Mapping[str, str]:
    admin, login = ident(plan.admin), ident(plan.login)
    member = f"GRANT {admin} TO {login}"
    signal = f"GRANT pg_signal_backend TO {admin}"
    reserved = f"GRANT pg_use_reserved_connections TO {login} WITH INHERIT TRUE"
    return {
        "quote": _QUOTE,
        "target": _comment(plan.target),
        "database": _text(plan.database),
        "database_ident": ident(plan.database),
        "database_name": _comment(plan.database),
        "admin": _text(plan.admin),
        "admin_ident": admin,
        "login": _text(plan.login),
        "login_ident": login,
        "createrole": "NOCREATEROLE" if plan.restricted else "CREATEROLE",
        "may_create": str(not plan.restricted).lower(),
        "about_password": _about_password(plan),
        "set_password": _set_password(plan),
        "grant_admin": _text(member),
        "grant_admin_16": _text(f"{member} WITH INHERIT FALSE, SET TRUE"),
        "grant_signal": _text(signal),
        "grant_signal_16": _text(f"{signal} WITH INHERIT TRUE, SET FALSE"),
        "grant_reserved": _text(reserved),
        "roles": f"ARRAY[{', '.join(_text(role) for role in plan.catalog_roles)}]::text[]",
        "schema_level": "EXCEPTION" if plan.restricted else "NOTICE",
        "functions": ",\n    ".join(functions.SIGNATURES),
        "already_limited": _text(ALREADY_LIMITED),
        "verifier_pattern": _text(VERIFIER_PATTERN),
    }


def _about_password(plan: BootstrapPlan) -> str:
    if plan.verifier is not None:
        return (
            "\n-- Below is a SCRAM verifier of its password, made here: the password itself does "
            "not travel."
        )
    return f"\n-- Its password is not set here: {_comment(plan.password_note)}"


def _set_password(plan: BootstrapPlan) -> str:
    if plan.verifier is None:
        return f"""
    RAISE NOTICE 'the password of % is not set here: %', {_text(plan.login)},
        {_text(plan.password_note)};"""
    # The handler keeps the statement, and so the verifier, out of the error.
    return f"""
    BEGIN
        ALTER ROLE {ident(plan.login)} PASSWORD {_text(plan.verifier)};
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'the password of % could not be set (%)', {_text(plan.login)}, SQLSTATE;
    END;"""


def _text(text: str) -> str:
    return literal(text).strip()


def _comment(text: str) -> str:
    """Return the text so that it stays within the line of its comment."""
    return re.sub(r"\s+", " ", text)
