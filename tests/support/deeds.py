"""What a login with the owner's group can leave behind, and the line that a finding tells it with.

`{alice}` is a role of somebody else's. A line without a statement comes with the one before.
"""

DEEDS: tuple[tuple[str | None, str], ...] = (
    (
        "CREATE FUNCTION shop.copy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'",
        "added function shop.copy() (language plpgsql, owner orders_owner): flagged",
    ),
    (
        "CREATE TRIGGER audit BEFORE INSERT OR UPDATE ON shop.orders "
        "FOR EACH ROW EXECUTE FUNCTION shop.copy()",
        "added trigger audit on shop.orders "
        "(BEFORE INSERT OR UPDATE, calls shop.copy(), owner orders_owner): flagged",
    ),
    (
        "CREATE FUNCTION shop.door(n integer) RETURNS integer IMMUTABLE LANGUAGE sql "
        "SECURITY DEFINER SET search_path = shop AS 'SELECT n'",
        "added function shop.door(integer) (SECURITY DEFINER, executable by PUBLIC, "
        "language sql, search_path=shop, owner orders_owner): flagged",
    ),
    (
        "CREATE PROCEDURE shop.run(INOUT n integer) LANGUAGE sql AS 'SELECT 1'",
        "added procedure shop.run(integer) (language sql, owner orders_owner): flagged",
    ),
    (
        "CREATE AGGREGATE shop.most(integer) (SFUNC = int4larger, STYPE = integer)",
        "added aggregate shop.most(integer) (language internal, owner orders_owner): flagged",
    ),
    (
        "CREATE RULE quiet AS ON DELETE TO shop.orders DO INSTEAD NOTHING",
        "added rule quiet on shop.orders (ON DELETE DO INSTEAD, owner orders_owner): flagged",
    ),
    (
        "CREATE POLICY everyone ON shop.orders FOR SELECT USING (true)",
        "added policy everyone on shop.orders "
        "(PERMISSIVE, for SELECT, to PUBLIC, owner orders_owner): flagged",
    ),
    (
        "ALTER DEFAULT PRIVILEGES FOR ROLE orders_owner IN SCHEMA shop "
        "GRANT INSERT, SELECT ON TABLES TO {alice}",
        "added default privileges of {alice} on TABLES in schema shop made by orders_owner "
        "(INSERT, SELECT, owner orders_owner): flagged",
    ),
    (
        "ALTER DEFAULT PRIVILEGES FOR ROLE orders_owner REVOKE EXECUTE ON ROUTINES FROM PUBLIC",
        "added default privileges withheld from PUBLIC on ROUTINES made by orders_owner "
        "(EXECUTE, owner orders_owner): flagged",
    ),
    (
        "CREATE PUBLICATION outward FOR TABLE shop.orders",
        "added publication outward (table shop.orders, owner orders_owner): flagged",
    ),
    (
        "CREATE SERVER elsewhere FOREIGN DATA WRAPPER wrapper OPTIONS (host 'evil.example')",
        "added foreign server elsewhere "
        "(foreign-data wrapper wrapper, host=evil.example, owner orders_owner): flagged",
    ),
    (
        "CREATE USER MAPPING FOR PUBLIC SERVER elsewhere OPTIONS (password 'not for us')",
        "added user mapping of PUBLIC on server elsewhere: flagged",
    ),
    (
        "CREATE FOREIGN TABLE shop.there (id integer) SERVER elsewhere",
        "added foreign table shop.there (owner orders_owner): flagged",
    ),
    (
        "GRANT SELECT ON shop.orders TO PUBLIC",
        "added privileges of PUBLIC on table shop.orders (SELECT, owner orders_owner): flagged",
    ),
    (
        "GRANT UPDATE (item) ON shop.orders TO {alice} WITH GRANT OPTION",
        "added privileges of {alice} on column item of table shop.orders "
        "(UPDATE, GRANT OPTION FOR UPDATE, owner orders_owner): flagged",
    ),
    (
        "GRANT DELETE ON shop.orders TO orders_reader",
        "changed privileges of orders_reader on table shop.orders "
        "(was: SELECT; is: DELETE, SELECT): flagged",
    ),
    (
        "GRANT EXECUTE ON FUNCTION shop.door(integer) TO {alice}",
        "added privileges of {alice} on function shop.door(integer) "
        "(EXECUTE, owner orders_owner): flagged",
    ),
    (
        "GRANT CREATE ON SCHEMA shop TO {alice}",
        "added privileges of {alice} on schema shop (CREATE, owner orders_owner): flagged",
    ),
    ("SELECT lo_create(424242)", "added large object 424242 (owner orders_owner): flagged"),
    (
        "GRANT SELECT ON LARGE OBJECT 424242 TO PUBLIC",
        "added privileges of PUBLIC on large object 424242 (SELECT, owner orders_owner): flagged",
    ),
    (
        "CREATE TABLE shop.notes (id serial PRIMARY KEY, weight integer DEFAULT shop.door(1))",
        "added table shop.notes (owner orders_owner): flagged",
    ),
    (
        None,
        "added default of column weight of table shop.notes "
        "(calls shop.door(integer), owner orders_owner): flagged",
    ),
    (
        "ALTER TABLE shop.notes ADD CONSTRAINT heavy CHECK (shop.door(weight) > 0)",
        "added check heavy on table shop.notes "
        "(calls shop.door(integer), owner orders_owner): flagged",
    ),
    (
        "CREATE INDEX lookup ON shop.notes (shop.door(weight))",
        "added index lookup on table shop.notes "
        "(calls shop.door(integer), owner orders_owner): flagged",
    ),
    (
        "CREATE VIEW shop.seen AS TABLE shop.orders",
        "added view shop.seen (owner orders_owner): flagged",
    ),
    (
        "CREATE MATERIALIZED VIEW shop.kept AS TABLE shop.seen",
        "added materialized view shop.kept (owner orders_owner): flagged",
    ),
    ("CREATE SEQUENCE shop.numbers", "added sequence shop.numbers (owner orders_owner): flagged"),
    ("CREATE SCHEMA annex", "added schema annex (owner orders_owner): flagged"),
    (
        "CREATE TYPE annex.mood AS ENUM ('good')",
        "added type annex.mood (owner orders_owner): flagged",
    ),
    (
        "CREATE DOMAIN annex.small AS integer DEFAULT shop.door(1)",
        "added domain annex.small (owner orders_owner): flagged",
    ),
    (
        None,
        "added default of domain annex.small "
        "(calls shop.door(integer), owner orders_owner): flagged",
    ),
    (
        "CREATE OPERATOR annex.=== (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq)",
        "added operator annex.===(integer,integer) (owner orders_owner): flagged",
    ),
    (
        "CREATE STATISTICS shop.linked (dependencies) ON id, item FROM shop.orders",
        "added statistics object shop.linked (owner orders_owner): flagged",
    ),
    (
        "CREATE TEXT SEARCH DICTIONARY annex.words (TEMPLATE = pg_catalog.simple)",
        "added text search dictionary annex.words (owner orders_owner): flagged",
    ),
    (
        'CREATE COLLATION annex.sorted FROM "C"',
        "added collation annex.sorted (owner orders_owner): flagged",
    ),
)
# Before 16, only superusers make subscriptions.
FROM_16_ON: tuple[tuple[str | None, str], ...] = (
    (
        "CREATE SUBSCRIPTION inward CONNECTION 'host=nowhere.example password=unseen' "
        "PUBLICATION theirs WITH (connect = false)",
        "added subscription inward (disabled, to theirs, slot inward, owner orders_owner): flagged",
    ),
)
