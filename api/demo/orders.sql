-- A small application, as its owner would have made it: one schema, three group roles.
CREATE ROLE orders_owner NOLOGIN;
CREATE ROLE orders_writer NOLOGIN;
CREATE ROLE orders_reader NOLOGIN;

REVOKE ALL ON DATABASE orders FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE orders TO orders_owner, orders_writer, orders_reader;

CREATE SCHEMA shop AUTHORIZATION orders_owner;
GRANT USAGE ON SCHEMA shop TO orders_writer, orders_reader;
ALTER ROLE orders_owner SET search_path = shop;
ALTER DATABASE orders SET search_path = shop;

SET ROLE orders_owner;
CREATE TABLE shop.products (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    price numeric(10, 2) NOT NULL CHECK (price >= 0)
);
CREATE TABLE shop.orders (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id integer NOT NULL REFERENCES shop.products,
    quantity integer NOT NULL CHECK (quantity > 0),
    ordered_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO shop.products (name, price)
    VALUES ('notebook', 4.50), ('pencil', 0.80), ('ruler', 2.10);
INSERT INTO shop.orders (product_id, quantity)
    SELECT 1 + n % 3, 1 + n % 7 FROM generate_series(1, 200) AS n;
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO orders_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO orders_writer;
RESET ROLE;

-- The broker: an admin role that may hand out the groups but not use them, and its login.
CREATE ROLE curfew_admin NOLOGIN CREATEROLE NOINHERIT;
GRANT orders_owner, orders_writer, orders_reader TO curfew_admin
    WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;
GRANT pg_signal_backend TO curfew_admin WITH INHERIT TRUE, SET FALSE;
GRANT curfew_admin TO curfew_broker_1 WITH INHERIT FALSE, SET TRUE;
GRANT CONNECT ON DATABASE orders TO curfew_broker_1;
GRANT TEMPORARY ON DATABASE orders TO curfew_admin;
