"""How a grant fitted what was done with it."""

from broker.domain.privilege_fit import Done, Fit, Held, Privilege, Relation, Use, judge

ORDERS = Relation("shop", "orders")
ITEMS = Relation("shop", "items")
READ, ADD, CHANGE = (
    Held(ORDERS, each) for each in (Privilege.SELECT, Privilege.INSERT, Privilege.UPDATE)
)
READ_ITEMS = Held(ITEMS, Privilege.SELECT)
ABILITIES = {
    "reader": {READ},
    "writer": {READ, ADD, CHANGE},
    "lister": {READ, READ_ITEMS},
    "nobody": set[Held](),
}
SELECTED = Use(Privilege.SELECT, "shop", "orders")


def fit(*uses: Use, role: str = "writer", path: tuple[str, ...] = ("shop",)) -> Fit:
    return judge(role, Done(uses=dict.fromkeys(uses, 3), read=3), ABILITIES, path)


def test_what_was_used_is_told_from_what_was_not() -> None:
    found = fit(SELECTED, Use(Privilege.SELECT, None, "orders"))
    assert found.used == ((READ, 6),)
    assert found.unused == (ADD, CHANGE)
    assert (found.not_held, found.unresolved) == ((), ())


def test_the_smallest_role_that_has_all_that_was_used_would_have_done() -> None:
    assert fit(SELECTED).smallest == "reader"
    assert fit(SELECTED).reasons == ()
    assert fit(Use(Privilege.SELECT, None, "items")).smallest == "lister"


def test_where_no_role_has_it_all_the_nearest_say_what_they_lack() -> None:
    found = fit(
        Use(Privilege.INSERT, None, "orders"),
        Use(Privilege.SELECT, None, "items"),
        Use(Privilege.DELETE, None, "items"),
        Use(Privilege.TRUNCATE, None, "items"),
        Use(Privilege.UPDATE, None, "items"),
    )
    assert found.smallest is None
    assert found.reasons[0] == (
        "lister lacks DELETE on shop.items, TRUNCATE on shop.items, UPDATE on shop.items and 1 more"
    )
    assert len(found.reasons) == 3
    assert READ_ITEMS in found.not_held


def test_a_name_is_looked_for_as_postgresql_does() -> None:
    double = {**ABILITIES, "other": {Held(Relation("public", "orders"), Privilege.SELECT)}}
    done = Done(uses={Use(Privilege.SELECT, None, "orders"): 1})
    assert judge("reader", done, double, ("public", "shop")).used[0][0].relation.schema == "public"
    assert judge("reader", done, double, ("nowhere",)).unresolved, "it could be either"
    assert judge("reader", done, ABILITIES, ("nowhere",)).used, "there is only one"


def test_what_is_not_there_now_is_named_and_does_not_count() -> None:
    gone = (Use(Privilege.INSERT, None, "temporary"), Use(Privilege.INSERT, "shop", "gone"))
    found = fit(SELECTED, *gone)
    assert found.unresolved == gone
    assert found.smallest == "reader"


def test_catalogs_of_the_system_do_not_count() -> None:
    found = fit(
        Use(Privilege.SELECT, "pg_catalog", "pg_class"),
        Use(Privilege.SELECT, None, "pg_class"),
        Use(Privilege.SELECT, "information_schema", "tables"),
    )
    assert (found.used, found.unresolved, found.smallest) == ((), (), None)
    assert found.reasons == (
        "no statement that could be read used a table or view that is there now",
    )


def test_statements_that_take_more_than_privileges_on_tables_leave_no_role_to_name() -> None:
    done = Done(uses={SELECTED: 1}, beyond={"DROP": 2, "CREATE TABLE": 1})
    found = judge("writer", done, ABILITIES, ("shop",))
    assert found.smallest is None
    assert found.reasons == (
        "some statements take more than privileges on tables: CREATE TABLE (1), DROP (2)",
    )


def test_what_was_not_read_is_a_doubt() -> None:
    done = Done(uses={SELECTED: 1}, unread=2, not_looked=5)
    found = judge("writer", done, ABILITIES, ("shop",))
    assert found.smallest == "reader"
    assert found.reasons == (
        "statements that could not be read: 2",
        "statements that were too many to look at: 5",
    )


def test_a_role_that_is_gone_held_nothing() -> None:
    found = fit(SELECTED, role="gone")
    assert (found.unused, found.not_held) == ((), (READ,))
