"""The text of the bootstrap script. What it does is tried on real servers."""

import re
from dataclasses import replace

import pytest

from broker.domain.bootstrap.functions import SIGNATURES
from broker.domain.bootstrap.script import (
    BootstrapPlan,
    bootstrap_body,
    bootstrap_script,
)
from broker.domain.credential import VERIFIER_PATTERN, password_verifier

PLAN = BootstrapPlan(
    target="orders",
    database="orders",
    admin="curfew_admin",
    login="curfew_broker_1",
    catalog_roles=("orders_reader", "orders_writer"),
    verifier=password_verifier("secret", bytes(16)),
)
RESTRICTED = replace(PLAN, restricted=True)


@pytest.mark.parametrize("plan", [PLAN, RESTRICTED])
def test_a_script_is_one_transaction_with_every_name_filled_in(plan: BootstrapPlan) -> None:
    script = bootstrap_script(plan)
    assert script.startswith("-- pgcurfew: prepares database orders of target orders")
    assert script.count("\nBEGIN;\n") == script.count("\nCOMMIT;\n") == 1
    assert not re.search(r"@\w+@", script)
    assert "\0" not in script


def test_the_admin_role_has_createrole_or_functions() -> None:
    usual, restricted = bootstrap_body(PLAN), bootstrap_body(RESTRICTED)
    assert 'CREATE ROLE "curfew_admin" NOLOGIN CREATEROLE NOINHERIT' in usual
    assert (
        "SECURITY DEFINER" not in usual.replace("curfew.password_marks", "").split("AS $marks$")[1]
    ), "the only function is the one that shows marks"
    assert 'CREATE ROLE "curfew_admin" NOLOGIN NOCREATEROLE NOINHERIT' in restricted
    assert "ADMIN OPTION" not in restricted
    for signature in SIGNATURES:
        assert signature in restricted
        assert f"FUNCTION {signature.partition('(')[0]}(" in restricted


def test_every_function_that_acts_for_its_owner_looks_names_up_in_pg_catalog_only() -> None:
    heads = re.findall(r"CREATE OR REPLACE FUNCTION.*?AS \$", bootstrap_body(RESTRICTED), re.DOTALL)
    assert len(heads) == len(SIGNATURES) + 7, "those to call, their checks, and the one for marks"
    assert all("SET search_path = pg_catalog, pg_temp" in head for head in heads)


def test_the_password_travels_as_a_verifier() -> None:
    verifier = password_verifier("secret", bytes(16))
    assert re.fullmatch(VERIFIER_PATTERN, verifier)
    assert verifier.startswith("SCRAM-SHA-256$4096:")
    assert f"PASSWORD '{verifier}'" in bootstrap_body(PLAN)
    assert password_verifier("secret", bytes(range(16))) != verifier


def test_a_password_that_needs_saslprep_or_a_short_salt_is_refused() -> None:
    with pytest.raises(ValueError, match="ASCII"):
        password_verifier("pässword", bytes(16))
    with pytest.raises(ValueError, match="16 bytes"):
        password_verifier("secret", bytes(8))


def test_without_the_password_the_script_says_what_to_do() -> None:
    script = bootstrap_script(replace(PLAN, verifier=None, password_note="set\nit's \\password"))
    assert "-- Its password is not set here: set it's \\password\n" in script
    assert "E'set\nit''s \\\\password'" in script
    assert "PASSWORD 'SCRAM" not in script


def test_a_name_ends_neither_a_comment_nor_a_literal_nor_a_block() -> None:
    hostile = "x$curfew$'\"\n; DROP ROLE postgres; --"
    plan = replace(
        PLAN,
        target=hostile,
        database=hostile,
        admin=hostile,
        login=hostile,
        catalog_roles=(hostile,),
    )
    script = bootstrap_script(plan)
    comments = [line for line in script.splitlines() if "DROP ROLE" in line]
    assert comments[0].startswith("-- ")
    assert "$curfew_$" in script
    bare = re.sub(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*""", "", script)
    assert "DROP ROLE" not in bare
